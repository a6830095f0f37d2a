"""What lists say that alerts do to them becomes steps of the rules that alert.

So it is done where all steps are: in the transaction that writes the alert, in the order of event
time, once; and what tests a list waits for the rules that alert into it, as for those that add.
"""

from collections.abc import Iterator, Mapping, Sequence

from topology.levels import LEVELS
from topology.lists import ActiveList, OnAlert, Step
from topology.match.documents import Document, Problem
from topology.match.fieldmap import FieldMap, find_map
from topology.rules import Correlation, EventRule, Rule, Rules


class OnAlerts:
    """Finds the steps; what cannot be done is told where the rule stands."""

    def __init__(
        self,
        field_maps: Sequence[FieldMap],
        documents: Mapping[str, Document],
        problems: list[Problem],
    ) -> None:
        self._maps = field_maps
        self._documents = documents
        self._problems = problems

    def steps(self, listed: ActiveList, rules: Rules) -> Iterator[tuple[str, Step]]:
        """Ids of rules, each with a step that it has, too. Rules that alert nobody have none."""
        correlations = {entry.rule.id: entry for entry in rules.correlations}
        entries: list[EventRule | Correlation] = [*rules.events, *rules.correlations]
        for number, each in enumerate(listed.alerts):
            at = f"lists.{listed.name}.alerts[{number}]"
            for entry in entries:
                named = _named(entry.rule, each.rules)
                if not _meets(entry.rule, each) or not (named or entry.alerts):
                    continue
                if not entry.alerts:
                    self._wrong(entry.rule, f"{at} names it, but it alerts nobody")
                elif isinstance(entry, EventRule):
                    yield entry.rule.id, self._of_event_rule(listed, each, entry)
                else:
                    step = _of_correlation(listed, each, entry, correlations)
                    if not isinstance(step, str):
                        yield entry.rule.id, step
                    elif named:
                        fields = list(entry.group_by)
                        text = f"{at} asks its alerts for {step!r}, expected one of {fields}"
                        self._wrong(entry.rule, f"{text}: they have the fields of group-by")

    def _of_event_rule(self, listed: ActiveList, each: OnAlert, entry: EventRule) -> Step:
        found = find_map(self._maps, entry.logsource)
        fields = found.fields if found else {}
        key = tuple(fields.get(name, (name,)) for name in each.key)
        values = tuple((name, fields.get(name, (name,))) for name in each.values)
        return Step(each.action, listed, key, values, (), each.ttl_ms)

    def _wrong(self, rule: Rule, text: str) -> None:
        document = self._documents.get(rule.id)
        if document is not None:
            self._problems.append(document.problem(text))


def _of_correlation(
    listed: ActiveList,
    each: OnAlert,
    entry: Correlation,
    correlations: Mapping[str, Correlation],
) -> Step | str:
    """The step, or the part of the key that its groups have not; values they have not are left."""
    places = {name: _place(name, entry, correlations) for name in (*each.key, *each.values)}
    missing = [name for name in each.key if places[name] is None]
    if missing:
        return missing[0]
    values = tuple((name, ()) for name in each.values if places[name] is not None)
    wanted = (*each.key, *(name for name, _ in values))
    found = tuple(place for name in wanted if (place := places[name]) is not None)
    return Step(each.action, listed, (), values, found, each.ttl_ms)


def _place(name: str, entry: Correlation, correlations: Mapping[str, Correlation]) -> int | None:
    """Where a field, or an attribute that all that is counted has there, is in a group."""
    if name in entry.group_by:
        return entry.group_by.index(name)
    for place in range(len(entry.group_by)):
        if _holds(name, entry, place, correlations):
            return place
    return None


def _holds(
    name: str, entry: Correlation, place: int, correlations: Mapping[str, Correlation]
) -> bool:
    return all(name in columns[place] for columns in entry.group_columns) and all(
        _holds(name, correlations[each.rule], each.group[place], correlations)
        for each in entry.chained
    )


def _named(rule: Rule, names: Sequence[str] | None) -> bool:
    return names is not None and (rule.id in names or rule.name in names)


def _meets(rule: Rule, each: OnAlert) -> bool:
    """`attack.t1110` is `attack.t1110.001`, too."""
    tags = [tag.lower() for tag in rule.tags]
    return (
        (each.rules is None or _named(rule, each.rules))
        and not _named(rule, each.without)
        and LEVELS.index(rule.level) >= LEVELS.index(each.level)
        and (
            each.tags is None
            or any(tag == own or own.startswith(f"{tag}.") for tag in each.tags for own in tags)
        )
    )

"""What rules do to active lists and ask of them: `lists` under `northbound:`.

northbound:
  lists:
    - in: new_accounts          # or not_in: the rule matches only if its key is there (or is not)
      key: [TargetUserName]     # the rule's fields; without it those that the list names
    - add: seen_hosts           # what a match of the rule adds
      ttl: 1h
      values: [client]          # fields whose values the entry keeps
    - remove: pending
  alert: false                  # what matches fills lists and alerts nobody
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from sigma.correlations import SigmaCorrelationTimespan
from sigma.exceptions import SigmaError

from topology.lists import ACTIONS, Action, ActiveList, Step, before, ordered
from topology.match.documents import Document, Problem
from topology.match.extensions import SECTION
from topology.match.fieldmap import FieldMap, find_map, given
from topology.match.list_alerts import OnAlerts
from topology.match.values import UnsupportedError
from topology.rules import Correlation, EventRule, Rules

LISTS: Final = "lists"
ALERT: Final = "alert"
KEYS: Final = {"key", "ttl", "values"}
Entry = TypeVar("Entry", EventRule, Correlation)
Columns = Callable[[str], tuple[str, ...]]


class ListSteps:
    """The steps of all rules; what is wrong with them goes to `problems`."""

    def __init__(
        self,
        declared: Mapping[str, ActiveList] | None,
        field_maps: Sequence[FieldMap],
        problems: list[Problem],
        *,
        more: bool,
    ) -> None:
        """`declared`: lists that there are. `more`: rules may name others, with keys like theirs,
        where they are looked at without the configuration that they are for; so where it is None.
        """
        self.lists: dict[str, ActiveList] = dict(declared or {})
        self.steps: dict[str, tuple[Step, ...]] = {}
        self._more = more or declared is None
        self._maps = field_maps
        self._problems = problems
        self._documents: dict[str, Document] = {}
        self._silent: set[str] = set()

    def of_event_rule(self, document: Document, entry: EventRule) -> None:
        """Read the section of a rule on single events."""
        self._documents[entry.rule.id] = document
        section = document.content.get(SECTION)
        if section is None:
            return
        if not isinstance(section, dict) or LISTS not in section or set(section) - {LISTS, ALERT}:
            text = f"saw {section!r}, expected lists, and alert if it is false; all else is for "
            self._problems.append(document.problem(f"{text}correlations", SECTION))
            return
        found = find_map(self._maps, entry.logsource)
        columns = found.columns if found else given
        self._read(document, entry.rule.id, columns, ())

    def of_correlation(self, document: Document, entry: Correlation) -> None:
        """Read what the alerts of a correlation do."""
        self._documents[entry.rule.id] = document
        section = document.content.get(SECTION)
        if isinstance(section, dict) and ALERT in section and LISTS not in section:
            text = "goes with lists: whoever neither alerts nor changes one does nothing"
            self._problems.append(document.problem(text, SECTION, ALERT))
        elif isinstance(section, dict) and LISTS in section:
            self._read(document, entry.rule.id, None, entry.group_by)

    def silenced(self, rules: Rules) -> Rules:
        """The rules with their steps, of which those with `alert: false` alert nobody, and with
        what lists say of alerts."""

        def of(entry: Entry) -> Entry:
            return replace(entry, alerts=False) if entry.rule.id in self._silent else entry

        rules = replace(
            rules,
            events=tuple(map(of, rules.events)),
            correlations=tuple(map(of, rules.correlations)),
        )
        on_alerts = OnAlerts(self._maps, self._documents, self._problems)
        steps = dict(self.steps)
        for listed in self.lists.values():
            for rule, added in on_alerts.steps(listed, rules):
                steps[rule] = ordered((*steps.get(rule, ()), added))
        return replace(rules, lists=tuple(self.lists.values()), steps=steps)

    def check(self, rules: Rules) -> None:
        """Report rules that wait for themselves: what a list decides must not come back to it."""
        edges: dict[str, list[tuple[str, str]]] = {}

        def edge(start: str, end: str, rule: str) -> None:
            edges.setdefault(start, []).append((end, rule))

        for entry in rules.events:
            for start, end in _ways(None, rules.steps.get(entry.rule.id, ())):
                edge(start, end, entry.rule.id)
        for correlation in rules.correlations:
            own = correlation.rule.id
            for start, end in _ways(own, rules.steps.get(own, ())):
                edge(start, end, own)
            counted = [rules.events[member].rule.id for member in correlation.members]
            for name in (*counted, *(each.rule for each in correlation.chained)):
                steps = rules.steps.get(name, ())
                last = before(steps, len(steps))
                edge(name if last is None else f"list {last.list.name}", own, name)
        for circle, rule in _circles(edges):
            document = self._documents.get(rule)
            if document is not None:
                text = (
                    f"goes in a circle, so that nothing could be decided: {' → '.join(circle)}; a "
                    "rule's tests may stand in another order"
                )
                if any(listed.alerts for listed in self.lists.values()):
                    text += ", and `alerts` of a list leave out the rules that `without` names"
                self._problems.append(document.problem(text, SECTION, LISTS))

    def _read(
        self, document: Document, rule: str, columns: Columns | None, group_by: Sequence[str]
    ) -> None:
        entries = document.content[SECTION][LISTS]
        if not isinstance(entries, list) or not entries:
            text = f"saw {entries!r}, expected a list of steps, such as {{add: NAME, ttl: 1h}}"
            self._problems.append(document.problem(text, SECTION, LISTS))
            return
        asked = document.content[SECTION].get(ALERT, True)
        if not isinstance(asked, bool):
            self._problems.append(
                document.problem(f"saw {asked!r}, expected false", SECTION, ALERT)
            )
        elif not asked:
            self._silent.add(rule)
        found: list[Step] = []
        for number, entry in enumerate(entries):
            step = _Reader(self, document, number, columns, group_by).step(entry)
            if step is not None:
                found.append(step)
        self.steps[rule] = ordered(found)

    def known(self, name: Any, parts: Sequence[str] | None) -> ActiveList | str:
        """The list of a name, or what is wrong. `parts`: the fields of its key, if a rule says."""
        found = self.lists.get(name) if isinstance(name, str) else None
        if found is not None:
            return found
        if not isinstance(name, str) or not name or not self._more:
            names = ", ".join(self.lists) or "none"
            return f"saw {name!r}, expected one of the lists in northbound.yaml: {names}"
        if parts is None:
            return f"needs key: no northbound.yaml says what the key of {name!r} is called"
        self.lists[name] = ActiveList(name, tuple(parts))
        return self.lists[name]

    def wrong(self, document: Document, text: str, *keys: str) -> None:
        """Add a problem."""
        self._problems.append(document.problem(text, SECTION, LISTS, *keys))


class _Reader:
    """Reads one step."""

    def __init__(
        self,
        steps: ListSteps,
        document: Document,
        number: int,
        columns: Columns | None,
        group_by: Sequence[str],
    ) -> None:
        self._steps = steps
        self._document = document
        self._number = str(number)
        self._columns = columns
        self._group_by = group_by

    def step(self, entry: Any) -> Step | None:
        """The step; None if something is wrong with it."""
        action = self._action(entry)
        if action is None:
            return None
        for option in ("ttl", "values"):
            if option in entry and action != "add":
                self._wrong("goes with add", option)
                return None
        parts = self._names(entry, "key")
        values = self._names(entry, "values") or ()
        listed = self._steps.known(entry[action], parts)
        if isinstance(listed, str):
            self._wrong(listed, action)
            return None
        ttl_ms = self._ttl(entry, listed)
        fields = listed.key if parts is None else parts
        if len(fields) != len(listed.key):
            text = f"saw {list(fields)}, expected a field for each of {list(listed.key)}"
            self._wrong(text, "key")
            return None
        if self._columns is None:
            places = [self._place(name, "key") for name in fields]
            places += [self._place(name, "values") for name in values]
            named = tuple((name, ()) for name in values)
            return Step(action, listed, (), named, tuple(places), ttl_ms)
        key = tuple(self._mapped(name, "key") for name in fields)
        kept = tuple((name, self._mapped(name, "values")) for name in values)
        return Step(action, listed, key, kept, (), ttl_ms)

    def _action(self, entry: Any) -> Action | None:
        named = [action for action in ACTIONS if isinstance(entry, dict) and action in entry]
        if len(named) != 1 or set(entry) - KEYS - set(named):
            text = (
                f"saw {entry!r}, expected one of {', '.join(ACTIONS)} with the name of a list, and "
                f"key, or ttl and values of add"
            )
            self._wrong(text)
            return None
        return named[0]

    def _names(self, entry: Mapping[str, Any], key: str) -> tuple[str, ...] | None:
        found = entry.get(key)
        if found is None:
            return None
        if not isinstance(found, list) or not found or not all(isinstance(n, str) for n in found):
            self._wrong(f"saw {found!r}, expected a list of the rule's fields", key)
            return None
        return tuple(found)

    def _ttl(self, entry: Mapping[str, Any], listed: ActiveList) -> int | None:
        if "ttl" not in entry:
            return listed.ttl_ms
        try:
            return int(SigmaCorrelationTimespan(entry["ttl"]).seconds) * 1000
        except (SigmaError, TypeError, ValueError):
            self._wrong(f"saw {entry['ttl']!r}, expected a time such as 1h or 30d", "ttl")
            return None

    def _mapped(self, name: str, key: str) -> tuple[str, ...]:
        assert self._columns is not None  # noqa: S101  # the caller has looked
        try:
            return tuple(self._columns(name))
        except UnsupportedError as error:
            self._wrong(str(error), key)
            return (name,)

    def _place(self, name: str, key: str) -> int:
        if name in self._group_by:
            return self._group_by.index(name)
        fields = list(self._group_by)
        text = f"saw {name!r}, expected one of {fields}: its alerts have the fields of group-by"
        self._wrong(text, key)
        return 0

    def _wrong(self, text: str, *keys: str) -> None:
        self._steps.wrong(self._document, text, self._number, *keys)


def _ways(start: str | None, steps: Sequence[Step]) -> Iterator[tuple[str, str]]:
    """What each step of a rule waits for, and its list. `start`: a correlation, which the first
    waits for; that of an event is there at once."""
    steps = tuple(steps)
    for at, step in enumerate(steps):
        previous = before(steps, at)
        end = f"list {step.list.name}"
        if previous is None:
            if start is not None:
                yield start, end
        elif step.tests or not step.same_entry(previous):
            yield f"list {previous.list.name}", end


def _circles(edges: Mapping[str, Sequence[tuple[str, str]]]) -> Iterator[tuple[list[str], str]]:
    """Each circle with the rule that closes it."""
    done: set[str] = set()

    def visit(node: str, path: list[str]) -> Iterator[tuple[list[str], str]]:
        done.add(node)
        for other, rule in edges.get(node, ()):
            if other in path:
                yield [*path[path.index(other) :], other], rule
            elif other not in done:
                yield from visit(other, [*path, other])

    for node in edges:
        if node not in done:
            yield from visit(node, [node])

"""Correlation rules as pySigma read them become plain Correlation entries over event rules."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationRule,
    SigmaCorrelationTimespan,
    SigmaCorrelationType,
)
from sigma.exceptions import SigmaError
from sigma.rule import SigmaRule

from topology.match.documents import Document, Problem
from topology.match.extensions import Extensions
from topology.match.fieldmap import FieldMap, find_map, given
from topology.match.ranges import others
from topology.match.values import UnsupportedError
from topology.rules import (
    CORRELATION_TYPES,
    NUMERIC_TYPES,
    STEPS,
    Correlation,
    EventRule,
    Operator,
    Rule,
)

BELOW_ONE = {("lt", 1), ("lte", 0), ("eq", 0)}
"""Conditions that ask for absence: nothing happens then, so nothing could raise the alert."""
HUNDRED = 100
TEMPORAL = ("temporal", "temporal_ordered")


class Members:
    """The event rules that correlations refer to, by id or name, and whether they alert."""

    def __init__(
        self,
        parsed: Sequence[SigmaRule],
        compiled: Sequence[EventRule],
        field_maps: Sequence[FieldMap],
    ) -> None:
        self._compiled = list(compiled)
        self._maps = [find_map(field_maps, rule.logsource) for rule in compiled]
        self._names: dict[str, int] = {}
        for index, rule in enumerate(parsed):
            for name in (rule.name, str(rule.id) if rule.id else None):
                if name:
                    self._names[name] = index
        self._generate: dict[int, bool] = {}

    def index(self, reference: str) -> int | None:
        """Index of the event rule with this id or name."""
        return self._names.get(reference, self._names.get(reference.lower()))

    def name(self, index: int) -> str | None:
        """Name of an event rule."""
        return self._compiled[index].rule.name

    def id(self, index: int) -> str:
        """Id of an event rule."""
        return self._compiled[index].rule.id

    def columns(self, index: int) -> Callable[[str], tuple[str, ...]]:
        """How the rule's fields map to event columns."""
        fields = self._maps[index]
        return fields.columns if fields else given

    def refer(self, indexes: Sequence[int], *, generate: bool) -> None:
        """Note a correlation over rules: they alert on their own only if one says `generate`."""
        for index in indexes:
            self._generate[index] = self._generate.get(index, False) or generate

    def finished(self) -> tuple[EventRule, ...]:
        """All event rules, with what correlations decided about their alerts."""
        return tuple(
            replace(rule, alerts=self._generate.get(index, True))
            for index, rule in enumerate(self._compiled)
        )


def compile_correlation(
    document: Document,
    rule: SigmaCorrelationRule,
    metadata: Rule,
    members: Members,
    problems: list[Problem],
) -> Correlation | None:
    """One correlation; None if it has problems, which are added to the list."""
    before = len(problems)
    kind = rule.type.name.lower()
    condition = rule.condition
    if kind in CORRELATION_TYPES and not isinstance(condition, SigmaCorrelationCondition):
        text = "is an extended condition, which is not supported; expected a number such as gte: 2"
        problems.append(document.problem(text, "correlation", "condition"))
        return None
    if kind not in CORRELATION_TYPES or not isinstance(condition, SigmaCorrelationCondition):
        known = ", ".join(CORRELATION_TYPES)
        text = f"{kind} is not supported by this version; supported: {known}"
        problems.append(document.problem(text, "correlation", "type"))
        return None
    indexes = _members(document, rule, members, problems)
    operator = cast("Operator", condition.op.name.lower())
    numeric = kind in NUMERIC_TYPES
    also = others(document, problems)
    extensions = Extensions(document, problems)
    absent = extensions.absent(rule, members, indexes)
    first_seen, since = extensions.first_seen(rule)
    indexes += absent
    for asked in ((operator, condition.count), *also):
        if not numeric and asked in BELOW_ONE:
            text = "asks for absence, which no event can show; use a count of at least 1"
            problems.append(document.problem(text, "correlation", "condition", asked[0]))
    steps = _steps(document, rule, kind, condition, members, problems)
    if absent:
        steps = tuple(map(members.id, indexes))
    group_by = tuple(dict.fromkeys(rule.group_by or ()))
    fields: tuple[str, ...] = ()
    if rule.type == SigmaCorrelationType.VALUE_COUNT or numeric:
        named = condition.fieldref
        fields = tuple(named) if isinstance(named, list) else (str(named),)
    percentile = _percentile(document, kind, condition, fields, problems)
    aliases = _aliases(document, rule, indexes, members, problems)

    def columns(names: Sequence[str], *keys: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
        return tuple(
            tuple(
                _columns(document, name, index, aliases, members, problems, keys) for name in names
            )
            for index in indexes
        )

    group_columns = columns(group_by, "correlation", "group-by")
    value_columns = columns(fields, "correlation", "condition", "field")
    timespan_ms = rule.timespan.seconds * 1000
    suppress_ms = extensions.suppress_ms(0 if first_seen else timespan_ms)
    if len(problems) > before:
        return None
    members.refer(indexes, generate=bool(rule.generate))
    return Correlation(
        rule=metadata,
        type=kind,
        members=tuple(indexes),
        group_by=group_by,
        group_columns=group_columns,
        value_columns=value_columns,
        timespan_ms=timespan_ms,
        suppress_ms=suppress_ms,
        operator=operator,
        count=condition.count,
        steps=steps,
        percentile=percentile,
        also=also,
        absent=tuple(map(members.id, absent)),
        first_seen=first_seen,
        since=since,
    )


def timespan_problems(document: Document) -> list[Problem]:
    """What is wrong with the timespan, which pySigma does not say after other mistakes."""
    section = document.content["correlation"]
    timespan = section.get("timespan") if isinstance(section, dict) else None
    if timespan is None:
        return []
    try:
        SigmaCorrelationTimespan(timespan)
    except SigmaError as error:
        return [document.problem(str(error.args[0]), "correlation", "timespan")]
    return []


def _members(
    document: Document, rule: SigmaCorrelationRule, members: Members, problems: list[Problem]
) -> list[int]:
    indexes: list[int] = []
    for entry in rule.rules or ():
        index = members.index(entry.reference)
        if index is None:
            text = f"{entry.reference!r} is neither id nor name of an event rule that is loaded"
            problems.append(document.problem(text, "correlation", "rules"))
        elif index not in indexes:
            indexes.append(index)
    return indexes


def _percentile(
    document: Document,
    kind: str,
    condition: SigmaCorrelationCondition,
    fields: Sequence[str],
    problems: list[Problem],
) -> int | None:
    """The percentile of a value_percentile; a numeric type has one field."""
    if kind in NUMERIC_TYPES and len(fields) != 1:
        text = f"saw {list(fields)}, expected the one field that {kind} reads numbers from"
        problems.append(document.problem(text, "correlation", "condition", "field"))
    percent: int | None = condition.percentile
    if kind == "value_percentile" and (percent is None or not 0 <= percent <= HUNDRED):
        text = f"saw percentile {percent}, expected a whole number from 0 to 100"
        problems.append(document.problem(text, "correlation", "condition", "percentile"))
    elif kind != "value_percentile" and percent is not None:
        text = f"is for value_percentile, not for {kind}"
        problems.append(document.problem(text, "correlation", "condition", "percentile"))
    return percent


def _steps(
    document: Document,
    rule: SigmaCorrelationRule,
    kind: str,
    condition: SigmaCorrelationCondition,
    members: Members,
    problems: list[Problem],
) -> tuple[str, ...]:
    """Ids of the listed rules for the temporal types; unknown ones were told already."""
    if kind not in TEMPORAL:
        return ()
    if condition.fieldref is not None:
        text = f"{kind} asks which rules matched and reads no field"
        problems.append(document.problem(text, "correlation", "condition", "field"))
    listed = [members.index(entry.reference) for entry in rule.rules or ()]
    if None in listed:
        return ()
    steps = tuple(members.id(index) for index in listed if index is not None)
    if kind == "temporal" and len(set(steps)) < len(steps):
        text = "names a rule twice; only temporal_ordered can ask for a rule again"
        problems.append(document.problem(text, "correlation", "rules"))
    elif condition.op.name in ("GTE", "GT", "EQ") and (
        condition.count + (condition.op.name == "GT") > len(steps)
    ):
        text = f"asks for more than the {len(steps)} rules that are listed, which cannot happen"
        problems.append(
            document.problem(text, "correlation", "condition", condition.op.name.lower())
        )
    for name in steps:
        if STEPS in name:
            text = f"{name!r} has a line break in its name, which {kind} cannot take"
            problems.append(document.problem(text, "correlation", "rules"))
    return steps


def _aliases(
    document: Document,
    rule: SigmaCorrelationRule,
    indexes: Sequence[int],
    members: Members,
    problems: list[Problem],
) -> dict[str, dict[int, str]]:
    """Alias → member → field. Every member has to have a field for every alias."""
    aliases: dict[str, dict[int, str]] = {}
    for alias in rule.aliases:
        fields: dict[int, str] = {}
        for reference, field in alias.mapping.items():
            index = members.index(reference.reference)
            if index is None or index not in indexes:
                text = f"{reference.reference!r} is not among the correlation's rules"
                problems.append(document.problem(text, "correlation", "aliases", alias.alias))
            else:
                fields[index] = field
        for index in indexes:
            if index not in fields:
                text = f"names no field for rule {members.name(index)!r}"
                problems.append(document.problem(text, "correlation", "aliases", alias.alias))
        aliases[alias.alias] = fields
    return aliases


def _columns(
    document: Document,
    name: str,
    index: int,
    aliases: dict[str, dict[int, str]],
    members: Members,
    problems: list[Problem],
    keys: tuple[str, ...],
) -> tuple[str, ...]:
    field = aliases[name].get(index, name) if name in aliases else name
    try:
        return tuple(members.columns(index)(field))
    except UnsupportedError as error:
        problems.append(document.problem(str(error), *keys))
        return (field,)

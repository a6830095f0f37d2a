"""Correlation rules as pySigma read them become plain Correlation entries over event rules, and
over correlations that were compiled before them."""

from collections.abc import Mapping, Sequence
from typing import cast

from sigma.correlations import (
    SigmaCorrelationCondition,
    SigmaCorrelationConditionOperator,
    SigmaCorrelationRule,
    SigmaCorrelationTimespan,
    SigmaCorrelationType,
    SigmaExtendedCorrelationCondition,
)
from sigma.exceptions import SigmaError

from topology.match.documents import Document, Problem
from topology.match.extensions import Extensions
from topology.match.formulas import FormulaError, alternatives
from topology.match.members import NAME_IT, Members
from topology.match.ranges import others
from topology.match.shown import shown_of_members
from topology.match.values import UnsupportedError
from topology.rules import (
    CORRELATION_TYPES,
    NUMERIC_TYPES,
    STEPS,
    Alternative,
    Chained,
    Correlation,
    Operator,
    Rule,
)

BELOW_ONE = {("lt", 1), ("lte", 0), ("eq", 0)}
"""Conditions that ask for absence: nothing happens then, so nothing could raise the alert."""
HUNDRED = 100
TEMPORAL = ("temporal", "temporal_ordered")


def compile_correlation(
    document: Document,
    rule: SigmaCorrelationRule,
    metadata: Rule,
    members: Members,
    problems: list[Problem],
    warnings: list[Problem],
) -> Correlation | None:
    """One correlation; None if it has problems, which are added to the list."""
    before = len(problems)
    members = members.seen_by(metadata.tenant)
    kind = rule.type.name.lower()
    condition = rule.condition
    extended = condition if isinstance(condition, SigmaExtendedCorrelationCondition) else None
    if extended is not None:  # one of its alternatives has to hold
        condition = SigmaCorrelationCondition(SigmaCorrelationConditionOperator.GTE, 1)
    if kind not in CORRELATION_TYPES or not isinstance(condition, SigmaCorrelationCondition):
        known = ", ".join(CORRELATION_TYPES)
        text = f"{kind} is not supported by this version; supported: {known}"
        problems.append(document.problem(text, "correlation", "type"))
        return None
    indexes, counted = _members(document, rule, members, problems)
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
    ways = _alternatives(document, rule, extended, steps, problems)
    if absent:
        steps = (*map(members.id, indexes), *(entry.rule.id for entry in counted))
    group_by = tuple(dict.fromkeys(rule.group_by or ()))
    fields: tuple[str, ...] = ()
    if rule.type == SigmaCorrelationType.VALUE_COUNT or numeric:
        named = condition.fieldref
        fields = tuple(named) if isinstance(named, list) else (str(named),)
    percentile = _percentile(document, kind, condition, fields, problems)
    aliases = _aliases(document, rule, indexes, counted, members, problems)

    def columns(names: Sequence[str], *keys: str) -> tuple[tuple[tuple[str, ...], ...], ...]:
        return tuple(
            tuple(
                _columns(document, name, index, aliases, members, problems, keys) for name in names
            )
            for index in indexes
        )

    group_columns = columns(group_by, "correlation", "group-by")
    value_columns = columns(fields, "correlation", "condition", "field")
    chained = tuple(
        Chained(
            entry.rule.id,
            _places(document, group_by, entry, aliases, problems, ("correlation", "group-by")),
            _places(
                document, fields, entry, aliases, problems, ("correlation", "condition", "field")
            ),
        )
        for entry in counted
    )
    timespan_ms = rule.timespan.seconds * 1000
    suppress_ms = extensions.suppress_ms(0 if first_seen else timespan_ms)
    if len(problems) > before:
        return None
    members.refer([*indexes, *(each.rule for each in chained)], generate=bool(rule.generate))
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
        chained=chained,
        alternatives=ways,
        expression="" if extended is None else extended.expression,
        counted=fields,
        shown=shown_of_members(document, rule.fields, indexes, aliases, members, warnings),
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
) -> tuple[list[int], list[Correlation]]:
    """Indexes of the event rules, and the correlations."""
    indexes: list[int] = []
    counted: dict[str, Correlation] = {}
    if not rule.rules:
        problems.append(document.problem("names no rule", "correlation", "rules"))
    for number, entry in enumerate(rule.rules or ()):
        index = members.index(entry.reference)
        correlation = members.correlation(entry.reference)
        if index is not None:
            if index not in indexes:
                indexes.append(index)
        elif correlation is not None:
            counted[correlation.rule.id] = correlation
        else:
            listed = "rules" if "rules" in document.content["correlation"] else "condition"
            line = document.line_of("correlation", listed, str(number))
            text = f"{entry.reference!r} is neither id nor name of a rule that is loaded; {NAME_IT}"
            problems.append(Problem(document.path, line, f"correlation.{listed}", text))
    return indexes, list(counted.values())


def _places(
    document: Document,
    names: Sequence[str],
    entry: Correlation,
    aliases: Mapping[str, Mapping[int | str, str]],
    problems: list[Problem],
    keys: tuple[str, ...],
) -> tuple[int, ...]:
    """Where fields are in the group-by of a correlation whose alerts are counted."""
    places: list[int] = []
    for name in names:
        field = aliases[name].get(entry.rule.id, name) if name in aliases else name
        if field in entry.group_by:
            places.append(entry.group_by.index(field))
        else:
            text = (
                f"saw {field!r}, expected one of {list(entry.group_by)}, by which "
                f"{entry.rule.title!r} groups: its alerts have no other fields"
            )
            problems.append(document.problem(text, *keys))
    return tuple(places)


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
    listed = [_id(members, entry.reference) for entry in rule.rules or ()]
    steps = tuple(name for name in listed if name is not None)
    if len(steps) < len(listed):
        return ()
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


def _alternatives(
    document: Document,
    rule: SigmaCorrelationRule,
    condition: SigmaExtendedCorrelationCondition | None,
    steps: Sequence[str],
    problems: list[Problem],
) -> tuple[Alternative, ...]:
    """Those of an extended condition; none where rules are not known, which was told."""
    listed = [entry.reference for entry in rule.rules or ()]
    if condition is None or len(steps) < len(listed):
        return ()
    try:
        return alternatives(condition.parsed, listed, steps)
    except FormulaError as error:
        problems.append(document.problem(str(error), "correlation", "condition"))
        return ()


def _id(members: Members, reference: str) -> str | None:
    index, correlation = members.index(reference), members.correlation(reference)
    if index is not None:
        return members.id(index)
    return None if correlation is None else correlation.rule.id


def _aliases(
    document: Document,
    rule: SigmaCorrelationRule,
    indexes: Sequence[int],
    counted: Sequence[Correlation],
    members: Members,
    problems: list[Problem],
) -> dict[str, dict[int | str, str]]:
    """Alias → member → field. Every member has to have a field for every alias."""
    names: dict[int | str, str | None] = {index: members.name(index) for index in indexes}
    names |= {entry.rule.id: entry.rule.name for entry in counted}
    aliases: dict[str, dict[int | str, str]] = {}
    for alias in rule.aliases:
        fields: dict[int | str, str] = {}
        for reference, field in alias.mapping.items():
            member: int | str | None = members.index(reference.reference)
            if member is None:
                member = _id(members, reference.reference)
            if member is None or member not in names:
                text = f"{reference.reference!r} is not among the correlation's rules"
                problems.append(document.problem(text, "correlation", "aliases", alias.alias))
            else:
                fields[member] = field
        for member, name in names.items():
            if member not in fields:
                text = f"names no field for rule {name!r}"
                problems.append(document.problem(text, "correlation", "aliases", alias.alias))
        aliases[alias.alias] = fields
    return aliases


def _columns(
    document: Document,
    name: str,
    index: int,
    aliases: Mapping[str, Mapping[int | str, str]],
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

"""pySigma's condition trees and values become nodes over our atoms.

pySigma has applied the modifiers already: `contains` put wildcards around the text, `windash` and
`base64offset` became an expansion, `1 of sel*` a disjunction.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import TypeAlias

from sigma.conditions import (
    ConditionAND,
    ConditionFieldEqualsValueExpression,
    ConditionNOT,
    ConditionOR,
    ConditionValueExpression,
)
from sigma.types import (
    CompareOperators,
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
    TimestampPart,
)

from topology.match.atoms import (
    Moment,
    Network,
    Null,
    Number,
    NumberTest,
    Reference,
    Regex,
    Text,
    TextTest,
    TimePart,
)
from topology.match.columns import KEYWORDS
from topology.match.regex import compiled
from topology.match.tree import Forest, Node
from topology.texts import folded

Columns: TypeAlias = Callable[[str], Sequence[str]]
"""The event columns of a rule's field. Raises UnsupportedError for a field that is not mapped."""
Placeholders: TypeAlias = Mapping[str, Sequence[str]]
"""What `%name%` stands for with the modifier `expand`: any of these values, wildcards included."""

COMPARISONS: dict[CompareOperators, NumberTest] = {
    CompareOperators.LT: "lt",
    CompareOperators.LTE: "lte",
    CompareOperators.GT: "gt",
    CompareOperators.GTE: "gte",
    CompareOperators.NEQ: "neq",
}
PARTS: dict[TimestampPart, TimePart] = {
    TimestampPart.MINUTE: "minute",
    TimestampPart.HOUR: "hour",
    TimestampPart.DAY: "day",
    TimestampPart.WEEK: "week",
    TimestampPart.MONTH: "month",
    TimestampPart.YEAR: "year",
}
Part: TypeAlias = str | SpecialChars | Placeholder
WILDCARDS = {SpecialChars.WILDCARD_MULTI: ".*", SpecialChars.WILDCARD_SINGLE: "."}
SIGNS = {SpecialChars.WILDCARD_MULTI: "*", SpecialChars.WILDCARD_SINGLE: "?"}
"""What pySigma takes for wildcards in a regular expression, too."""


class UnsupportedError(ValueError):
    """The rule asks for something that cannot be evaluated. `field` is where, if it is a field."""

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class PlaceholderError(UnsupportedError):
    """The rule needs a list of values that nobody gave."""


class Walker:
    """Turns the condition trees of one rule into nodes of a forest."""

    def __init__(
        self, forest: Forest, columns: Columns, placeholders: Placeholders | None = None
    ) -> None:
        self.forest = forest
        self._columns = columns
        self._placeholders = placeholders or {}

    def node(self, condition: object) -> Node:
        """The node of a postprocessed condition of pySigma."""
        if isinstance(condition, ConditionAND):
            return self.forest.all_of(self.node(arg) for arg in condition.args)
        if isinstance(condition, ConditionOR):
            return self.forest.any_of(self.node(arg) for arg in condition.args)
        if isinstance(condition, ConditionNOT):
            return self.forest.negate(self.node(condition.args[0]))
        if isinstance(condition, ConditionFieldEqualsValueExpression):
            return self._field(condition.field, condition.value)
        if isinstance(condition, ConditionValueExpression):
            return self._keyword(condition.value)
        raise UnsupportedError(f"saw a condition of type {type(condition).__name__}")

    def _field(self, field: str, value: object) -> Node:
        nodes = [self._value(column, field, value) for column in self._columns(field)]
        every = isinstance(value, SigmaNull) or (isinstance(value, SigmaExists) and not value)
        return self.forest.all_of(nodes) if every else self.forest.any_of(nodes)

    def _value(self, column: str, field: str, value: object) -> Node:
        forest = self.forest
        match value:
            case SigmaExpansion():
                return forest.any_of(self._value(column, field, item) for item in value.values)
            case SigmaString() if value.contains_placeholder():
                texts = self._expanded(value, field)
                return forest.any_of(self._value(column, field, text) for text in texts)
            case SigmaString():
                return self._text(column, field, value)
            case SigmaTimestampPart():  # which is a SigmaNumber, too
                return forest.leaf(_moment(column, value, "eq"))
            case SigmaNumber():
                return forest.leaf(Number(column, "eq", value.number))
            case SigmaBool():
                return forest.leaf(Text(column, "equals", str(value.boolean).lower()))
            case SigmaRegularExpression():
                return self._regex(column, field, value)
            case SigmaCIDRExpression():
                return forest.leaf(Network(column, value.cidr))
            case SigmaCompareExpression():
                test, number = COMPARISONS[value.op], value.number
                if isinstance(number, SigmaTimestampPart):
                    return forest.leaf(_moment(column, number, test))
                return forest.leaf(Number(column, test, number.number))
            case SigmaExists():
                null = forest.leaf(Null(column))
                return forest.negate(null) if value.exists else null
            case SigmaNull():
                return forest.leaf(Null(column))
            case SigmaFieldReference():
                how = _affixes(value.ends_with, value.starts_with)
                others = self._columns(value.field)
                return forest.any_of(forest.leaf(Reference(column, item, how)) for item in others)
        raise UnsupportedError(f"a value of type {type(value).__name__} is not supported", field)

    def _text(self, column: str, field: str, value: SigmaString) -> Node:
        forest = self.forest
        cased = isinstance(value, SigmaCasedString)
        parts = _parts(value, field, cased=cased)
        before, after, middle = _trim(parts)
        if not middle and (before or after):
            return forest.negate(forest.leaf(Null(column)))
        if all(isinstance(part, str) for part in middle):
            text = "".join(str(part) for part in middle)
            return forest.leaf(Text(column, _affixes(before, after), text, cased))
        pattern = "".join(_pattern(part) for part in parts)
        nodes = [forest.leaf(Regex(column, f"(?s){pattern}", lowered=not cased, whole=True))]
        # Texts without wildcards narrow down the rows that the regular expression has to see.
        for place, part in enumerate(parts):
            if isinstance(part, str):
                how = _affixes(place > 0, place < len(parts) - 1)
                nodes.append(forest.leaf(Text(column, how, part, cased)))
        return forest.all_of(nodes)

    def _regex(self, column: str, field: str | None, value: SigmaRegularExpression) -> Node:
        expression = str(value.regexp)
        if value.contains_placeholder():
            choices = [self._choice(part, field) for part in value.regexp.s]
            if "" in choices:
                return self.forest.any_of(())
            expression = "".join(choices)
        flags = "".join(sorted(value.sigma_to_re_flag[flag] for flag in value.flags))
        pattern = (f"(?{flags})" if flags else "") + expression
        return self.forest.leaf(Regex(column, _checked(pattern, field)))

    def _choice(self, part: Part, field: str | None) -> str:
        """A part of a regular expression as it is written; of a placeholder any of its values,
        nothing where there are none. Raises PlaceholderError."""
        if not isinstance(part, Placeholder):
            return SIGNS[part] if isinstance(part, SpecialChars) else part
        texts = [SigmaString(text).s for text in self._values_of(part, field)]
        patterns = ["".join(map(_pattern, parts)) for parts in texts]
        return f"(?:{'|'.join(patterns)})" if patterns else ""

    def _values_of(self, part: Placeholder, field: str | None) -> Sequence[str]:
        if part.name not in self._placeholders:
            raise PlaceholderError(f"has the placeholder %{part.name}%", field)
        return self._placeholders[part.name]

    def _expanded(self, value: SigmaString, field: str | None) -> list[SigmaString]:
        """The text with each of its placeholders' values. Raises PlaceholderError."""
        choices: list[list[Sequence[Part]]] = []
        for part in value.s:
            if not isinstance(part, Placeholder):
                choices.append([(part,)])
                continue
            choices.append([SigmaString(text).s for text in self._values_of(part, field)])
        found = []
        for chosen in product(*choices):
            text = type(value)("")
            text.s = tuple(part for parts in chosen for part in parts)
            found.append(text)
        return found

    def _keyword(self, value: object) -> Node:
        """A keyword is found anywhere in the original line, or in any value of the event."""
        forest = self.forest
        match value:
            case SigmaExpansion():
                return forest.any_of(self._keyword(item) for item in value.values)
            case SigmaNumber() if not isinstance(value, SigmaTimestampPart):
                return forest.leaf(Text(KEYWORDS, "contains", str(value.number)))
            case SigmaBool():
                return forest.leaf(Text(KEYWORDS, "contains", str(value.boolean).lower()))
            case SigmaRegularExpression():
                return self._regex(KEYWORDS, None, value)
            case SigmaString() if value.contains_placeholder():
                return forest.any_of(map(self._keyword, self._expanded(value, None)))
            case SigmaString():
                cased = isinstance(value, SigmaCasedString)
                parts = _trim(_parts(value, None, cased=cased))[2]
                if not parts:
                    raise UnsupportedError("a keyword has to name some text")
                if len(parts) == 1 and isinstance(parts[0], str):
                    return forest.leaf(Text(KEYWORDS, "contains", parts[0], cased))
                pattern = "(?s)" + "".join(_pattern(part) for part in parts)
                return forest.leaf(Regex(KEYWORDS, pattern, lowered=not cased))
        raise UnsupportedError(f"a keyword of type {type(value).__name__} is not supported")


def _moment(column: str, value: SigmaTimestampPart, how: NumberTest) -> Moment:
    return Moment(column, PARTS[value.timestamp_part], int(value.number), how)


def _parts(value: SigmaString, field: str | None, *, cased: bool) -> list[str | SpecialChars]:
    """Texts and wildcards, adjacent texts joined, in lower case unless cased."""
    parts: list[str | SpecialChars] = []
    for part in value.s:
        if isinstance(part, Placeholder):  # _expanded has taken them out
            raise PlaceholderError(f"has the placeholder %{part.name}%", field)
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part != "":
            parts.append(part)
    return [part if cased or not isinstance(part, str) else folded(part) for part in parts]


def _trim(
    parts: list[str | SpecialChars],
) -> tuple[bool, bool, list[str | SpecialChars]]:
    """Whether `*` begins and ends the value, and what is between."""
    first, last = 0, len(parts)
    while first < last and parts[first] == SpecialChars.WILDCARD_MULTI:
        first += 1
    while last > first and parts[last - 1] == SpecialChars.WILDCARD_MULTI:
        last -= 1
    return first > 0, last < len(parts), parts[first:last]


def _affixes(before: bool, after: bool) -> TextTest:
    """The test for a text that may have something before and after it."""
    if before and after:
        return "contains"
    if before:
        return "endswith"
    return "startswith" if after else "equals"


def _pattern(part: str | SpecialChars) -> str:
    return WILDCARDS[part] if isinstance(part, SpecialChars) else re.escape(part)


def _checked(pattern: str, field: str | None) -> str:
    try:
        compiled(pattern)
    except Exception as error:
        raise UnsupportedError(
            f"{pattern!r} is no regular expression that RE2 takes: {error}", field
        ) from error
    return pattern

"""What a rule asks of one field: each atom is a test on the elements of one column.

Comparison of text ignores case unless the atom is cased (Sigma specification 2.1, "Values").
A field without a value fails every test but Null, also under `not` (see topology/match/tree.py).
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import polars as pl

from topology.match.addresses import address, network_of
from topology.match.columns import (
    BETWEEN,
    PLAIN,
    SMALL,
    Column,
    Keywords,
    Mask,
    Positions,
    View,
    lower,
)
from topology.match.regex import compiled, polars_pattern
from topology.moments import EARLIEST_MS, LATEST_MS
from topology.texts import as_text

TextTest: TypeAlias = Literal["equals", "startswith", "endswith", "contains"]
NumberTest: TypeAlias = Literal["eq", "neq", "lt", "lte", "gt", "gte"]
TimePart: TypeAlias = Literal["minute", "hour", "day", "week", "month", "year"]
COMPARE: Mapping[NumberTest, Callable[[Any, int], Any]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


class Atom:
    """A test on one column. `cost` orders the tests of a rule, cheapest first."""

    __slots__ = ()
    cost: ClassVar[int] = 2
    column: str

    @property
    def reads(self) -> tuple[str, ...]:
        """The columns that the test looks at."""
        return (self.column,)

    def rows(self, view: View, alive: int) -> int:
        """Those of the rows `alive` that pass, and possibly others on top."""
        column = view.column(self.column)
        if column is None:
            return 0
        picked = column.pick(alive, view.everything)
        return column.spread(self.test(column, picked), picked)

    def test(self, column: Column, picked: Positions | None) -> Mask:
        """One truth for each picked element; null elements fail."""
        raise NotImplementedError


def _take(series: pl.Series, picked: Positions | None) -> pl.Series:
    return series if picked is None else series[picked]


def _mask(series: pl.Series) -> Mask:
    return series.fill_null(value=False).to_numpy()


def _each(values: Sequence[str | None], test: Callable[[str], bool]) -> Mask:
    found = (value is not None and test(value) for value in values)
    return np.fromiter(found, dtype=np.bool_, count=len(values))


@dataclass(frozen=True, slots=True)
class Text(Atom):
    """The value equals, begins with, ends with or contains a text, in lower case unless cased."""

    column: str
    how: TextTest
    text: str
    cased: bool = False

    def rows(self, view: View, alive: int) -> int:
        column = view.column(self.column)
        if isinstance(column, Keywords) and self.how == "contains" and BETWEEN not in self.text:
            found = 0
            for part in column.parts:
                picked = part.pick(alive, view.everything)
                found |= part.spread(self.test(part, picked), picked)
            return found
        return Atom.rows(self, view, alive)

    def test(self, column: Column, picked: Positions | None) -> Mask:
        text = self.text
        if column.count(picked) <= PLAIN:
            tests: dict[str, Callable[[str], bool]] = {
                "equals": lambda value: value == text,
                "startswith": lambda value: value.startswith(text),
                "endswith": lambda value: value.endswith(text),
                "contains": lambda value: text in value,
            }
            return _each(column.values(picked, lowered=not self.cased), tests[self.how])
        series = _take(column.texts if self.cased else column.lowered, picked)
        if self.how == "equals":
            return _mask(series == text)
        if self.how == "startswith":
            return _mask(series.str.starts_with(text))
        if self.how == "endswith":
            return _mask(series.str.ends_with(text))
        return _mask(series.str.contains(text, literal=True))


@dataclass(frozen=True, slots=True)
class OneOf(Atom):
    """The value, in lower case, is one of several."""

    cost: ClassVar[int] = 1
    column: str
    texts: frozenset[str]

    def test(self, column: Column, picked: Positions | None) -> Mask:
        if column.count(picked) <= PLAIN:
            return _each(column.values(picked, lowered=True), self.texts.__contains__)
        series = _take(column.lowered, picked)
        return _mask(series.is_in(list(self.texts)))


@dataclass(frozen=True, slots=True)
class Regex(Atom):
    """RE2 finds the pattern in the value, or for `whole` (wildcards) matches it from end to end.

    With `lowered` the pattern is in lower case and so is the value.
    """

    cost: ClassVar[int] = 5
    column: str
    pattern: str
    lowered: bool = False
    whole: bool = False

    def test(self, column: Column, picked: Positions | None) -> Mask:
        pattern = f"^(?:{self.pattern})$" if self.whole else self.pattern
        rust = polars_pattern(pattern) if column.count(picked) > SMALL else None
        if rust is not None:
            series = _take(column.lowered if self.lowered else column.texts, picked)
            return _mask(series.str.contains(rust))
        regex = compiled(self.pattern)
        find = regex.fullmatch if self.whole else regex.search
        values = column.values(picked, lowered=self.lowered)
        return _each(values, lambda value: find(value) is not None)


@dataclass(frozen=True, slots=True)
class Network(Atom):
    """The value is an address of the network. IPv4 addresses mapped to IPv6 count as IPv4."""

    cost: ClassVar[int] = 4
    column: str
    cidr: str

    def test(self, column: Column, picked: Positions | None) -> Mask:
        network = network_of(self.cidr)
        if picked is None:
            return column.addresses.within(network)

        def inside(value: str) -> bool:
            found = address(value)
            return found is not None and found in network

        return _each(column.values(picked, lowered=False), inside)


@dataclass(frozen=True, slots=True)
class Number(Atom):
    """The value compares so with a number. A text that is no number fails, `neq` included.

    `eq` on a text column compares the text, so that 4688 is not 04688. It is 4688.0, as where a
    column has numbers alone: what else is in a batch must not matter.
    """

    column: str
    how: NumberTest
    number: int | float

    def test(self, column: Column, picked: Positions | None) -> Mask:
        if self.how == "eq" and column.elements.dtype == pl.String:
            texts = _take(column.lowered, picked)
            found = texts == str(self.number)
            if isinstance(self.number, int):
                found |= texts == f"{self.number}.0"
            return _mask(found)
        values = _take(column.numbers, picked)
        match self.how:
            case "eq":
                return _mask(values == self.number)
            case "neq":
                return _mask(values != self.number)
            case "lt":
                return _mask(values < self.number)
            case "lte":
                return _mask(values <= self.number)
            case "gt":
                return _mask(values > self.number)
            case "gte":
                return _mask(values >= self.number)


@dataclass(frozen=True, slots=True)
class Null(Atom):
    """The field is absent or null."""

    cost: ClassVar[int] = 0
    column: str

    def rows(self, view: View, alive: int) -> int:
        column = view.column(self.column)
        return alive if column is None else column.missing


@dataclass(frozen=True, slots=True)
class Reference(Atom):
    """The value equals, begins with, ends with or contains that of another field, ignoring case.

    Of lists any element, in either field.
    """

    cost: ClassVar[int] = 3
    column: str
    other: str
    how: TextTest

    @property
    def reads(self) -> tuple[str, ...]:
        return self.column, self.other

    def rows(self, view: View, alive: int) -> int:
        left, right = (view.taken(name, alive) for name in (self.column, self.other))
        if left is None or right is None:
            return 0
        pair = pl.DataFrame([left.alias("left"), right.alias("right")])
        lists = [series.name for series in pair if isinstance(series.dtype, pl.List)]
        if lists:
            pair = pair.with_row_index("row")
            for name in lists:
                pair = pair.explode(name)
        pair = pair.with_columns(lower(as_text(pair[name])) for name in ("left", "right"))
        text, other = pl.col("left"), pl.col("right")
        same = {
            "equals": text == other,
            "startswith": text.str.starts_with(other),
            "endswith": text.str.ends_with(other),
            "contains": text.str.contains(other, literal=True),
        }
        found = _mask(pair.select(same[self.how]).to_series())
        if lists:
            rows = pair["row"].to_numpy()[found]
            found = np.zeros(left.len(), dtype=np.bool_)
            found[rows] = True
        return view.spread(found, alive)


@dataclass(frozen=True, slots=True)
class Moment(Atom):
    """A part of the value as a time compares so with a number.

    The time is in UTC: ISO 8601 text, or s or ms since the epoch.
    """

    cost: ClassVar[int] = 4
    column: str
    part: TimePart
    number: int
    how: NumberTest = "eq"

    def test(self, column: Column, picked: Positions | None) -> Mask:
        compare = COMPARE[self.how]
        if column.elements.dtype.is_integer():
            parts = _parts(_take(column.elements, picked), self.part)
            return _mask(compare(parts, self.number))

        def holds(value: str) -> bool:
            part = _part(value, self.part)
            return part is not None and compare(part, self.number)

        return _each(column.values(picked, lowered=False), holds)


LARGEST_S = 100_000_000_000
"""Larger numbers are milliseconds: in seconds they would be beyond the year 5138."""


@lru_cache(maxsize=65_536)
def _part(text: str, part: TimePart) -> int | None:
    try:
        number = float(text)
        at = datetime.fromtimestamp(number / 1000 if abs(number) > LARGEST_S else number, UTC)
    except (ValueError, OverflowError, OSError):
        try:
            at = datetime.fromisoformat(text.strip())
            at = at.astimezone(UTC) if at.tzinfo else at
        except (ValueError, OverflowError):  # its zone puts it out of the calendar
            return None
    if part == "week":
        return at.isocalendar().week
    value: int = getattr(at, part)
    return value


def _parts(times: pl.Series, part: TimePart) -> pl.Series:
    """The same of a column of integers."""
    found = times.cast(pl.Int64, strict=False)
    in_s = found.is_between(-LARGEST_S, LARGEST_S).fill_null(value=False)
    found = (found * 1000).zip_with(in_s, found)
    found = found.set(~found.is_between(EARLIEST_MS, LATEST_MS).fill_null(value=True), None)
    parts: pl.Series = getattr(found.cast(pl.Datetime("ms")).dt, part)()
    return parts.cast(pl.Int64)

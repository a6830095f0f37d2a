"""What a parser gives back: the fields of the rows it could read, and why not for the others.

Every input row is in exactly one of the two frames.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.rows import overlay

FAILURES: Final = {"row": pl.UInt32, "reason": pl.String}


RARE: Final = frozenset({"syslog", "repeated", "prefix", "rest"})
"""Columns of which nothing is said where they are null: hardly any line has them."""


class Parsed(NamedTuple):
    """`fields`: `row` (UInt32) and the format's columns. `failures`: `row`, `reason`."""

    fields: pl.DataFrame
    failures: pl.DataFrame


Schema: TypeAlias = Mapping[str, pl.DataType | type[pl.DataType]]
Parse: TypeAlias = Callable[[pl.DataFrame, Mapping[str, str]], Parsed]
"""From columns `row` (UInt32), `text` (String, no nulls) and options.

The first parser of a chain also gets `received` (Int64, ms since the epoch)."""


class MalformedError(ValueError):
    """The text is not what the format asks for; the message is the reason of the dead letter."""


class Option(NamedTuple):
    """Something a parser can be told. `values`: a pattern of what is allowed; `check`: what else
    was expected, or None for an allowed value."""

    meaning: str
    values: str
    check: Callable[[str], str | None] | None = None
    required: bool = False

    def expected(self, value: str) -> str | None:
        """What was expected instead of this value; None when it is allowed."""
        if re.fullmatch(self.values, value) is None:
            return self.meaning
        return self.check(value) if self.check else None


class Refused(NamedTuple):
    """A part of a record that is no event: its bytes, and the reason of its dead letter."""

    raw: bytes
    reason: str


Split: TypeAlias = Callable[[bytes], Sequence[bytes | Refused] | None]


@dataclass(frozen=True, slots=True)
class Splitter:
    """How records that hold several events are taken apart. `looks`: true for all of them, of the
    column `raw` (Binary); `split` gives the bytes of each event, None for a record that holds one,
    and may raise MalformedError. `single`: true, where others are not asked, for records of which
    it is sure without a look at each that they hold one."""

    looks: pl.Expr
    split: Split
    single: pl.Expr | None = None


@dataclass(frozen=True, slots=True)
class Format:
    """One wire format. `version` changes when the same text would give other fields.

    `options`: those that `parse` understands; it ignores others, and is given allowed values only.
    `splitter`: for records with several events, of which `parse` is given each as a row.
    """

    name: str
    version: str
    parse: Parse
    options: Mapping[str, Option] = field(default_factory=dict)
    splitter: Splitter | None = None


NO_FAILURES: Final = pl.DataFrame(schema=FAILURES)


def parse_rows(
    frame: pl.DataFrame,
    parse_line: Callable[..., tuple[Any, ...]],
    schema: Schema,
    columns: Sequence[str] = ("text",),
) -> Parsed:
    """The exact path: one text after the other; a MalformedError is a failure.

    `schema` has `row` first and then a column for each value that `parse_line` gives; its arguments
    are the values of `columns`.
    """
    fields: list[tuple[Any, ...]] = []
    failed: list[tuple[int, str]] = []
    rows = (frame[name].to_list() for name in ("row", *columns))
    for row, *values in zip(*rows, strict=True):
        try:
            fields.append((row, *parse_line(*values)))
        except MalformedError as error:
            failed.append((row, str(error)))
    return Parsed(
        pl.DataFrame(fields, schema=schema, orient="row"),
        pl.DataFrame(failed, schema=FAILURES, orient="row") if failed else NO_FAILURES,
    )


def merge(frame: pl.DataFrame, usual: npt.NDArray[np.bool_], odd: Parsed) -> Parsed:
    """Fields of all rows in their order: those of `frame` where `usual`, else those of `odd`.

    `odd` is what became of exactly the rows that are not usual. Costs a fifth of filter and sort.
    """
    others = np.flatnonzero(~usual)
    if not odd.failures.height:
        return Parsed(overlay(frame, others, odd.fields), odd.failures)
    rows = frame["row"].to_numpy()
    failed = np.isin(rows, odd.failures["row"].to_numpy())
    survivors = others[~failed[others]]
    return Parsed(overlay(frame, survivors, odd.fields).filter(~failed), odd.failures)

"""Comma-separated values (RFC 4180), one record a line, leniently; and tab-separated ones.

A quote inside an unquoted value is a plain character; text after a closing quote belongs to the
value; an unclosed quote ends with the line.

In: `row`, `text`. Out: `row`, `columns` (list of texts); or, with the option `columns`, which names
them, `row`, `fields:pairs`: more values than names are `column_9` and so on, by their place, and a
line that repeats the names is a failure, as it is the head of a file and no record. Options of csv:
`delimiter`, one character; `columns`.
"""

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.dimension import SMALL
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    MalformedError,
    Option,
    Parsed,
    Schema,
    merge,
    parse_rows,
)

SCHEMA: Final[Schema] = {"row": pl.UInt32, "columns": pl.List(pl.String)}
NAMED: Final[Schema] = {"row": pl.UInt32, "fields:pairs": pairs.PAIRS}
TEXT: Final = pl.col("text")
ODD: Final = [TEXT.str.contains('["\r\n]') | (TEXT == "")]
VALUE: Final = pl.col("value")
UNQUOTED: Final = [
    pl.when(VALUE.str.starts_with('"'))
    .then(VALUE.str.strip_prefix('"').str.strip_suffix('"'))
    .otherwise(VALUE)
]
DOUBLED: Final = [VALUE.str.starts_with('"') & VALUE.str.contains('""', literal=True)]
SINGLE: Final = [VALUE.str.replace_all('""', '"', literal=True)]

# The limit guards against an unclosed quote in a file; a line of ours is bounded by its reception.
csv.field_size_limit(2**31 - 1)


class Quoting(NamedTuple):
    """Patterns of lines with a delimiter before each value, all of them plain or quoted whole."""

    usual: list[pl.Expr]
    values: list[pl.Expr]


@lru_cache(maxsize=16)
def quoting(delimiter: str) -> Quoting:
    """For this delimiter."""
    sign = re.escape(delimiter)
    value = f'{sign}(?:"(?:[^"]|"")*"|[^{sign}"\r\n]*)'
    text = pl.concat_str(pl.lit(delimiter), TEXT)
    return Quoting([text.str.contains(f"^(?:{value})+$")], [text.str.extract_all(value)])


def split(text: str, delimiter: str = ",", *, strict: bool = False) -> list[str]:
    """The values of one record. `strict` refuses text after a closing quote and unclosed quotes."""
    try:
        records = list(csv.reader([text], delimiter=delimiter, strict=strict))
    except csv.Error as error:
        # What Python says of a line end is advice on how to open files.
        reason = "a line end within the record" if "new-line" in str(error) else error
        raise MalformedError(f"not comma-separated values: {reason}") from None
    return records[0] if records else []


def parse_line(text: str, delimiter: str, names: Sequence[str] = ()) -> tuple[Any, ...]:
    """One line, exactly: the column of SCHEMA, or of NAMED. Raises MalformedError."""
    values = split(text, delimiter)
    if not values:
        raise MalformedError("the line is empty")
    if not names:
        return (values,)
    if values == list(names):
        raise MalformedError("the line is the head of a file: the names of option columns")
    known = _names(names, len(values))
    return ([{"name": n, "value": v} for n, v in zip(known, values, strict=False)],)


def _names(names: Sequence[str], count: int) -> list[str]:
    return [*names, *(f"column_{place + 1}" for place in range(len(names), count))]


def _parser(default: str) -> Callable[[pl.DataFrame, Mapping[str, str]], Parsed]:
    def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
        """Lines of plain values, and of values that are quoted whole, go through columns."""
        delimiter = options.get("delimiter", default)
        names = split(options["columns"]) if "columns" in options else []
        schema = NAMED if names else SCHEMA

        def parse_one(text: str) -> tuple[Any, ...]:
            return parse_line(text, delimiter, names)

        if frame.height < SMALL:
            return parse_rows(frame, parse_one, schema)
        values, usual = _split_columns(frame, delimiter)
        if names:
            values = _named(values, names)
            head = pairs.value_of(values, names[0]) == names[0]
            usual = usual & ~head.fill_null(value=False).to_numpy()
        fields = pl.DataFrame([frame["row"], values.alias(list(schema)[1])])
        if usual.all():
            return Parsed(fields, NO_FAILURES)
        return merge(fields, usual, parse_rows(frame.filter(~usual), parse_one, schema))

    return parse


def _split_columns(frame: pl.DataFrame, delimiter: str) -> tuple[pl.Series, npt.NDArray[np.bool_]]:
    """The values of all rows, and which of the rows are right."""
    values = frame.select(TEXT.str.split(delimiter)).to_series()
    odd = np.flatnonzero(frame.select(ODD).to_series().to_numpy())
    usual = np.ones(frame.height, dtype=np.bool_)
    if len(odd):
        quoted, usual[odd] = _quoted(frame[odd], delimiter)
        source = np.arange(frame.height, dtype=np.uint32)
        source[odd] = np.arange(frame.height, frame.height + len(odd), dtype=np.uint32)
        values = pl.concat([values, quoted])[pl.Series(source)]
    return values, usual


def _quoted(frame: pl.DataFrame, delimiter: str) -> tuple[pl.Series, npt.NDArray[np.bool_]]:
    rules = quoting(delimiter)
    usual = frame.select(rules.usual).to_series().to_numpy() & (frame["text"] != "").to_numpy()
    found = frame.select(rules.values).to_series()
    places = np.repeat(np.arange(frame.height, dtype=np.uint32), pairs.lengths(found))
    flat = found.explode(empty_as_null=False, keep_nulls=False).to_frame("value")
    flat = flat.select(VALUE.str.strip_prefix(delimiter))
    doubled = np.flatnonzero(flat.select(DOUBLED).to_series().to_numpy())
    values = flat.select(UNQUOTED).to_series()
    if len(doubled):
        once = values[doubled].to_frame("value").select(SINGLE).to_series()
        values = values.scatter(doubled, once)
    return pairs.gather(places, values, frame.height), usual


def _named(values: pl.Series, names: Sequence[str]) -> pl.Series:
    counts = pairs.lengths(values).astype(np.int64)
    flat = values.explode(empty_as_null=False, keep_nulls=False)
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    known = pl.Series(_names(names, int(counts.max(initial=0))), dtype=pl.String)
    rows = np.repeat(np.arange(len(values), dtype=np.uint32), counts)
    return pairs.build(pairs.Flat(rows, known[pl.Series(place)], flat), len(values))


def check(names: str) -> str | None:
    """What is wrong with names of values."""
    try:
        return None if split(names, strict=True) else NAMES
    except MalformedError:
        return NAMES


NAMES: Final = "names of the values, with commas between them"
COLUMNS: Final = Option(NAMES, r"(?s:.+)", check)
PARSER = Format(
    "csv",
    "2",
    _parser(","),
    {
        "delimiter": Option("one character between values", r'[^"\r\n\0]'),
        "columns": COLUMNS,
    },
)
TSV = Format("tsv", "1", _parser("\t"), {"columns": COLUMNS})

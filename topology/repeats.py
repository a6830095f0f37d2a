"""Which texts of an event repeat what another attribute of it says, in whole or in part.

A value of four characters or more counts wherever it is in a text, a shorter one as a word, a
single character only as all of it; letters count the same in upper and lower case. JSON is searched
for the value as JSON writes it; where it spells characters by number it may say anything, and
counts as a repeat.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.texts import as_text, column_folded

ANYWHERE: Final = 4
"""Characters from which on a value is looked for inside words too."""
BETWEEN: Final = r"[^\p{L}\p{N}]+"
"""What is between words."""
ESCAPED: Final = r'["\\\x00-\x1f]'
"""What JSON does not write as it is."""
SPELLED: Final = r"(?:^|[^\\])(?:\\\\)*\\u[0-9a-f]{4}"
"""A character that JSON spells by its number, in lower case."""
VALUE: Final = "\0value."
"""Begins the names of columns here that are no attributes."""

Rows = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


class Repeat(NamedTuple):
    """Rows in which a column repeats a value; for each, whether its text is just the value, case
    and all, and that value is one of those that keep their equality (`alike`)."""

    rows: Rows
    equal: Flags


def flat(column: pl.Series) -> pl.Series:
    """A column as String; the elements of a list with line ends between them."""
    if isinstance(column.dtype, pl.List):
        column = column.list.eval(pl.element().cast(pl.String)).list.join("\n", ignore_nulls=True)
    return as_text(column)


def repeats(
    events: pl.DataFrame, values: Sequence[str], columns: Sequence[str], alike: Collection[str]
) -> Mapping[str, Repeat]:
    """By column, of `columns`, where it repeats one of the attributes `values` of its row.

    `alike`: those of the values that count for Repeat.equal. All values are of String. Columns
    without a repeat have no entry.
    """
    if not columns or not values or not events.height:
        return {}
    texts = [column_folded(flat(events[name])).alias(name) for name in columns]
    sought = [column_folded(events[name]).alias(f"{VALUE}{name}") for name in values]
    frame = pl.DataFrame([*texts, *sought])
    written = any(name.endswith(ocsf.JSON_SUFFIX) for name in columns)
    whole = pl.concat_str([pl.col(name) for name in columns], separator="\n", ignore_nulls=True)
    padded = pl.lit("\n") + whole + pl.lit("\n")
    tests = [
        pl.col(VALUE).str.contains(_sought(value), literal=True)
        for each in sought
        for value in _forms(pl.col(each.name), written=written and _is_escaped(each))
    ]
    if written:
        tests.append(pl.col(VALUE).str.contains("\\u", literal=True))
    found = pl.any_horizontal(tests).fill_null(value=False)
    flags = frame.with_columns(padded.alias(VALUE)).select(found.alias("found"))["found"]
    rows = np.flatnonzero(flags.to_numpy())
    return _by_column(events, values, columns, alike, frame, rows) if len(rows) else {}


def _sought(value: pl.Expr) -> pl.Expr:
    """What a row's texts, each on a line, hold if one of them may repeat the value."""
    length = value.str.len_chars()
    alone = pl.when(length == 1).then(pl.lit("\n") + value + pl.lit("\n"))
    return alone.when(length > 1).then(value)


def _by_column(
    events: pl.DataFrame,
    values: Sequence[str],
    columns: Sequence[str],
    alike: Collection[str],
    frame: pl.DataFrame,
    rows: Rows,
) -> Mapping[str, Repeat]:
    """The exact answer, for the rows that any column may repeat a value in."""
    part = frame[rows]
    out = {}
    for name in columns:
        json = name.endswith(ocsf.JSON_SUFFIX)
        clear = flat(events[name][rows])
        hit, same = (np.zeros(len(rows), dtype=np.bool_) for _ in range(2))
        for value in values:
            hit |= _hits(part, name, f"{VALUE}{value}", json=json)
            if value in alike:
                same |= (clear == events[value][rows]).fill_null(value=False).to_numpy()
        places = hit.nonzero()[0]
        if len(places):
            out[name] = Repeat(rows[places], same[places])
    return out


def _hits(part: pl.DataFrame, name: str, value: str, *, json: bool) -> Flags:
    """Rows in which a column repeats a value, both in lower case."""
    text, given = pl.col(name), pl.col(value)
    length = given.str.len_chars()
    inside = pl.any_horizontal(
        [text.str.contains(form, literal=True) for form in _forms(given, written=json)]
    )
    sure = (inside & (length >= ANYWHERE)) | ((text == given) & (length > 0))
    if json:
        sure = sure | (text.str.contains(SPELLED) & (length > 0))
    found = part.select(
        sure.fill_null(value=False).alias("sure"),
        (inside & (length >= 2) & (length < ANYWHERE)).fill_null(value=False).alias("maybe"),
    )
    hit = found["sure"].to_numpy().copy()
    maybe = np.flatnonzero(found["maybe"].to_numpy() & ~hit)
    if len(maybe):
        words = _words(text).str.contains(_words(given), literal=True) & (_words(given) != "  ")
        hit[maybe] = part[maybe].select(words.alias("words"))["words"].to_numpy()
    return hit


def _words(text: pl.Expr) -> pl.Expr:
    """The words of a text with one blank before, between and after them."""
    inner = text.str.replace_all(BETWEEN, " ").str.strip_chars(" ")
    return pl.lit(" ") + inner + pl.lit(" ")


def _is_escaped(values: pl.Series) -> bool:
    return bool(values.str.contains(ESCAPED).any())


def _forms(value: pl.Expr, *, written: bool) -> list[pl.Expr]:
    """A value as it is and, if JSON may hold it, as JSON writes it."""
    if not written:
        return [value]
    encoded = pl.struct(value.alias("v")).struct.json_encode()
    escaped = encoded.str.slice(len('{"v":"')).str.head(-len('"}'))
    return [value, pl.when(value.is_not_null()).then(escaped)]

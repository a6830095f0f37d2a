"""Objects in columns: one expression for each pattern of which attributes a row has.

Polars' JSON encoder writes nulls, and taking them out of the text again would be wrong for text
that looks like it. A batch has a handful of patterns.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import Dimension, renumber
from topology.northbound.json_layout import PARTIAL, expression

INNER: Final = "@inner."
"""Text columns with the shared members of an object that may have members of its own."""
WHOLE: Final = "@whole."
"""Text columns with such an object as a member of the event, for when it has none of its own."""
BITS: Final = 60

Columns: TypeAlias = tuple[str, ...]


def encode_columns(events: pl.DataFrame, own: Columns, texts: Sequence[pl.Series]) -> pl.Series:
    """Each row's attributes `own` and the texts, "" or beginning with a comma, as an object."""
    if not own and not texts:
        return pl.Series(["{}"]).new_from_index(0, events.height)
    parts = pl.DataFrame([*(events[name] for name in own), *texts])
    names = tuple(text.name for text in texts)
    optional = tuple(name for name in own if parts[name].null_count())
    if not optional:
        return _encode_pattern(parts, own, names, events.height)
    rows = _rows_by_code(_patterns(parts, optional))
    encoded = []
    for chosen in rows:
        one = int(chosen[0])
        absent = {name for name in optional if parts[name][one] is None}
        present = tuple(name for name in own if name not in absent)
        part = pl.DataFrame([parts[name] for name in (*present, *names)])
        if part.width:
            part = part[pl.Series(chosen)]
        encoded.append(_encode_pattern(part, present, names, len(chosen)))
    if len(rows) == 1:
        return encoded[0]
    places = np.empty(events.height, dtype=np.uint32)
    places[np.concatenate(rows)] = np.arange(events.height, dtype=np.uint32)
    return pl.concat(encoded, rechunk=True)[pl.Series(places)]


def _encode_pattern(parts: pl.DataFrame, present: Columns, texts: Columns, rows: int) -> pl.Series:
    inner, tail = arrange(present, texts)
    if present:
        return parts.select(expression(present, inner, tail)).to_series()
    if tail:
        return pl.Series(["{" + "".join(row)[1:] + "}" for row in parts.select(tail).rows()])
    # Every attribute of this pattern is absent; the frame has no column left to tell its height.
    return pl.Series(["{}"]).new_from_index(0, rows)


def _patterns(parts: pl.DataFrame, optional: Columns) -> Dimension:
    """Rows by which of the optional columns have a value."""
    keys = [key.to_numpy() for key in parts.select(_pattern_keys(optional)).get_columns()]
    pattern = renumber(keys[0], 1 << min(len(optional), BITS))
    for key in keys[1:]:
        more = renumber(key, 1 << BITS)
        pattern = renumber(
            pattern.codes.astype(np.int64) * more.size + more.codes, pattern.size * more.size
        )
    return pattern


@lru_cache(maxsize=256)
def _pattern_keys(optional: Columns) -> list[pl.Expr]:
    return [
        pl.sum_horizontal(
            pl.col(name).is_null().cast(pl.Int64) * (1 << bit)
            for bit, name in enumerate(optional[start : start + BITS])
        ).alias(str(start))
        for start in range(0, len(optional), BITS)
    ]


def _rows_by_code(dimension: Dimension) -> list[npt.NDArray[np.uint32]]:
    order = np.argsort(dimension.codes, kind="stable").astype(np.uint32)
    ends = np.cumsum(np.bincount(dimension.codes, minlength=dimension.size))
    return np.split(order, ends[:-1])


@lru_cache(maxsize=4096)
def arrange(present: Columns, texts: Columns) -> tuple[tuple[tuple[str, str], ...], Columns]:
    """For attributes `present`: shared members inside their objects, and those that go last."""
    objects = {column.partition(".")[0] for column in present}
    inner = tuple((name, INNER + name) for name in PARTIAL if INNER + name in texts)
    inner = tuple(pair for pair in inner if pair[0] in objects)
    inside = {name for name, _ in inner}
    tail = tuple(
        name
        for name in texts
        if not name.startswith(INNER) and name.removeprefix(WHOLE) not in inside
    )
    return inner, tail

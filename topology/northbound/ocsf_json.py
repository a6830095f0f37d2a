"""Events as nested OCSF JSON, one object a row, absent attributes omitted.

Attributes that follow from a code column (schemas/ocsf.py SHARED) are encoded once per code, and
their text is spliced in. The others are encoded in columns, for each pattern of presence with a
structure of just the attributes that are there, as Polars' encoder would write nulls. What a row
gives does not depend on the rows around it.
"""

from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.dimension import SMALL, renumber
from topology.northbound.json_layout import PARTIAL, expression, layout, render

REMEMBERED: Final = 1024
"""Up to so many codes are encoded one by one and remembered, more of them in columns."""
INNER: Final = "@inner."
WHOLE: Final = "@whole."

Columns: TypeAlias = tuple[str, ...]
Texts: TypeAlias = dict[str, pl.Series]
"""Shared members, "" or beginning with a comma. `@class` and the like: members of the event.
`@inner.metadata`: members of that object; `@whole.metadata`: the object itself as a member."""


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One JSON text per row (Binary). `without` names columns to leave out."""
    present = sorted(
        (
            column.name
            for column in events
            if ocsf.is_written(column.name)
            and column.name not in without
            and column.null_count() < events.height
        ),
        key=_order,
    )
    texts: Texts = {}
    apart: set[str] = set()
    for code in ocsf.SHARED:
        columns = ocsf.shared_by(code, present)
        if columns:
            texts |= _shared_texts(events, code, columns)
            apart.update(columns)
    own = tuple(column for column in present if column not in apart)
    if events.height < SMALL:
        return pl.Series(_encode_rows(events, own, texts), dtype=pl.String).cast(pl.Binary)
    return _encode_columns(events, own, texts).cast(pl.Binary)


def _order(column: str) -> tuple[int, str]:
    """Time first, the raw text after what was made of it, the rest by name."""
    return {"time": 0, "raw_data": 2}.get(column, 1), column


def _shared_texts(events: pl.DataFrame, code: str, columns: list[str]) -> Texts:
    """What the code determines, for every row; without the code column, row by row."""
    dimension = None
    if code in events.columns:
        codes = events[code].to_numpy().astype(np.int64)
        # Renumbered, as filtering leaves gaps.
        dimension = renumber(codes, int(codes.max(initial=0)) + 1)
    groups: dict[str, list[str]] = {}
    for column in columns:
        top = column.partition(".")[0]
        groups.setdefault(top if PARTIAL.get(top) == code else code, []).append(column)
    texts: Texts = {}
    for name, group in groups.items():
        table = events.select(group) if dimension is None else events[group][dimension.first]
        if name == code:
            texts[code] = pl.Series(_members(table), dtype=pl.String)
            continue
        members = _members(table.rename({column: column[len(name) + 1 :] for column in group}))
        whole = [f',"{name}":{{{text[1:]}}}' if text else "" for text in members]
        texts[INNER + name] = pl.Series(members, dtype=pl.String)
        texts[WHOLE + name] = pl.Series(whole, dtype=pl.String)
    if dimension is None:
        return texts
    return {name: dimension.spread(text) for name, text in texts.items()}


def _members(table: pl.DataFrame) -> list[str]:
    """The present attributes of each row as members of an object, "" or beginning with a comma."""
    columns = tuple(table.columns)
    if table.height <= REMEMBERED:
        return [_remembered(columns, row) for row in table.rows()]
    objects = _encode_columns(table, columns, {}).to_list()
    return ["" if text == "{}" else f",{text[1:-1]}" for text in objects]


@lru_cache(maxsize=65536)
def _remembered(columns: Columns, row: tuple[Any, ...]) -> str:
    values = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
    if not values:
        return ""
    return f",{render(layout(tuple(values)), values)[1:-1]}"


def _arrange(own: Columns, texts: Texts) -> tuple[tuple[tuple[str, str], ...], Columns]:
    """For attributes `own`: shared members that go into their objects, and those that go last."""
    objects = {column.partition(".")[0] for column in own}
    inner = tuple(
        (name, INNER + name) for name in PARTIAL if name in objects and INNER + name in texts
    )
    inside = {name for name, _ in inner}
    tail = tuple(
        name
        for name in texts
        if not name.startswith(INNER) and name.removeprefix(WHOLE) not in inside
    )
    return inner, tail


def _encode_rows(events: pl.DataFrame, own: Columns, texts: Texts) -> list[str]:
    """Row by row: fewer rows than the fixed cost of columns is worth."""
    shared = [text.to_list() for text in texts.values()]
    encoded = []
    for number, row in enumerate(events.select(own).rows()):
        values = {name: value for name, value in zip(own, row, strict=True) if value is not None}
        present = tuple(values)
        values |= {name: column[number] for name, column in zip(texts, shared, strict=True)}
        inner, tail = _arrange(present, texts)
        if present:
            encoded.append(render(layout(present, inner, tail), values))
        else:
            encoded.append("{" + "".join(values[name] for name in tail)[1:] + "}")
    return encoded


def _encode_columns(events: pl.DataFrame, own: Columns, texts: Texts) -> pl.Series:
    """One expression for each pattern of presence."""
    parts = pl.DataFrame(
        [*(events[name] for name in own), *(text.alias(name) for name, text in texts.items())]
    )
    optional = [name for name in own if parts[name].null_count()]
    patterns = _patterns(parts, optional)
    if len(patterns) == 1:
        return _encode_pattern(parts, own, texts)
    encoded = []
    for rows in patterns:
        chosen = parts[pl.Series(rows)]
        present = tuple(name for name in own if chosen[name][0] is not None)
        encoded.append(_encode_pattern(chosen, present, texts))
    places = np.empty(events.height, dtype=np.uint32)
    places[np.concatenate(patterns)] = np.arange(events.height, dtype=np.uint32)
    return pl.concat(encoded, rechunk=True)[pl.Series(places)]


def _encode_pattern(parts: pl.DataFrame, present: Columns, texts: Texts) -> pl.Series:
    inner, tail = _arrange(present, texts)
    if present:
        return parts.select(expression(present, inner, tail)).to_series()
    if tail:
        return pl.Series(["{" + "".join(row)[1:] + "}" for row in parts.select(tail).rows()])
    return pl.Series(["{}"]).new_from_index(0, parts.height)


def _patterns(parts: pl.DataFrame, optional: list[str]) -> list[npt.NDArray[np.uint32]]:
    """Row numbers by which of the optional columns have a value."""
    keys = np.zeros(parts.height, dtype=np.int64)
    size = 1
    for name in optional:
        if size > 2**40:
            dimension = renumber(keys, size)
            keys, size = dimension.codes.astype(np.int64), dimension.size
        keys = keys * 2 + parts[name].is_null().to_numpy()
        size *= 2
    dimension = renumber(keys, size)
    if dimension.size == 1:
        return [np.arange(parts.height, dtype=np.uint32)]
    order = np.argsort(dimension.codes, kind="stable").astype(np.uint32)
    ends = np.cumsum(np.bincount(dimension.codes, minlength=dimension.size))
    return np.split(order, ends[:-1])

"""Events as nested OCSF JSON, one object a row, absent attributes omitted.

Attributes that follow from a code column (schemas/ocsf.py SHARED) are encoded once per code, and
their text is spliced in. The others are encoded in columns, for each pattern of presence with a
structure of just the attributes that are there, as Polars' encoder would write nulls. What a row
gives does not depend on the rows around it.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.dimension import SMALL, Dimension, renumber
from topology.northbound.json_layout import PARTIAL, expression, layout, render

REMEMBERED: Final = 2048
"""Up to so many codes are encoded one by one and remembered, more of them in columns."""
MOST_REMEMBERED: Final = 65_536
INNER: Final = "@inner."
WHOLE: Final = "@whole."
BITS: Final = 60

Columns: TypeAlias = tuple[str, ...]


class Group(NamedTuple):
    """Columns of one code that become one text: members of the event or of a partial object."""

    name: str
    """The code, or the partial object."""
    columns: Columns
    members: Columns
    """The columns' names within the object."""

    @property
    def is_object(self) -> bool:
        return self.name not in ocsf.SHARED

    @property
    def texts(self) -> Columns:
        """Names of the texts made of it."""
        return (INNER + self.name, WHOLE + self.name) if self.is_object else (self.name,)


class Plan(NamedTuple):
    """How the columns of a frame are encoded: row by row, or once per code."""

    own: Columns
    shared: tuple[tuple[str, tuple[Group, ...]], ...]


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One JSON text per row (Binary). `without` names columns to leave out."""
    rows = events.height
    present = tuple(
        column.name
        for column in events
        if column.null_count() < rows and column.name not in without
    )
    plan = _plan(present)
    if rows < SMALL:
        return pl.Series(_encode_rows(events, plan), dtype=pl.String).cast(pl.Binary)
    texts = [text for code, groups in plan.shared for text in _shared_texts(events, code, groups)]
    return _encode_columns(events, plan.own, texts).cast(pl.Binary)


@lru_cache(maxsize=256)
def _plan(present: Columns) -> Plan:
    written = sorted(filter(ocsf.is_written, present), key=_order)
    shared: list[tuple[str, tuple[Group, ...]]] = []
    apart: set[str] = set()
    for code in ocsf.SHARED:
        columns = ocsf.shared_by(code, written)
        apart.update(columns)
        partly = [name for name, owner in PARTIAL.items() if owner == code]
        inside = {name: [c for c in columns if c.startswith(f"{name}.")] for name in partly}
        rest = [c for c in columns if c.partition(".")[0] not in inside]
        groups = [_group(code, "", rest)]
        groups += [_group(name, f"{name}.", found) for name, found in inside.items()]
        used = tuple(group for group in groups if group.columns)
        if used:
            shared.append((code, used))
    return Plan(tuple(column for column in written if column not in apart), tuple(shared))


def _group(name: str, prefix: str, columns: Sequence[str]) -> Group:
    return Group(name, tuple(columns), tuple(column.removeprefix(prefix) for column in columns))


def _order(column: str) -> tuple[int, str]:
    """Time first, the raw text after what was made of it, the rest by name."""
    return {"time": 0, "raw_data": 2}.get(column, 1), column


def _shared_texts(events: pl.DataFrame, code: str, groups: tuple[Group, ...]) -> list[pl.Series]:
    """What the code determines, for every row; without the code column, row by row."""
    dimension = None
    table = pl.DataFrame([events[column] for group in groups for column in group.columns])
    if code in events.columns:
        codes = events[code].to_numpy().astype(np.int64)
        # Renumbered, as filtering leaves gaps.
        dimension = renumber(codes, int(codes.max(initial=0)) + 1)
        table = table[dimension.first]
    columns: Sequence[Sequence[str]]
    if table.height <= REMEMBERED:
        columns = list(zip(*_recall(groups, table.rows()), strict=True)) or [()] * len(groups)
    else:
        columns = [_members_in_columns(table, group) for group in groups]
    texts: list[pl.Series] = []
    for group, column in zip(groups, columns, strict=True):
        variants = [column]
        if group.is_object:
            variants.append([_whole(group.name, members) for members in column])
        texts += [
            pl.Series(name, variant, dtype=pl.String)
            for name, variant in zip(group.texts, variants, strict=True)
        ]
    if dimension is None:
        return texts
    return pl.DataFrame(texts)[pl.Series(dimension.codes)].get_columns()


@lru_cache(maxsize=64)
def _memory(groups: tuple[Group, ...]) -> dict[tuple[Any, ...], tuple[str, ...]]:  # noqa: ARG001
    """Texts by row for these groups; a dictionary of its own, as hashing the groups is not free."""
    return {}


def _recall(groups: tuple[Group, ...], rows: Sequence[tuple[Any, ...]]) -> list[tuple[str, ...]]:
    """For each row, for each group, the present members, "" or beginning with a comma."""
    memory = _memory(groups)
    found = [memory.get(row) for row in rows]
    if None in found:
        if len(memory) > MOST_REMEMBERED:
            memory.clear()
        for number, row in enumerate(rows):
            if found[number] is None:
                found[number] = memory[row] = _members(groups, row)
    return found  # type: ignore[return-value]  # no None is left


def _members(groups: tuple[Group, ...], row: tuple[Any, ...]) -> tuple[str, ...]:
    texts = []
    start = 0
    for group in groups:
        end = start + len(group.columns)
        pairs = zip(group.members, row[start:end], strict=True)
        values = {name: value for name, value in pairs if value is not None}
        texts.append(f",{render(layout(tuple(values)), values)[1:-1]}" if values else "")
        start = end
    return tuple(texts)


def _whole(name: str, members: str) -> str:
    """A partly shared object that has no members of its own, as a member of the event."""
    return f',"{name}":{{{members[1:]}}}' if members else ""


def _members_in_columns(table: pl.DataFrame, group: Group) -> list[str]:
    renamed = [
        table[column].alias(member)
        for column, member in zip(group.columns, group.members, strict=True)
    ]
    objects = _encode_columns(pl.DataFrame(renamed), group.members, []).to_list()
    return ["" if text == "{}" else f",{text[1:-1]}" for text in objects]


@lru_cache(maxsize=4096)
def _arrange(present: Columns, texts: Columns) -> tuple[tuple[tuple[str, str], ...], Columns]:
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


def _encode_rows(events: pl.DataFrame, plan: Plan) -> list[str]:
    """Row by row: fewer rows than the fixed cost of columns is worth."""
    own = [events[name].to_list() for name in plan.own]
    shared = [
        [events[column].to_list() for group in groups for column in group.columns]
        for _, groups in plan.shared
    ]
    names = tuple(name for _, groups in plan.shared for group in groups for name in group.texts)
    encoded = []
    for number in range(events.height):
        values = {
            name: column[number]
            for name, column in zip(plan.own, own, strict=True)
            if column[number] is not None
        }
        present = tuple(values)
        texts: list[str] = []
        for (_, groups), columns in zip(plan.shared, shared, strict=True):
            row = tuple(column[number] for column in columns)
            for group, members in zip(groups, _recall(groups, [row])[0], strict=True):
                texts.append(members)
                if group.is_object:
                    texts.append(_whole(group.name, members))
        values |= zip(names, texts, strict=True)
        inner, tail = _arrange(present, names)
        if present:
            encoded.append(render(layout(present, inner, tail), values))
        else:
            encoded.append("{" + "".join(values[name] for name in tail)[1:] + "}")
    return encoded


def _encode_columns(events: pl.DataFrame, own: Columns, texts: Sequence[pl.Series]) -> pl.Series:
    """One expression for each pattern of presence."""
    parts = pl.DataFrame([*(events[name] for name in own), *texts])
    names = tuple(text.name for text in texts)
    optional = tuple(name for name in own if parts[name].null_count())
    if not optional:
        return _encode_pattern(parts, own, names)
    rows = _rows_by_code(_patterns(parts, optional))
    encoded = []
    for chosen in rows:
        one = int(chosen[0])
        absent = {name for name in optional if parts[name][one] is None}
        present = tuple(name for name in own if name not in absent)
        part = pl.DataFrame([parts[name] for name in (*present, *names)])[pl.Series(chosen)]
        encoded.append(_encode_pattern(part, present, names))
    if len(rows) == 1:
        return encoded[0]
    places = np.empty(events.height, dtype=np.uint32)
    places[np.concatenate(rows)] = np.arange(events.height, dtype=np.uint32)
    return pl.concat(encoded, rechunk=True)[pl.Series(places)]


def _encode_pattern(parts: pl.DataFrame, present: Columns, texts: Columns) -> pl.Series:
    inner, tail = _arrange(present, texts)
    if present:
        return parts.select(expression(present, inner, tail)).to_series()
    if tail:
        return pl.Series(["{" + "".join(row)[1:] + "}" for row in parts.select(tail).rows()])
    return pl.Series(["{}"]).new_from_index(0, parts.height)


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

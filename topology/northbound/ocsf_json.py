"""Events as nested OCSF JSON, one object a row, absent attributes omitted.

Attributes that follow from a code column (schemas/ocsf.py SHARED) are encoded once per code, and
their text is spliced in. The others are encoded in columns, for each pattern of presence with a
structure of just the attributes that are there, as Polars' encoder would write nulls. What a row
gives does not depend on the rows around it.
"""

import re
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

import polars as pl

from schemas import ocsf
from topology.dimension import SMALL
from topology.northbound.json_layout import PARTIAL, Row, writer
from topology.northbound.presence import Columns, arrange, encode_columns
from topology.northbound.shared_text import (
    LIST,
    Group,
    group_of,
    list_text,
    list_texts,
    recall,
    shared_texts,
)

LIST_ELEMENT: Final = re.compile(rf"([^.\[]+)\[[^\]]*\]{ocsf.JSON_SUFFIX}")
MOST_PATTERNS: Final = 4096
WRITTEN: Final = pl.col(ocsf.WRITTEN)
IS_ESCAPED: Final = WRITTEN.str.contains('["\\\\\x00-\x1f]')
ANY_ESCAPED: Final = [IS_ESCAPED.any()]
QUOTED: Final = pl.struct(WRITTEN.alias("v")).struct.json_encode()
ESCAPED: Final = QUOTED.str.slice(len('{"v":"')).str.head(-2).alias(ocsf.WRITTEN)


class Plan(NamedTuple):
    """How the columns of a frame are encoded."""

    own: Columns
    """Row by row."""
    shared: tuple[tuple[str, tuple[Group, ...]], ...]
    """Once per code."""
    lists: tuple[tuple[str, Columns], ...]
    """Arrays whose elements are JSON text in columns: text by text."""


def encode(events: pl.DataFrame, *, without: AbstractSet[str] = frozenset()) -> pl.Series:
    """One JSON text per row (Binary). `without` names columns to leave out."""
    rows = events.height
    events = _escaped(events)
    present = tuple(
        column.name
        for column in events
        if column.null_count() < rows and column.name not in without
    )
    plan = _plan(present)
    if rows < SMALL:
        return pl.Series(_encode_rows(events, plan), dtype=pl.String).cast(pl.Binary)
    texts = [text for code, groups in plan.shared for text in shared_texts(events, code, groups)]
    texts += [text for name, columns in plan.lists for text in list_texts(events, name, columns)]
    return encode_columns(events, plan.own, texts).cast(pl.Binary)


def _escaped(events: pl.DataFrame) -> pl.DataFrame:
    """With time stamps as JSON has them between quotes. Hardly ever is anything escaped in one."""
    if ocsf.WRITTEN not in events.columns or not events.select(ANY_ESCAPED).item():
        return events
    return events.with_columns(pl.when(IS_ESCAPED).then(ESCAPED).otherwise(WRITTEN))


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
        groups = [group_of(code, "", rest)]
        groups += [group_of(name, f"{name}.", found) for name, found in inside.items()]
        used = tuple(group for group in groups if group.columns)
        if used:
            shared.append((code, used))
    lists: dict[str, list[str]] = {}
    for column in written:
        found = LIST_ELEMENT.fullmatch(column)
        if found is not None:
            lists.setdefault(found[1], []).append(column)
    own = [column for column in written if column not in apart]
    for name, columns in list(lists.items()):
        if any(column.startswith(f"{name}[") and column not in columns for column in own):
            del lists[name]
        else:
            own = [column for column in own if column not in columns]
    texts = tuple((name, tuple(columns)) for name, columns in lists.items())
    return Plan(tuple(own), tuple(shared), texts)


def _order(column: str) -> tuple[int, str]:
    """Time first, the raw text after what was made of it, the rest by name."""
    return {"time": 0, "raw_data": 2}.get(column, 1), column


def _encode_rows(events: pl.DataFrame, plan: Plan) -> list[str]:
    """Row by row: fewer rows than the fixed cost of columns is worth."""
    texts = [
        recall(
            groups, pl.DataFrame([events[column] for group in groups for column in group.columns])
        )
        for _, groups in plan.shared
    ]
    for name, columns in plan.lists:
        elements = zip(*(events[column].to_list() for column in columns), strict=True)
        texts.append([(list_text(name, row),) for row in elements])
    names = tuple(name for _, groups in plan.shared for group in groups for name in group.texts)
    names += tuple(LIST + name for name, _ in plan.lists)
    writers = _writers(plan.own, names)
    values = [events[name].to_list() for name in plan.own]
    nothing: list[Row] = [()] * events.height
    rows = zip(*values, strict=True) if values else nothing
    together = zip(*texts, strict=True) if texts else nothing
    encoded = []
    for own, found in zip(rows, together, strict=True):
        absent = tuple([value is None for value in own])
        write = writers.get(absent)
        if write is None:
            if len(writers) >= MOST_PATTERNS:
                writers.clear()
            write = writers[absent] = _writer(plan.own, names, absent)
        encoded.append(write((*own, *chain.from_iterable(found))))
    return encoded


@lru_cache(maxsize=64)
def _writers(own: Columns, names: Columns) -> dict[tuple[bool, ...], Callable[[Row], str]]:  # noqa: ARG001
    """Writers by which of the row's own columns are absent."""
    return {}


def _writer(own: Columns, names: Columns, absent: tuple[bool, ...]) -> Callable[[Row], str]:
    present = tuple(name for name, missing in zip(own, absent, strict=True) if not missing)
    inner, tail = arrange(present, names)
    if present:
        return writer(own + names, present, inner, tail)
    places = [(own + names).index(name) for name in tail]
    return lambda row: "{" + "".join([row[place] for place in places])[1:] + "}"

"""Events as nested OCSF JSON, one object a row, absent attributes omitted.

Attributes that follow from a code column (schemas/ocsf.py SHARED) are encoded once per code, and
their text is spliced in. The others are encoded in columns, for each pattern of presence with a
structure of just the attributes that are there, as Polars' encoder would write nulls. What a row
gives does not depend on the rows around it.
"""

import re
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Final, NamedTuple

import polars as pl

from schemas import ocsf
from topology.dimension import SMALL
from topology.northbound.json_layout import PARTIAL, layout, render
from topology.northbound.presence import Columns, arrange, encode_columns
from topology.northbound.shared_text import (
    LIST,
    Group,
    group_of,
    list_texts,
    recall_one,
    shared_texts,
    whole,
)

LIST_ELEMENT: Final = re.compile(rf"([^.\[]+)\[[^\]]*\]{ocsf.JSON_SUFFIX}")


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
    own = [events[name].to_list() for name in plan.own]
    shared = [
        [events[column].to_list() for group in groups for column in group.columns]
        for _, groups in plan.shared
    ]
    names = tuple(name for _, groups in plan.shared for group in groups for name in group.texts)
    names += tuple(LIST + name for name, _ in plan.lists)
    lists = [[events[column].to_list() for column in columns] for _, columns in plan.lists]
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
            for group, members in zip(groups, recall_one(groups, row), strict=True):
                texts.append(members)
                if group.is_object:
                    texts.append(whole(group.name, members))
        for (name, _), columns in zip(plan.lists, lists, strict=True):
            elements = [c[number] for c in columns if c[number] is not None]
            texts.append(f',"{name}":[{",".join(elements)}]' if elements else "")
        values |= zip(names, texts, strict=True)
        inner, tail = arrange(present, names)
        if present:
            encoded.append(render(layout(present, inner, tail), values))
        else:
            encoded.append("{" + "".join(values[name] for name in tail)[1:] + "}")
    return encoded

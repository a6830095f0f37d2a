"""Texts that are spliced into many events: made once per distinct value, "" or after a comma.

`@class` and the like: members of the event that follow from that code. `@inner.metadata`: members
of an object that also has members of its own in the event; `@whole.metadata`: that object as a
member, for events where it has none. `@list.enrichments.0`: an element of an array.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from schemas import ocsf
from topology.dimension import Dimension, factorize, renumber
from topology.northbound.json_layout import layout, render
from topology.northbound.presence import INNER, WHOLE, encode_columns

MOST_REMEMBERED: Final = 65_536
FEW: Final = 512
"""Up to so many new rows are encoded one by one, more of them in columns."""
LIST: Final = "@list."

Columns: TypeAlias = tuple[str, ...]
Row: TypeAlias = tuple[Any, ...]


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


def group_of(name: str, prefix: str, columns: Sequence[str]) -> Group:
    return Group(name, tuple(columns), tuple(column.removeprefix(prefix) for column in columns))


def shared_texts(events: pl.DataFrame, code: str, groups: tuple[Group, ...]) -> list[pl.Series]:
    """What the code determines, for every row; without the code column, row by row."""
    table = pl.DataFrame([events[column] for group in groups for column in group.columns])
    dimension = None
    if code in events.columns:
        dimension = _dense(events[code])
        table = table[dimension.first]
    found = _recall(groups, table)
    texts: list[pl.Series] = []
    for number, group in enumerate(groups):
        members = [row[number] for row in found]
        variants = [members]
        if group.is_object:
            variants.append([whole(group.name, text) for text in members])
        texts += [
            pl.Series(name, variant, dtype=pl.String)
            for name, variant in zip(group.texts, variants, strict=True)
        ]
    if dimension is None:
        return texts
    return pl.DataFrame(texts)[dimension.number].get_columns()


def list_texts(events: pl.DataFrame, name: str, columns: Columns) -> list[pl.Series]:
    """The array as a member: a text for each element, and one that closes it.

    An element's text depends on whether it is the first one present, so there are two for each.
    """
    opened = np.zeros(events.height, dtype=np.bool_)
    texts = []
    for number, column in enumerate(columns):
        dimension = _codes_of(events, column)
        elements = dimension.distinct(events[column]).to_list()
        variants = [_element(f',"{name}":[', element) for element in elements]
        variants += [_element(",", element) for element in elements]
        index = dimension.codes + opened * np.uint32(dimension.size)
        text = pl.Series(variants, dtype=pl.String)[pl.Series(index.astype(np.uint32))]
        texts.append(text.alias(f"{LIST}{name}.{number}"))
        opened |= np.array([element is not None for element in elements])[dimension.codes]
    closing = pl.Series(["", "]"])[pl.Series(opened.astype(np.uint32))]
    return [*texts, closing.alias(f"{LIST}{name}.end")]


def _element(before: str, element: str | None) -> str:
    return "" if element is None else before + element


def _codes_of(events: pl.DataFrame, column: str) -> Dimension:
    code = ocsf.CODE + column
    return _dense(events[code]) if code in events.columns else factorize(events, [column])[0]


def _dense(code: pl.Series) -> Dimension:
    """A code column's numbers without the gaps that filtering leaves."""
    codes = code.to_numpy().astype(np.int64)
    return renumber(codes, int(codes.max(initial=0)) + 1)


@lru_cache(maxsize=64)
def _memory(groups: tuple[Group, ...]) -> dict[Row, tuple[str, ...]]:  # noqa: ARG001
    """Texts by row for these groups; a dictionary of its own, as hashing the groups is not free."""
    return {}


def recall_one(groups: tuple[Group, ...], row: Row) -> tuple[str, ...]:
    """For each group the members of an object that the row has, "" or beginning with a comma."""
    memory = _memory(groups)
    texts = memory.get(row)
    if texts is None:
        texts = _members(groups, row)
        _remember(memory, [row], [texts])
    return texts


def _recall(groups: tuple[Group, ...], table: pl.DataFrame) -> list[tuple[str, ...]]:
    """The same for each row of a table."""
    memory = _memory(groups)
    rows = table.rows()
    found = [memory.get(row) for row in rows]
    missing = [number for number, texts in enumerate(found) if texts is None]
    if missing:
        if len(missing) <= FEW:
            made = [_members(groups, rows[number]) for number in missing]
        else:
            part = table[missing]
            columns = [_members_in_columns(part, group) for group in groups]
            made = list(zip(*columns, strict=True))
        _remember(memory, [rows[number] for number in missing], made)
        for number, texts in zip(missing, made, strict=True):
            found[number] = texts
    return [texts for texts in found if texts is not None]


def _remember(
    memory: dict[Row, tuple[str, ...]], rows: list[Row], texts: list[tuple[str, ...]]
) -> None:
    if len(memory) + len(rows) > MOST_REMEMBERED:
        memory.clear()
    memory.update(zip(rows, texts, strict=True))


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


def whole(name: str, members: str) -> str:
    """A partly shared object that has no members of its own, as a member of the event."""
    return f',"{name}":{{{members[1:]}}}' if members else ""


def _members_in_columns(table: pl.DataFrame, group: Group) -> list[str]:
    renamed = [
        table[column].alias(member)
        for column, member in zip(group.columns, group.members, strict=True)
    ]
    objects = encode_columns(pl.DataFrame(renamed), group.members, []).to_list()
    return ["" if text == "{}" else f",{text[1:-1]}" for text in objects]

"""Texts that are spliced into many events: made once per distinct value, "" or after a comma.

`@class` and the like: members of the event that follow from that code. `@inner.metadata`: members
of an object that also has members of its own in the event; `@whole.metadata`: that object as a
member, for events where it has none. `@list.enrichments.0`: an element of an array.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import polars as pl

from schemas import ocsf
from topology.dimension import Dimension, factorize, renumber
from topology.northbound.json_layout import Row, writer
from topology.northbound.presence import INNER, WHOLE, encode_columns

MOST_REMEMBERED: Final = 65_536
FEW: Final = 512
"""Up to so many new rows are encoded one by one, more of them in columns."""
MANY: Final = 2_048
"""More rows of a batch are cheaper to encode in columns than to recall."""
LIST: Final = "@list."

Columns: TypeAlias = tuple[str, ...]
Texts: TypeAlias = tuple[str, ...]


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
    if table.height > MANY:
        texts = [text for group in groups for text in _columns_of(group, table)]
    else:
        columns = zip(*recall(groups, table), strict=True)
        names = [name for group in groups for name in group.texts]
        texts = [
            pl.Series(name, values, dtype=pl.String)
            for name, values in zip(names, columns, strict=True)
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


def list_text(name: str, elements: Row) -> str:
    """The same for one row."""
    present = [element for element in elements if element is not None]
    return f',"{name}":[{",".join(present)}]' if present else ""


@lru_cache(maxsize=64)
def _memory(groups: tuple[Group, ...]) -> dict[Row, Texts]:  # noqa: ARG001
    """Texts by row for these groups; a dictionary of its own, as hashing the groups is not free."""
    return {}


def recall(groups: tuple[Group, ...], table: pl.DataFrame) -> list[Texts]:
    """For each row of a table, which has the columns of the groups, their texts in order."""
    memory = _memory(groups)
    rows = table.rows()
    found = [memory.get(row) for row in rows]
    missing = [number for number, texts in enumerate(found) if texts is None]
    if missing:
        new: dict[Row, int] = {}
        for number in missing:
            new.setdefault(rows[number], number)
        if len(new) <= FEW:
            made = dict(zip(new, _by_row(groups, new), strict=True))
        else:
            made = dict(zip(new, _by_column(groups, table[list(new.values())]), strict=True))
        if len(memory) + len(made) > MOST_REMEMBERED:
            memory.clear()
        memory.update(made)
        for number in missing:
            found[number] = made[rows[number]]
    return [texts for texts in found if texts is not None]


def _by_row(groups: tuple[Group, ...], rows: Iterable[Row]) -> Iterator[Texts]:
    for row in rows:
        texts: list[str] = []
        start = 0
        for group in groups:
            end = start + len(group.columns)
            values = row[start:end]
            present = tuple(
                name for name, value in zip(group.members, values, strict=True) if value is not None
            )
            text = writer(group.members, present)(values) if present else "{}"
            texts += _variants(group, text)
            start = end
        yield tuple(texts)


def _by_column(groups: tuple[Group, ...], table: pl.DataFrame) -> Iterator[Texts]:
    texts: list[Texts] = []
    for group in groups:
        objects = _objects(group, table).to_list()
        texts += zip(*(_variants(group, text) for text in objects), strict=True)
    return zip(*texts, strict=True)


def _objects(group: Group, table: pl.DataFrame) -> pl.Series:
    renamed = [
        table[column].alias(member)
        for column, member in zip(group.columns, group.members, strict=True)
    ]
    return encode_columns(pl.DataFrame(renamed), group.members, [])


def _columns_of(group: Group, table: pl.DataFrame) -> list[pl.Series]:
    """As `_variants`, for each row of a table."""
    text = pl.col("text")
    inner = text.str.strip_prefix("{").str.strip_suffix("}")
    members = pl.concat_str(pl.lit(","), inner)
    variants = [members.alias(group.texts[0])]
    if group.is_object:
        whole = pl.concat_str(pl.lit(f',"{group.name}":'), text)
        variants.append(whole.alias(group.texts[1]))
    empty = text == "{}"
    chosen = [
        pl.when(empty).then(pl.lit("")).otherwise(each).alias(name)
        for each, name in zip(variants, group.texts, strict=True)
    ]
    return _objects(group, table).alias("text").to_frame().select(chosen).get_columns()


def _variants(group: Group, text: str) -> list[str]:
    """An object's text as the texts of its group."""
    members = "" if text == "{}" else f",{text[1:-1]}"
    if not group.is_object:
        return [members]
    return [members, f',"{group.name}":{text}' if members else ""]

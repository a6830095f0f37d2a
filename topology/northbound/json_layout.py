"""How the JSON text of an object is put together from flat columns, for columns and single rows.

A layout is a list of segments to write one after the other, for one pattern of presence. Members
come in this order: plain ones as one structure, then those that need text spliced in (JSON columns,
arrays, objects that are partly shared), then text that is shared, which begins with a comma.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, TypeAlias

import orjson
import polars as pl

from schemas import ocsf


class LayoutError(ValueError):
    """Two columns say different things about the same attribute."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """An attribute. `json`: the column holds JSON text. `unescaped`: its text needs no escaping."""

    column: str
    json: bool
    unescaped: bool


@dataclass(frozen=True, slots=True)
class Array:
    """Elements by label."""

    elements: dict[str, "Node"]


Tree: TypeAlias = dict[str, "Node"]
Node: TypeAlias = Leaf | Array | Tree


@dataclass(frozen=True, slots=True)
class Open:
    """The text of an object of plain members without its closing brace."""

    members: Tree


@dataclass(frozen=True, slots=True)
class Text:
    """The text in a column, as it is."""

    column: str


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a column, encoded."""

    column: str


Segment: TypeAlias = str | Open | Text | Value
Row: TypeAlias = tuple[Any, ...]

STEP = re.compile(r"([^.\[\]]+)(?:\[([^\]]*)\])?")
PARTIAL: Mapping[str, str] = {
    name.partition(".")[0]: code
    for code, names in ocsf.SHARED.items()
    for name in names
    if "." in name.rstrip(".")
}
"""Top-level objects of which only some members are shared, and by which code."""


def tree_of(columns: Sequence[str]) -> Tree:
    """Column names as a tree of attributes."""
    root: Tree = {}
    for column in columns:
        path = column.removesuffix(ocsf.JSON_SUFFIX)
        leaf = Leaf(column, json=path != column, unescaped=column in ocsf.UNESCAPED)
        members = root
        *steps, (name, label) = [step.groups() for step in STEP.finditer(path)]
        for step, element in steps:
            members = _enter(*_place(members, step, element, column), column)
        members, name = _place(members, name, label, column)
        members[name] = leaf
    return root


def _place(members: Tree, name: str, label: str | None, column: str) -> tuple[Tree, str]:
    """Where a step of a path lives: in an object, or in an array under its label."""
    if label is None:
        return members, name
    array = members.setdefault(name, Array({}))
    if not isinstance(array, Array):
        raise LayoutError(f"column {column!r}: {name} is no array in other columns")
    return array.elements, label


def _enter(members: Tree, name: str, column: str) -> Tree:
    inside = members.setdefault(name, {})
    if not isinstance(inside, dict):
        raise LayoutError(f"column {column!r}: {name} is no object in other columns")
    return inside


def _is_plain(node: Node) -> bool:
    if isinstance(node, Leaf):
        return not (node.json or node.unescaped)
    return isinstance(node, dict) and all(_is_plain(member) for member in node.values())


@lru_cache(maxsize=4096)
def layout(
    columns: tuple[str, ...], inner: tuple[tuple[str, str], ...] = (), tail: tuple[str, ...] = ()
) -> tuple[Segment, ...]:
    """Segments of an event whose present attributes are `columns`, at least one.

    `inner`: pairs of a top-level object and the text column with its shared members. `tail`: text
    columns with shared members of the event. Both hold texts that are "" or begin with a comma.
    """
    texts = {name: (column,) for name, column in inner}
    tree = tree_of(columns)
    plain = {name: node for name, node in tree.items() if name not in PARTIAL and _is_plain(node)}
    return tuple(_join(_object(tree, plain, texts, tail)))


def _object(
    tree: Tree, plain: Tree, inner: Mapping[str, Sequence[str]], tail: Sequence[str]
) -> list[Segment]:
    segments: list[Segment] = [Open(plain) if plain else "{"]
    comma = "," if plain else ""
    for name, node in tree.items():
        if name not in plain:
            segments += [f"{comma}{_quote(name)}:", *_value(node, inner.get(name, ()))]
            comma = ","
    return [*segments, *(Text(column) for column in tail), "}"]


def _value(node: Node, shared: Sequence[str]) -> list[Segment]:
    if isinstance(node, dict):
        plain = {name: member for name, member in node.items() if _is_plain(member)}
        return _object(node, plain, {}, shared)
    if isinstance(node, Leaf):
        if node.unescaped:
            return ['"', Text(node.column), '"']
        return [Text(node.column)] if node.json else [Value(node.column)]
    segments: list[Segment] = ["["]
    for number, element in enumerate(node.elements.values()):
        segments += ["," if number else "", *_value(element, ())]
    return [*segments, "]"]


def _quote(name: str) -> str:
    return orjson.dumps(name).decode()


def _join(segments: Sequence[Segment]) -> list[Segment]:
    """Neighbouring constants as one."""
    joined: list[Segment] = []
    for segment in segments:
        if isinstance(segment, str) and joined and isinstance(joined[-1], str):
            joined[-1] += segment
        elif segment != "":
            joined.append(segment)
    return joined


@lru_cache(maxsize=4096)
def expression(
    columns: tuple[str, ...], inner: tuple[tuple[str, str], ...] = (), tail: tuple[str, ...] = ()
) -> pl.Expr:
    """The layout as an expression that gives String; the columns must not have nulls."""
    return pl.concat_str([_in_columns(segment) for segment in layout(columns, inner, tail)])


def _in_columns(segment: Segment) -> pl.Expr:
    if isinstance(segment, str):
        return pl.lit(segment)
    if isinstance(segment, Text):
        return pl.col(segment.column)
    if isinstance(segment, Value):
        text = pl.struct(pl.col(segment.column).alias("v")).struct.json_encode()
        return text.str.slice(len('{"v":')).str.head(-1)
    return _structure(segment.members).struct.json_encode().str.head(-1)


def _structure(members: Tree) -> pl.Expr:
    return pl.struct(
        [
            (pl.col(node.column) if isinstance(node, Leaf) else _structure(node)).alias(name)
            for name, node in members.items()
            if not isinstance(node, Array)
        ]
    )


@lru_cache(maxsize=4096)
def writer(
    given: tuple[str, ...],
    columns: tuple[str, ...],
    inner: tuple[tuple[str, str], ...] = (),
    tail: tuple[str, ...] = (),
) -> Callable[[Row], str]:
    """The layout as a function of one row, whose values are those of the columns `given`."""
    places = {column: place for place, column in enumerate(given)}
    pieces: list[str] = []
    order: list[int] = []
    made: list[Callable[[Row], str]] = []
    for segment in layout(columns, inner, tail):
        if isinstance(segment, str):
            pieces.append(segment.replace("%", "%%"))
            continue
        pieces.append("%s")
        if isinstance(segment, Text):
            order.append(places[segment.column])
            continue
        order.append(len(given) + len(made))
        if isinstance(segment, Value):
            made.append(_encoded(itemgetter(places[segment.column])))
        else:
            made.append(_opened(_nested(segment.members, places)))
    template, pick = "".join(pieces), _picker(order)
    return lambda row: template % pick((*row, *[make(row) for make in made]))


def _encoded(value: Callable[[Row], Any]) -> Callable[[Row], str]:
    return lambda row: orjson.dumps(value(row)).decode()


def _opened(value: Callable[[Row], Any]) -> Callable[[Row], str]:
    return lambda row: orjson.dumps(value(row))[:-1].decode()


def _nested(members: Tree, places: Mapping[str, int]) -> Callable[[Row], dict[str, Any]]:
    """Objects of plain members, from one row."""
    names: list[str] = []
    order: list[int] = []
    inside: list[Callable[[Row], dict[str, Any]]] = []
    for name, node in members.items():
        if isinstance(node, Array):
            continue
        names.append(name)
        if isinstance(node, Leaf):
            order.append(places[node.column])
        else:
            order.append(len(places) + len(inside))
            inside.append(_nested(node, places))
    pick = _picker(order)
    if not inside:
        return lambda row: dict(zip(names, pick(row), strict=True))
    return lambda row: dict(zip(names, pick((*row, *[make(row) for make in inside])), strict=True))


def _picker(order: Sequence[int]) -> Callable[[Row], Row]:
    """`itemgetter`, which gives no tuple for one place and does not exist for none."""
    if len(order) > 1:
        return itemgetter(*order)
    return lambda row: tuple(row[place] for place in order)

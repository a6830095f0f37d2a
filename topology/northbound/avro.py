"""Events as Avro records (schemas/avro/event.v<n>.avsc) in single-object encoding, in columns.

Avro 1.12, "Binary Encoding" and "Single-object encoding": 0xC3 0x01, the schema's CRC-64-AVRO
fingerprint, then the fields in order. A field that may be null has its branch before it: 0x00 null,
0x02 a value. What a code column determines (schemas/ocsf.py SHARED) is encoded once per code.
"""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import cache
from itertools import groupby
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import event, ocsf
from schemas.codec import header, registered
from schemas.event import Node
from schemas.packed_columns import slices, with_length
from topology.dimension import renumber
from topology.northbound import ocsf_json

NULL, VALUE = b"\0", b"\2"
_NOTHING: Final = pl.Series([None], dtype=pl.Binary)
LONGEST: Final = 10
"""Bytes of a long at most."""

Piece: TypeAlias = bytes | pl.Series
"""What is written next: the same for all rows, or a Binary value for each."""


@cache
def _tree() -> tuple[Node, ...]:
    return event.tree()


@cache
def _leaves() -> Mapping[str, Node]:
    return {leaf.path: leaf for node in _tree() for leaf in node.leaves()}


def encode(
    events: pl.DataFrame,
    *,
    without: AbstractSet[str] = frozenset(),
    schema_id: int | None = None,
) -> pl.Series:
    """One record per row (Binary). `without` names attributes to leave out.

    `schema_id`: of a schema registry; the record then begins with it, in Confluent's wire format,
    instead of the header of the single-object encoding.

    An attribute of another type than its field's is in `other`.
    """
    present = {
        name
        for name, leaf in _leaves().items()
        if name in events.columns
        and name not in without
        and _fits(events[name].dtype, leaf)
        and events[name].null_count() < events.height
    }
    codes = {
        name: code
        for code in ocsf.SHARED
        if code in events.columns
        for name in ocsf.shared_by(code, present)
    }
    rest = ocsf_json.encode(events, without=without | present)
    other = rest.zip_with(rest.bin.size() > len("{}"), _NOTHING.new_from_index(0, len(rest)))
    head = header(event.RECORD) if schema_id is None else registered(schema_id)
    pieces = [head, *_fields(events, _tree(), present, codes), *_optional(other)]
    return _joined(pieces, events.height)


def longs(numbers: npt.NDArray[np.int64]) -> pl.Series:
    """Each as an Avro long (Binary): zigzag, then seven bits a byte, least significant first."""
    rest = ((numbers << 1) ^ (numbers >> 63)).astype(np.uint64)
    digits = np.empty((len(numbers), LONGEST), np.uint8)
    sizes = np.ones(len(numbers), np.int64)
    for place in range(LONGEST):
        digits[:, place] = rest & np.uint64(127)
        rest >>= np.uint64(7)
        more = rest > 0
        if not more.any():
            break
        digits[more, place] |= 128
        sizes += more
    used = np.arange(LONGEST) < sizes[:, None]
    return slices(digits[used].tobytes(), np.cumsum(sizes) - sizes, sizes)


def _fits(dtype: pl.DataType, leaf: Node) -> bool:
    if leaf.kind == "string":
        return dtype == pl.String
    return dtype.is_integer() and dtype != pl.UInt64


def _fields(
    events: pl.DataFrame,
    nodes: Sequence[Node],
    present: AbstractSet[str],
    codes: Mapping[str, str],
) -> Iterable[Piece]:
    """The fields of a record. Neighbours that one code determines are one piece."""
    for code, group in groupby(nodes, lambda node: _code(node, present, codes)):
        members = list(group)
        if code is None:
            for node in members:
                yield from _field(events, node, present, codes)
            continue
        numbers = events[code].to_numpy().astype(np.int64)
        dimension = renumber(numbers, int(numbers.max(initial=0)) + 1)
        leaves = [leaf.path for node in members for leaf in node.leaves() if leaf.path in present]
        few = pl.DataFrame([events[name] for name in leaves])[dimension.first]
        pieces = [piece for node in members for piece in _field(few, node, present, {})]
        yield _joined(pieces, few.height)[dimension.number]


def _code(node: Node, present: AbstractSet[str], codes: Mapping[str, str]) -> str | None:
    """The code that determines all that is there of a field, if anything is."""
    found = {codes.get(leaf.path) for leaf in node.leaves() if leaf.path in present}
    return found.pop() if len(found) == 1 else None


def _field(
    events: pl.DataFrame, node: Node, present: AbstractSet[str], codes: Mapping[str, str]
) -> Iterable[Piece]:
    leaves = [leaf.path for leaf in node.leaves() if leaf.path in present]
    if not leaves:
        return [NULL]
    if node.kind != "record":
        return _value(events[node.path], required=node.path == event.REQUIRED)
    inner = list(_fields(events, node.members, present, codes))
    if any(not events[name].null_count() for name in leaves):
        return [VALUE, *inner]
    there = np.zeros(events.height, dtype=np.bool_)
    for name in leaves:
        there |= events[name].is_not_null().to_numpy()
    if there.all():
        return [VALUE, *inner]
    return [_where(there, _joined([VALUE, *inner], events.height))]


def _value(column: pl.Series, *, required: bool) -> Iterable[Piece]:
    if column.dtype == pl.String:
        return _optional(column.cast(pl.Binary))
    branch = [] if required else [VALUE]
    if not column.null_count():
        return [*branch, longs(column.cast(pl.Int64).to_numpy())]
    if required:
        raise ValueError(f"{column.null_count()} events without {column.name}")
    numbers = longs(column.cast(pl.Int64).fill_null(0).to_numpy())
    there = column.is_not_null().to_numpy()
    return [_where(there, _joined([VALUE, numbers], len(column)))]


def _optional(texts: pl.Series) -> Iterable[Piece]:
    """Binary values, or nothing, each as a string after its branch."""
    if not texts.null_count():
        return [VALUE, with_length(texts)]
    there = texts.is_not_null().to_numpy()
    if not there.any():
        return [NULL]
    return [_where(there, _joined([VALUE, with_length(texts.fill_null(b""))], len(texts)))]


def _where(there: npt.NDArray[np.bool_], values: pl.Series) -> pl.Series:
    nothing = pl.Series([NULL]).new_from_index(0, len(values))
    return values.zip_with(pl.Series(there), nothing)


def _joined(pieces: Sequence[Piece], height: int) -> pl.Series:
    """The pieces one after the other, for each row."""
    columns: list[pl.Series] = []
    parts: list[pl.Expr] = []
    for constant, group in groupby(pieces, lambda piece: isinstance(piece, bytes)):
        if constant:
            parts.append(pl.lit(b"".join(piece for piece in group if isinstance(piece, bytes))))
            continue
        for piece in group:
            assert isinstance(piece, pl.Series)  # noqa: S101  # all others are constants
            columns.append(piece.alias(str(len(columns))))
            parts.append(pl.col(columns[-1].name))
    if not columns:
        whole = b"".join(piece for piece in pieces if isinstance(piece, bytes))
        return pl.Series([whole]).new_from_index(0, height)
    while len(parts) > 1:
        # Neighbours in pairs: each byte is copied a few times only.
        pairs = [parts[at : at + 2] for at in range(0, len(parts), 2)]
        parts = [pair[0] if len(pair) == 1 else pair[0] + pair[1] for pair in pairs]
    return pl.DataFrame(columns).select(parts[0].alias("joined")).to_series()

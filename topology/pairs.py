"""Open-ended fields of a row: whatever names a line has, with their values, in the line's order.

A column whose name ends in `:pairs` holds lists of PAIR, one list a row. That is what Arrow calls a
map, and is one long frame (row, name, value) with offsets: names may repeat, nothing is lost, and
the rows can be filtered and exchanged like those of any column (docs/adr/0008-pairs.md).
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from topology.dimension import SMALL, Dimension, factorize

SUFFIX: Final = ":pairs"
PAIR: Final = pl.Struct({"name": pl.String, "value": pl.String})
PAIRS: Final = pl.List(PAIR)

DENSE: Final = 1 << 24
"""Largest table of rows by names for finding repeated names."""
SIGNS: Final = pl.Series(["", ",", "]"])
ESCAPED: Final = r'["\\\x00-\x1f]'
"""What JSON texts have to escape."""
QUOTED: Final = pl.struct(pl.col("text")).struct.json_encode().str.strip_prefix('{"text":')
TO_JSON: Final = [
    pl.when(pl.col("text").str.contains(ESCAPED))
    .then(QUOTED.str.strip_suffix("}"))
    .otherwise(pl.concat_str(pl.lit('"'), pl.col("text"), pl.lit('"')))
]


class Flat(NamedTuple):
    """All pairs of a column, one after the other; `places`: the row that each belongs to.
    `numbering`: the distinct names, where they are known."""

    places: npt.NDArray[np.uint32]
    names: pl.Series
    values: pl.Series
    numbering: Dimension | None = None

    def numbered(self) -> Dimension:
        """The distinct names."""
        if self.numbering is not None:
            return self.numbering
        return factorize(pl.DataFrame([self.names.alias("name")]), ["name"])[0]


def flatten(column: pl.Series) -> Flat:
    """From lists to one long frame; costs nothing but the places."""
    names, values = (
        column.explode(empty_as_null=False, keep_nulls=False).struct.unnest().get_columns()
    )
    return Flat(np.repeat(np.arange(len(column), dtype=np.uint32), lengths(column)), names, values)


def lengths(column: pl.Series) -> npt.NDArray[np.uint32]:
    """How many elements each list has; none for null."""
    return (
        column.to_frame("lists")
        .select(pl.col("lists").list.len().fill_null(0))
        .to_series()
        .to_numpy()
    )


def gather(places: npt.NDArray[np.uint32], elements: pl.Series, rows: int) -> pl.Series:
    """The other way: ascending places of `rows` rows, and an element for each, to lists."""
    grouped = (
        pl.DataFrame([pl.Series("place", places), elements.alias("element")])
        .group_by("place", maintain_order=True)
        .agg("element")
    )
    lists = grouped["element"]
    if grouped.height == rows:
        return lists
    source = np.full(rows, grouped.height, dtype=np.uint32)
    source[grouped["place"].to_numpy()] = np.arange(grouped.height, dtype=np.uint32)
    return pl.concat([lists, pl.Series("element", [[]], dtype=lists.dtype)])[pl.Series(source)]


def build(flat: Flat, rows: int) -> pl.Series:
    """The column of PAIRS that `flatten` makes such a frame of."""
    pairs = pl.DataFrame([flat.names.alias("name"), flat.values.alias("value")])
    return gather(flat.places, pairs.to_struct("element"), rows)


def value_of(column: pl.Series, name: str) -> pl.Series:
    """The first value of this name in each row, or null."""
    flat = flatten(column)
    found = np.flatnonzero((flat.names == name).to_numpy())[::-1]
    source = np.zeros(len(column), dtype=np.uint32)
    source[flat.places[found]] = found
    missing = np.ones(len(column), dtype=np.bool_)
    missing[flat.places[found]] = False
    return flat.values[pl.Series(source).set(pl.Series(missing), None)].alias(name)


def as_object(pairs: list[dict[str, str]]) -> dict[str, str | list[str]]:
    """One row's pairs; a name that repeats gives a list."""
    found: dict[str, str | list[str]] = {}
    for pair in pairs:
        name, value = pair["name"], pair["value"]
        known = found.get(name)
        if known is None:
            found[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            found[name] = [known, value]
    return found


def to_json(column: pl.Series) -> pl.Series:
    """Each row's pairs as a JSON object, as `as_object` has them; null for a row without any."""
    rows = len(column)
    if rows < SMALL:
        return _one_by_one(column)
    flat = flatten(column)
    names = flat.numbered()
    if len(flat.places) == 0:
        return pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    if rows * names.size > DENSE:
        half = rows // 2
        return pl.concat([to_json(column[:half]), to_json(column[half:])])
    order, starts, ends = _members(flat.places, names.codes, names.size, rows)
    keys = [orjson.dumps(name).decode() + ":" for name in names.distinct(flat.names).to_list()]
    table = pl.Series(["", *keys, *(key + "[" for key in keys)], dtype=pl.String)
    codes = names.codes[order].astype(np.int64)
    key = np.where(starts, 1 + codes + np.where(ends, 0, names.size), 0)
    places = flat.places[order]
    first = np.ones(len(places), dtype=np.bool_)
    first[1:] = places[1:] != places[:-1]
    parts = pl.DataFrame(
        [
            SIGNS[pl.Series((~first).astype(np.uint32))].alias("comma"),
            table[pl.Series(key)].alias("key"),
            texts_to_json(flat.values[pl.Series(order)]).alias("value"),
            SIGNS[pl.Series(np.where(ends & ~starts, 2, 0).astype(np.uint32))].alias("end"),
        ]
    ).select(pl.concat_str("comma", "key", "value", "end"))
    lists = gather(places, parts.to_series(), rows).to_frame("lists")
    return lists.select(_wrapped("{", "}", "")).to_series()


def _members(
    places: npt.NDArray[np.uint32], codes: npt.NDArray[np.uint32], size: int, rows: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """The order that brings equal names of a row together, where the first of them is; and in that
    order, which pairs begin and which end such a group."""
    cells = places.astype(np.int64) * size + codes
    first = np.zeros(rows * size, dtype=np.uint32)
    first[cells[::-1]] = np.arange(len(cells) - 1, -1, -1, dtype=np.uint32)
    leader = first[cells]
    everywhere = np.arange(len(cells))
    if (leader == everywhere).all():
        alone = np.ones(len(cells), dtype=np.bool_)
        return everywhere, alone, alone
    order = np.argsort(leader, kind="stable")
    leader = leader[order]
    changes = leader[1:] != leader[:-1]
    starts = np.concatenate([[True], changes])
    ends = np.concatenate([changes, [True]])
    return order, starts, ends


def lists_to_json(column: pl.Series) -> pl.Series:
    """Lists of texts as JSON arrays."""
    flat = column.explode(empty_as_null=False, keep_nulls=False)
    places = np.repeat(np.arange(len(column), dtype=np.uint32), lengths(column))
    lists = gather(places, texts_to_json(flat), len(column)).to_frame("lists")
    return lists.select(_wrapped("[", "]", ",").fill_null("[]")).to_series()


def texts_to_json(texts: pl.Series) -> pl.Series:
    """Each text as a JSON string."""
    return texts.to_frame("text").select(TO_JSON).to_series()


def _wrapped(start: str, end: str, between: str) -> pl.Expr:
    lists = pl.col("lists")
    joined = pl.concat_str(pl.lit(start), lists.list.join(between), pl.lit(end))
    return pl.when(lists.list.len() > 0).then(joined)


def _one_by_one(column: pl.Series) -> pl.Series:
    objects = [as_object(pairs or []) for pairs in column.to_list()]
    return pl.Series(
        [orjson.dumps(each).decode() if each else None for each in objects], dtype=pl.String
    )

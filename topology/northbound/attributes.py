"""Attributes of an event as `key=value` pairs, for formats that are lines of them (CEF, LEEF)."""

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.texts import as_text

Escape = Callable[[pl.Expr], pl.Expr]
HEADER: Final[Mapping[str, Sequence[str]]] = {
    "vendor": ("metadata.product.vendor_name", "metadata.product.name"),
    "product": ("metadata.product.name",),
    "version": ("metadata.product.version",),
    "event": ("finding_info.analytic.uid", "metadata.event_code", "type_uid"),
    "name": ("finding_info.title", "activity_name", "class_name", "type_uid"),
}
"""What stands in a header, and the attributes that say it, the first that is there."""


def text(events: pl.DataFrame, column: str) -> pl.Series:
    """A column as String; the elements of a list with commas between them."""
    values = events[column]
    if isinstance(values.dtype, pl.List):
        values = values.list.eval(pl.element().cast(pl.String)).list.join(",", ignore_nulls=True)
    return as_text(values).rename(column)


def first(
    events: pl.DataFrame,
    columns: Sequence[str],
    otherwise: str = "",
    *,
    without: AbstractSet[str] = frozenset(),
) -> pl.Series:
    """For each event the first of these attributes that it has and that is not left out."""
    found = pl.Series([None], dtype=pl.String).new_from_index(0, events.height)
    for column in columns:
        if column in events.columns and column not in without and found.null_count():
            values = text(events, column)
            found = values.set(found.is_not_null(), None).zip_with(found.is_null(), found)
    return found.fill_null(otherwise)


def pairs(
    events: pl.DataFrame,
    keys: Mapping[str, str],
    *,
    escape: Escape,
    separator: str,
    without: AbstractSet[str] = frozenset(),
) -> pl.Series:
    """`keys`: attribute to the format's key, in the order they are written. Absent ones are not."""
    present = {
        column: key
        for column, key in keys.items()
        if column in events.columns
        and column not in without
        and events[column].null_count() < events.height
    }
    if not present:
        return pl.Series([""]).new_from_index(0, events.height)
    texts = pl.DataFrame([text(events, column) for column in present])
    parts = [pl.lit(f"{key}=") + escape(pl.col(column)) for column, key in present.items()]
    joined = pl.concat_str(parts, separator=separator, ignore_nulls=True)
    return texts.select(joined.alias("pairs")).to_series()


def header(
    events: pl.DataFrame, escape: Escape, *, without: AbstractSet[str] = frozenset()
) -> pl.DataFrame:
    """The columns of HEADER, as texts, and none that is null."""
    texts = [
        first(events, columns, without=without).rename(name) for name, columns in HEADER.items()
    ]
    return pl.DataFrame(texts).select([escape(pl.col(name)) for name in HEADER])


def severity(events: pl.DataFrame, scale: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """OCSF's severity_id on another scale, which has a number for each of 0 to 6."""
    if "severity_id" not in events.columns:
        return np.full(events.height, scale[0])
    numbers = events["severity_id"].cast(pl.Int64).fill_null(0).to_numpy()
    return scale[np.where((numbers < 0) | (numbers >= len(scale)), 0, numbers)]

"""Distinct values of columns: codes per row, so that work is done once per value and not per row.

Audit data repeats itself: a batch of 20,000 lines has a few hundred users, addresses and
operations. A `Dimension` numbers the distinct values; whatever depends on them alone is computed
for the first row of each and spread back over all rows by code.

Here and in the stages, Series are indexed (`series[index]`) and compared, but other methods of
Series are avoided: they go through the query engine, whose fixed cost small batches pay for.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Codes: TypeAlias = npt.NDArray[np.uint32]

SMALL = 128
"""Below this many rows a loop is quicker than the fixed cost of columns."""
DENSE = 1 << 20
"""Largest table for renumbering combined codes by direct index."""


class Dimension:
    """`codes`: one per row, dense in [0, size)."""

    def __init__(self, codes: Codes, size: int) -> None:
        self.codes = codes
        self.size = size

    @cached_property
    def number(self) -> pl.Series:
        """The codes as a Series, to index by or to keep as a column."""
        return pl.Series(self.codes)

    @cached_property
    def first(self) -> pl.Series:
        """For each code a row that has it."""
        rows = np.zeros(self.size, dtype=np.uint32)
        rows[self.codes[::-1]] = np.arange(len(self.codes) - 1, -1, -1, dtype=np.uint32)
        return pl.Series(rows)

    def distinct(self, column: pl.Series) -> pl.Series:
        """From one value per row to one per code."""
        return column[: self.size] if self.size <= 1 else column[self.first]


def factorize(frame: pl.DataFrame, names: Sequence[str]) -> list[Dimension]:
    """Number the distinct values of each of these String columns; null counts as a value."""
    rows = frame.height
    if rows < SMALL:
        return [_count(frame[name].to_list()) for name in names]
    varying = [name for name in names if not _is_constant(frame[name])]
    if varying:
        # Categories of their own, so that no process-wide table of them grows.
        frame = frame.select(
            [
                pl.col(name).cast(pl.Categorical(pl.Categories.random())).to_physical()
                for name in varying
            ]
        )
    constant = np.zeros(rows, dtype=np.uint32)
    return [
        _from_physical(frame[name]) if name in varying else Dimension(constant, 1) for name in names
    ]


def _is_constant(column: pl.Series) -> bool:
    nulls = column.null_count()
    if nulls:
        return nulls == len(column)
    return bool((column == column[0]).all())


def _count(values: Sequence[str | None]) -> Dimension:
    seen: dict[str | None, int] = {}
    codes = np.array([seen.setdefault(value, len(seen)) for value in values], dtype=np.uint32)
    return Dimension(codes, len(seen))


def _from_physical(physical: pl.Series) -> Dimension:
    if physical.null_count():
        rows = len(physical)
        return renumber(physical.cast(pl.Int64).fill_null(rows).to_numpy(), rows + 1)
    codes = physical.to_numpy()
    return Dimension(codes, int(codes.max()) + 1)


def renumber(values: npt.NDArray[np.int64], bound: int) -> Dimension:
    """A dimension from any numbers in [0, bound)."""
    if len(values) == 0:
        return Dimension(values.astype(np.uint32), 0)
    if bound <= DENSE:
        present = np.zeros(bound, dtype=np.bool_)
        present[values] = True
        numbers = np.cumsum(present, dtype=np.uint32) - np.uint32(1)
        return Dimension(numbers[values], int(numbers[-1]) + 1)
    distinct, inverse = np.unique(values, return_inverse=True)
    return Dimension(inverse.astype(np.uint32), len(distinct))


def combine(*dimensions: Dimension) -> Dimension:
    """The distinct combinations of several dimensions over the same rows."""
    used = [dimension for dimension in dimensions if dimension.size > 1]
    if len(used) < 2:
        return used[0] if used else dimensions[0]
    codes = used[0].codes.astype(np.int64)
    size = used[0].size
    for dimension in used[1:]:
        if size * dimension.size > 2**62:
            packed = renumber(codes, size)
            codes, size = packed.codes.astype(np.int64), packed.size
        codes = codes * dimension.size + dimension.codes
        size *= dimension.size
    return renumber(codes, size)

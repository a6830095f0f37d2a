"""Distinct values of columns: codes per row, so that work is done once per value and not per row.

Audit data repeats itself: a batch of 20,000 lines has a few hundred users, addresses and
operations. A `Dimension` numbers the distinct values; whatever depends on them alone is computed
for the first row of each and spread back over all rows by code.

Series are indexed (`series[index]`) and not `gather`ed: the latter goes through the query engine,
whose fixed cost is what a small batch pays for.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

Codes: TypeAlias = npt.NDArray[np.uint32]

SMALL = 64
"""Below this many rows a loop is quicker than the fixed cost of columns."""
DENSE = 1 << 20
"""Largest table for renumbering combined codes by direct index."""


class Dimension(NamedTuple):
    """`codes`: one per row, dense from 0, also as Series `number`. `first`: for each code a row."""

    codes: Codes
    number: pl.Series
    first: pl.Series

    @property
    def size(self) -> int:
        return len(self.first)

    def distinct(self, column: pl.Series) -> pl.Series:
        """From one value per row to one per code."""
        return column[self.first]

    def spread(self, values: pl.Series) -> pl.Series:
        """From one value per code to one per row."""
        return values[self.number]


def factorize(column: pl.Series) -> Dimension:
    """Number the distinct values of a String column; null counts as a value."""
    rows = len(column)
    if rows < SMALL:
        seen: dict[str | None, int] = {}
        codes = np.array([seen.setdefault(v, len(seen)) for v in column.to_list()], dtype=np.uint32)
        return from_codes(codes, len(seen))
    if not column.null_count() and (column == column[0]).all():
        return from_codes(np.zeros(rows, dtype=np.uint32), 1)
    # A namespace of its own, so that no process-wide table of categories grows.
    category = pl.Categorical(pl.Categories.random())
    physical = column.to_frame().select(pl.first().cast(category).to_physical()).to_series()
    if physical.null_count():
        filled = physical.cast(pl.Int64).fill_null(rows).to_numpy()
        return renumber(filled, rows + 1)
    codes = physical.to_numpy()
    return from_codes(codes, int(codes.max()) + 1)


def from_codes(codes: Codes, size: int) -> Dimension:
    """A dimension from codes that are dense in [0, size)."""
    first = np.empty(size, dtype=np.uint32)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1, dtype=np.uint32)
    return Dimension(codes, pl.Series(codes), pl.Series(first))


def renumber(values: npt.NDArray[np.int64], bound: int) -> Dimension:
    """A dimension from any numbers in [0, bound)."""
    if len(values) == 0:
        return from_codes(values.astype(np.uint32), 0)
    if bound <= DENSE:
        present = np.zeros(bound, dtype=np.bool_)
        present[values] = True
        numbers = np.cumsum(present, dtype=np.uint32) - np.uint32(1)
        return from_codes(numbers[values], int(numbers[-1]) + 1)
    distinct, inverse = np.unique(values, return_inverse=True)
    return from_codes(inverse.astype(np.uint32), len(distinct))


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

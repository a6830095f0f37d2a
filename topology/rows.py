"""Rows of a frame exchanged by position, at the cost of one index operation."""

import numpy as np
import numpy.typing as npt
import polars as pl


def overlay(
    frame: pl.DataFrame, positions: npt.NDArray[np.intp], replacement: pl.DataFrame
) -> pl.DataFrame:
    """The frame with the rows at `positions` taken from `replacement` (same columns, in order)."""
    source = np.arange(frame.height, dtype=np.uint32)
    source[positions] = np.arange(frame.height, frame.height + len(positions), dtype=np.uint32)
    return pl.concat([frame, replacement], rechunk=True)[pl.Series(source)]


def expand(table: pl.DataFrame, positions: npt.NDArray[np.intp], height: int) -> pl.DataFrame:
    """A frame of `height` rows with those of `table` at `positions` and nulls elsewhere."""
    source = np.zeros(height, dtype=np.uint32)
    source[positions] = np.arange(table.height, dtype=np.uint32)
    nothing = np.ones(height, dtype=np.bool_)
    nothing[positions] = False
    return table[pl.Series(source).set(pl.Series(nothing), None)]


def unnest(frame: pl.DataFrame, structure: pl.Expr) -> list[pl.Series]:
    """The fields of one expression that gives a struct.

    Unnesting afterwards costs a third of `select(structure.struct.unnest())`, which makes the
    engine plan and schedule every field.
    """
    return frame.select(structure).to_series().struct.unnest().get_columns()

"""How much the assets behind an event matter: the level that alerts about it have at least.

Assets are what enrichment knows of an event: a column `priority` of a table, as the name of a level
or as a number from 0 to 10 in the bands of CEF's severity (4 medium, 7 high, 9 critical).
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.levels import LEVELS, Level

PRIORITY = "@priority"
"""The column of the highest level among an event's assets."""
ELEMENT = "enrichments["
BANDS: tuple[tuple[float, Level], ...] = ((9, "critical"), (7, "high"), (4, "medium"), (0, "low"))
HIGHEST = 10


def with_priority(events: pl.DataFrame, rows: npt.NDArray[np.int64]) -> pl.DataFrame:
    """The events with PRIORITY (String) for some rows; as they are where no asset has one."""
    names = [
        name
        for name in events.columns
        if name.startswith(ELEMENT) and name.endswith(ocsf.JSON_SUFFIX)
    ]
    if not names or not len(rows):
        return events
    ranks = np.zeros(len(rows), dtype=np.int64)
    for name in names:
        cells = events[name].gather(rows).str.json_path_match("$.data.priority")
        known = {cell: rank for cell in cells.unique().to_list() if (rank := _rank(cell))}
        if known:
            np.maximum(ranks, [known.get(cell, 0) for cell in cells.to_list()], out=ranks)
    if not ranks.any():
        return events
    found: list[Level | None] = [None] * events.height
    for row, rank in zip(rows.tolist(), ranks.tolist(), strict=True):
        if rank:
            found[row] = LEVELS[rank - 1]
    return events.with_columns(pl.Series(PRIORITY, found, dtype=pl.String))


def level_of(cell: str) -> Level | None:
    """The level that a priority stands for; None for what is neither a level nor from 0 to 10."""
    text = cell.strip().lower()
    named = next((level for level in LEVELS if level == text), None)
    if named is not None:
        return named
    try:
        number = float(text)
    except ValueError:
        return None
    if not 0 <= number <= HIGHEST:
        return None
    return next(level for least, level in BANDS if number >= least)


def _rank(cell: str | None) -> int:
    """From 1 on; 0: none."""
    level = None if cell is None else level_of(cell)
    return 0 if level is None else LEVELS.index(level) + 1

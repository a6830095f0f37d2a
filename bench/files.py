"""Workload S: the lines of workload W, half of which touch one of 100,000 files.

Each file is touched once or twice in five minutes; some are touched exactly THRESHOLD times within
four, once in a pass, and so have one window each that reaches the threshold, in any order of
arrival. They come early enough in a pass that their alerts are final before it ends.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from bench.workload import LINES, SPAN_MS, Workload, columns, written

FILES = 100_000
TOUCHES = ("fs_read_data", "fs_open", "fs_write_metadata", "fs_delete")
"""Half of the lines of W."""
THRESHOLD = 20
BUSY = 40
BURST_MS = 4 * 60_000
LATEST_MS = 8 * 60_000
"""Time of a pass up to which a burst may begin."""


@dataclass(frozen=True)
class FileWorkload:
    """`busy` has one row for each burst of the first pass: `path`, `time` (ms) of its last line."""

    workload: Workload
    busy: pl.DataFrame

    def lines(self, number: int = 0) -> list[bytes]:
        """The lines of one pass (bench/workload.py)."""
        return self.workload.lines(number)

    def alerts(self, passes: int) -> set[tuple[str, int]]:
        """(path, ms) of each event that makes a count reach the threshold."""
        return {
            (path, time + number * SPAN_MS)
            for path, time in self.busy.iter_rows()
            for number in range(passes)
        }


def generate(seed: int, base_ms: int, lines: int = LINES) -> FileWorkload:
    """Workload S; its times, users and everything but the paths of touched files are those of W."""
    random = np.random.default_rng(seed + 3)
    frame = columns(seed, base_ms, lines)
    touched = frame["operation"].is_in(TOUCHES).to_numpy()
    names = pl.select(
        pl.format("/share/{}/données {}.docx", pl.int_range(FILES) % 997, pl.int_range(FILES))
    ).to_series()
    paths = names.gather(random.integers(FILES, size=lines))
    start = random.integers(LATEST_MS, size=BUSY)
    owner = np.full(lines, -1)
    at = (frame["time_us"].to_numpy() // 1_000) - base_ms
    for number, first in enumerate(start.tolist()):
        within = touched & (at >= first) & (at < first + BURST_MS) & (owner < 0)
        owner[random.choice(np.flatnonzero(within), THRESHOLD, replace=False)] = number
    burst = pl.Series("burst", owner)
    path = (
        pl.when(burst >= 0)
        .then(pl.format("/share/busy/{}.docx", burst))
        .when(pl.Series(touched))
        .then(paths)
        .otherwise(pl.col("path"))
    )
    frame = frame.with_columns(path=path)
    busy = (
        frame.filter(burst >= 0)
        .group_by("path")
        .agg(time=pl.col("time_us").max() // 1_000)
        .sort("path")
    )
    return FileWorkload(written(frame), busy)

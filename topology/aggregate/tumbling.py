"""Counts in tumbling windows: a batch's events become Tally records, sub-topology 2 adds them up.

Counting commutes, so a Tally has only how many events fell into which window. Whether an event is
too late is judged here, where its raw partition's stream time (greatest event time so far) is
known: a window takes events while stream time is before its end plus grace, as in Kafka Streams.
"""

import struct
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import packed
from topology.keys import opened
from topology.rules import Records, Scalar, Tumbling
from topology.texts import all_shortened, as_text

NOTHING = -(2**63)
"""Watermark of a partition before its first record."""

__all__ = ["Tumbling", "tallies"]


def tallies(
    events: pl.DataFrame,
    aggregates: Sequence[Tumbling],
    *,
    tenants: Sequence[str],
    source: str,
    watermarks: npt.NDArray[np.int64],
    lateness_ms: int,
    shown: pl.DataFrame | None = None,
) -> Records:
    """Records for `matches`: one for each tenant, aggregate and group of the batch.

    `events` has `time` (Int64, ms) and the columns that aggregates select and group by;
    `watermarks[i]` is the watermark of row i's raw partition before that row, which is its stream
    time less `lateness_ms`. `shown`: the same rows with the
    columns to group by, where those of `events` are not to be seen. Counts: `tallied`,
    `tallied_late`, `tallied_without_group`.
    """
    keys: list[bytes] = []
    values: list[bytes] = []
    out = Records(keys, values, {})
    if not events.height or not tenants:
        return out
    started = watermarks != NOTHING
    stream = np.where(started, watermarks + np.where(started, lateness_ms, 0), NOTHING)
    for aggregate in aggregates:
        for key, value in _tally(
            events, shown, aggregate, tenants, packed.text(source), stream, out.counts
        ):
            keys.append(key)
            values.append(value)
    return out


def _tally(
    events: pl.DataFrame,
    shown: pl.DataFrame | None,
    aggregate: Tumbling,
    tenants: Sequence[str],
    source: bytes,
    stream: npt.NDArray[np.int64],
    sums: dict[str, int],
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the records of one aggregate."""
    needed = {*aggregate.select, *aggregate.by}
    if not needed.issubset(events.columns):
        return
    rows = np.flatnonzero(_selected(events, aggregate))
    times = events["time"].gather(rows).to_numpy()
    starts = times - times % aggregate.window_ms
    closed = starts + (aggregate.window_ms + aggregate.grace_ms) <= stream[rows]
    rows, starts = rows[~closed], starts[~closed]
    groups = events if shown is None else shown
    texts = (as_text(groups[name].gather(rows)).to_list() for name in aggregate.by)
    keys = [all_shortened(each) for each in texts]
    windows: dict[tuple[str, ...], dict[int, int]] = {}
    without = 0
    for start, group in zip(starts.tolist(), zip(*keys, strict=True), strict=True):
        if None in group:
            without += 1
            continue
        counts = windows.setdefault(group, {})
        counts[start] = counts.get(start, 0) + 1
    for group, counts in windows.items():
        pairs = [number for pair in counts.items() for number in pair]
        content = struct.pack(f"<{len(pairs)}q", *pairs)
        for tenant in tenants:
            key, opening = opened("Tally", tenant, aggregate.name, group)
            yield key, packed.tally(opening, content, source)
    found = {
        "tallied": len(rows) - without,
        "tallied_late": int(closed.sum()),
        "tallied_without_group": without,
    }
    for name, count in found.items():
        sums[name] = sums.get(name, 0) + count


def _selected(events: pl.DataFrame, aggregate: Tumbling) -> npt.NDArray[np.bool_]:
    """Rows whose columns, as text, have the selected values; a missing value is none."""
    chosen = np.ones(events.height, dtype=np.bool_)
    for name, wanted in aggregate.select.items():
        values: tuple[Scalar, ...] = wanted if isinstance(wanted, tuple) else (wanted,)
        texts = [str(value) for value in values]
        column = as_text(events[name])
        equal = column == texts[0] if len(texts) == 1 else column.is_in(texts)
        chosen &= equal.fill_null(value=False).to_numpy()
    return chosen

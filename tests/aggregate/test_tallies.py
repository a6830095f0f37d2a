"""Tallies count each event in its window, unless the window was closed when the event came."""

import struct

import numpy as np
import polars as pl

from schemas import packed
from topology.aggregate.tumbling import NOTHING, Tumbling, tallies

DELETES = Tumbling(
    name="deletes",
    select={"operation": "delete", "code": 7},
    by=("user",),
    window_ms=100,
    grace_ms=1_000,
    at=5,
    title="Deletes",
)


def run(rows, watermarks, lateness_ms=0, tenants=("acme",)):
    schema = {"time": pl.Int64, "operation": pl.String, "code": pl.Int64, "user": pl.String}
    events = pl.DataFrame(rows, schema=schema, orient="row")
    records = tallies(
        events,
        [DELETES],
        tenants=tenants,
        source="s",
        watermarks=np.array(watermarks, dtype=np.int64),
        lateness_ms=lateness_ms,
    )
    found = {}
    for tally in map(packed.read_tally, records.values):
        numbers = struct.unpack(f"<{len(tally.windows) // 8}q", tally.windows)
        found[tally.tenant, tally.group] = dict(zip(numbers[::2], numbers[1::2], strict=True))
    return records.counts, found


def test_counts_by_group_and_window():
    """Selection is by all columns; windows are aligned to the epoch, before it too."""
    rows = [
        (0, "delete", 7, "a"),
        (99, "delete", 7, "a"),
        (100, "delete", 7, "a"),
        (-1, "delete", 7, "b"),
        (1, "delete", 8, "a"),
        (1, "read", 7, "a"),
        (1, None, 7, "a"),
        (1, "delete", 7, None),
    ]
    counts, found = run(rows, [NOTHING] * len(rows), tenants=("acme", "zeta"))
    assert found["acme", ("a",)] == {0: 2, 100: 1}
    assert found["zeta", ("b",)] == {-100: 1}
    assert counts == {"tallied": 4, "tallied_late": 0, "tallied_without_group": 1}


def test_closes_after_grace():
    """A window [0, 100) with grace 1,000 takes events while stream time is below 1,100."""
    rows = [(5, "delete", 7, "a")] * 3
    counts, found = run(rows, [1_099 - 30, 1_100 - 30, NOTHING], lateness_ms=30)
    assert found == {("acme", ("a",)): {0: 2}}
    assert counts["tallied_late"] == 1


def test_missing_column_counts_nothing():
    """Events without the columns of an aggregate are none of its business."""
    events = pl.DataFrame({"time": [1], "user": ["a"]})
    records = tallies(
        events, [DELETES], tenants=["t"], source="s", watermarks=np.array([0]), lateness_ms=0
    )
    assert records.values == []

"""Polled messages become batches: order, gaps, partitions, and what was delivered before."""

import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.batch import Ranges, build, cut, from_positions, ranges, runs, split, union
from tests.runtime.fakes import record
from topology.records import Batch

RECORDS = st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=40)
"""(partition, gap before the record's offset) in the order of delivery."""


def batch_of(records: list[tuple[int, int]], topic: str = "in") -> Batch:
    """A batch with offsets that grow by the given gaps in each partition."""
    next_offset = dict.fromkeys(range(3), 0)
    offsets = []
    for partition, gap in records:
        next_offset[partition] += gap
        offsets.append(next_offset[partition])
    return Batch(
        topic,
        np.array([partition for partition, _ in records], np.int32),
        np.array(offsets, np.int64),
        np.array(offsets, np.int64) * 10,
        [b"k%d" % partition for partition, _ in records],
        [b"%d/%d" % pair for pair in zip((p for p, _ in records), offsets, strict=True)],
    )


def rows(batch: Batch) -> list[tuple[int, int, int, bytes | None, bytes | None]]:
    return list(
        zip(
            batch.partitions.tolist(),
            batch.offsets.tolist(),
            batch.timestamps.tolist(),
            batch.keys,
            batch.values,
            strict=True,
        )
    )


@given(RECORDS)
def test_split_keeps_every_record_in_order(records: list[tuple[int, int]]) -> None:
    """One batch a partition; each row stays whole; offsets grow."""
    batch = batch_of(records)
    parts = split(batch) if records else []
    assert sorted(row for part in parts for row in rows(part)) == sorted(rows(batch))
    for part in parts:
        assert len(set(part.partitions.tolist())) == 1
        assert (np.diff(part.offsets) > 0).all()


@given(RECORDS)
def test_ranges_say_what_a_batch_holds(records: list[tuple[int, int]]) -> None:
    """First and last offset of every partition; runs cover all rows."""
    batch = batch_of(records)
    found = ranges(batch)
    truth: Ranges = {}
    for partition, offset, *_ in rows(batch):
        first, _ = truth.get(("in", partition), (offset, offset))
        truth["in", partition] = (first, offset)
    assert found == truth
    assert [row for run in runs(batch.partitions) for row in range(run.start, run.stop)] == list(
        range(len(batch))
    )
    middle = len(batch) // 2
    parts = [cut(batch, 0, middle), cut(batch, middle, len(batch))]
    assert union(map(ranges, parts)) == truth


@given(RECORDS, st.dictionaries(st.integers(0, 2), st.integers(0, 30)))
def test_only_what_is_next_is_delivered(
    records: list[tuple[int, int]], positions: dict[int, int]
) -> None:
    """Rows before the position and of partitions without one are left out, nothing else."""
    batch = batch_of(records)
    kept = from_positions(batch, {("in", number): at for number, at in positions.items()})
    expected = [row for row in rows(batch) if row[0] in positions and row[1] >= positions[row[0]]]
    assert ([] if kept is None else rows(kept)) == expected


def test_topics_are_told_apart() -> None:
    """Partitions of the same number of two topics are different partitions."""
    messages = [record(("a", 0), 1, b"x"), record(("b", 0), 1, b"y"), record(("a", 0), 2, None)]
    batches = build(messages, ("a", "b"), coalesce=False)
    assert [(batch.topic, batch.values) for batch in batches] == [
        ("a", [b"x", None]),
        ("b", [b"y"]),
    ]
    assert batches[0].timestamps.tolist() == [1_700_000_000_001, 1_700_000_000_002]
    assert build([], ("a",), coalesce=False) == []


def test_no_python_code_runs_for_a_record() -> None:
    """Members of messages are read column by column: as many calls for many records as for few."""
    assert _calls(20_000) == _calls(40)


def _calls(count: int) -> int:
    """Calls of Python code that make batches of so many records in four partitions."""
    messages = [
        record(("in", number // (count // 4)), number, b"x" * 150, b"key")
        for number in range(count)
    ]
    calls = 0

    def count_call(_: object, event: str, __: object) -> None:
        nonlocal calls
        calls += event == "call"

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        batches = build(messages, ("in",), coalesce=False)
    finally:
        sys.setprofile(before)
    assert len(batches) == 4
    return calls

"""Event-time progress: what is late must not depend on batch cuts or on who read the records."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topology.watermark import NOTHING, UNTOLD_MS, Watermarks

TIMES = st.one_of(st.integers(0, 10_000), st.just(NOTHING))
RECORDS = st.lists(st.tuples(st.integers(0, 2), TIMES), max_size=60)


def _observe(marks: Watermarks, records: list[tuple[int, int]]) -> list[int]:
    partitions = np.array([number for number, _ in records], dtype=np.int32)
    times = np.array([time for _, time in records], dtype=np.int64)
    return list(marks.observe("raw.q", partitions, times))


@given(RECORDS, st.lists(st.integers(0, 60)))
def test_cuts_do_not_matter(records: list[tuple[int, int]], cuts: list[int]) -> None:
    """The greatest time before each record is the same for any batches."""
    whole, parts = Watermarks(), Watermarks()
    expected = _observe(whole, records)
    edges = sorted({0, len(records), *(min(cut, len(records)) for cut in cuts)})
    seen: list[int] = []
    for start, end in itertools.pairwise(edges):
        seen += _observe(parts, records[start:end])
    assert expected == seen
    assert whole.changes() == parts.changes()


@given(RECORDS, st.integers(0, 60))
def test_take_over_continues(records: list[tuple[int, int]], cut: int) -> None:
    """A worker that takes over from committed metadata judges the rest like its predecessor."""
    expected = _observe(Watermarks(), records)
    first, second = Watermarks(), Watermarks()
    head = _observe(first, records[:cut])
    for number in range(3):
        second.assign(("raw.q", number), first.metadata(("raw.q", number)))
    assert expected == head + _observe(second, records[cut:])


def test_metadata_of_nothing_is_a_fresh_start() -> None:
    """Metadata of another program in the committed offset is no event time."""
    marks = Watermarks()
    marks.assign(("raw.q", 0), "something else")
    assert _observe(marks, [(0, 5)]) == [NOTHING]


def test_partitions_do_not_mix() -> None:
    """A quick sender makes nobody else's lines late."""
    assert _observe(Watermarks(), [(0, 9_000), (1, 10), (1, 20), (0, 1)]) == [
        NOTHING,
        NOTHING,
        10,
        9_000,
    ]


def test_records_that_tell_no_time_pass_it() -> None:
    """A partition that gets nothing but lines that cannot be parsed is no quiet one, so nobody
    ticks there. Once no event was read of it for long, their time stamps say that time passes."""
    marks = Watermarks()
    stamps = np.array([1_000, 2_000, 1_000 + UNTOLD_MS, 1_001 + UNTOLD_MS, 9_000 + UNTOLD_MS])
    times = np.array([900, NOTHING, NOTHING, NOTHING, 8_000])
    told, _ = marks.observe_raw("raw.q", np.zeros(5, np.int32), times, stamps)
    assert list(told) == [900, NOTHING, NOTHING, 1_001, 8_000]


@given(RECORDS, st.lists(st.integers(0, 60)), st.integers(0, 60))
def test_untold_time_passes_alike_for_any_cuts(
    records: list[tuple[int, int]], cuts: list[int], taken: int
) -> None:
    """So it does for any batches, and for a worker that takes over between two of them."""
    stamps = np.arange(len(records), dtype=np.int64) * (UNTOLD_MS // 5)
    partitions = np.array([number for number, _ in records], dtype=np.int32)
    times = np.array([time for _, time in records], dtype=np.int64)
    whole, part = Watermarks(), Watermarks()
    expected = list(zip(*whole.observe_raw("raw.q", partitions, times, stamps), strict=True))
    edges = sorted({0, len(records), *(min(cut, len(records)) for cut in [*cuts, taken])})
    seen: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(edges):
        if start == min(taken, len(records)):
            heir = Watermarks()
            for number in range(3):
                heir.assign(("raw.q", number), part.metadata(("raw.q", number)))
            part = heir
        rows = slice(start, end)
        found = part.observe_raw("raw.q", partitions[rows], times[rows], stamps[rows])
        seen += zip(*found, strict=True)
    assert expected == seen

"""Groups that are in the store alone cost little, and wake in time."""

import gc
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.runtime.disk_store import DiskStore
from app.runtime.store import Store
from tests.correlate.deployment import (
    END,
    NAMES,
    alerts,
    driver,
    partial,
    read,
    send,
    tally,
    tell,
    watermark,
)
from tests.correlate.test_groups import CORRELATION, KEY, TIMES, arrivals, restored
from topology.alerts import QUIET
from topology.correlate import chunks
from topology.correlate.group import Group
from topology.correlate.head import due_of
from topology.due_index import DueIndex
from topology.keys import SUFFIX, group_key
from topology.records import Batch, Position
from topology.testing import MemoryStore

DUES = st.lists(st.lists(st.tuples(st.integers(-50, 50), st.binary(max_size=4)), max_size=9))


@given(DUES, st.lists(st.integers(-60, 60)), st.integers(1, 5))
def test_due_keys_come_once(batches, marks, limit):
    """Each entry comes with the first watermark after its time, however many are asked for."""
    index, left = DueIndex(), []
    for batch in batches:
        index.add([time for time, _ in batch], [key for _, key in batch])
        left += batch
    for mark in [*marks, 100]:
        found = []
        while some := index.take(mark, limit):
            found += some
        assert sorted(found) == sorted(key for time, key in left if time < mark)
        left = [(time, key) for time, key in left if time >= mark]
        assert len(index) == len(left)


@given(arrivals(), CORRELATION)
def test_no_entry_is_due_after_its_group(arrived, correlation):
    """What one entry tells about its group never wakes it too late, at any point of its life."""
    _, steps = arrived
    store = MemoryStore()
    group, watermark = Group(store, KEY, correlation), -1
    for part, moved in steps:
        if part:
            group.add(part, chunks.pack(part), watermark)
        watermark = max(watermark, moved)
        if group.due() < watermark:
            group.settle(watermark)
        group.flush()
        entries = list(store.items())
        dues = [due_of(entry[-SUFFIX:], value, correlation) for entry, value in entries]
        if dues:
            assert min(dues) <= restored(store, correlation).due()
        again = Group(store, KEY, correlation)
        assert again.recall(group.numbers()) == bool(entries)
        assert again._matches() == restored(store, correlation)._matches()


@given(TIMES)
def test_a_span_is_what_the_matches_say(times):
    """First, latest and number of the matches of a chunk, without reading them."""
    matches = [(time, f"u{n}", value) for n, (time, value) in enumerate(times)]
    pieces = [sorted(matches[at : at + 3]) for at in range(0, len(matches), 3)]
    if pieces:
        content = chunks.VERSION + b"".join(map(chunks.pack, pieces))
        moments = [time for time, _ in times]
        assert chunks.span(content) == (min(moments), max(moments), len(moments))
        contents = [content, *(chunks.VERSION + chunks.pack(piece) for piece in pieces)]
        first, latest = chunks.spans(contents)
        both = list(zip(first.tolist(), latest.tolist(), strict=True))
        assert both == [chunks.span(each)[:2] for each in contents]


def test_unknown_versions_are_not_taken_over():
    """State of another format stops the take-over and is left as it is."""
    for value in (b"\x07" + chunks.pack([(1, "u1", None)]), b"\x07"):
        for suffix in (b"m" + bytes(8), b"m" + bytes(7) + b"\x01", b"h" + bytes(8)):
            store = MemoryStore({group_key("acme", "many", ("a",)) + suffix: value})
            with pytest.raises(ValueError, match="version"):
                alerts().assign({(NAMES.matches, 0): Position(0)}, {("alerts", 0): store})


@pytest.mark.parametrize("awake", [0, 1_000])
def test_windows_that_are_over_leave_the_store(awake):
    """Entries of groups that nobody touched again are deleted, also those never woken before."""
    topology = driver(make=lambda: alerts(awake=awake))
    for number in range(50):
        send(topology, partial("many", (f"u{number}",), [(number, f"uid{number}", None)]))
    topology.run()
    topology.restart()
    tell(topology, 40)
    topology.run()
    left = [key for key in topology.store("alerts") if not key.startswith(b"\0")]
    assert 0 < len(left) < 50, "windows that are open stay"
    topology.restart()
    tell(topology, END)
    topology.run()
    assert not [key for key in topology.store("alerts") if not key.startswith(b"\0")]
    assert read(topology) == []


def test_groups_in_memory_have_a_limit():
    """However many groups have matches, a commit leaves so many in memory and the rest asleep."""
    topology = alerts(aggregates=(), awake=3)
    topology.assign({(NAMES.matches, 0): Position(0)}, {("alerts", 0): MemoryStore()})
    for count in (1, 3):  # without an object, and with one
        records = [
            partial("many", (f"u{n}",), [(n, f"uid{n}-{m}", None) for m in range(count)])
            for n in range(100)
        ]
        zeros = np.zeros(len(records), np.int64)
        keys, values = map(list, zip(*records, strict=True))
        numbers = np.arange(len(records))
        batch = Batch(NAMES.matches, zeros.astype(np.int32), numbers, zeros, keys, values)
        topology.process(batch)
        topology.before_commit()
        (state,) = topology._states.values()
        assert len(state.groups) <= 3
        assert len(state.quiet) <= QUIET * 3


@pytest.mark.parametrize("rule", ["many", "spread", "few"])
def test_late_matches_leave_nothing_in_memory(rule):
    """Matches after their window's close join nothing; a group that has no others is forgotten."""
    topology = alerts(aggregates=())
    topology.assign({(NAMES.matches, 0): Position(0)}, {("alerts", 0): MemoryStore()})
    records = [(b"", watermark(number, END)) for number in (0, 1)]
    records += [partial(rule, (f"u{n}",), [(n, f"uid{n}", "a")]) for n in range(50)]
    zeros = np.zeros(len(records), np.int64)
    keys, values = map(list, zip(*records, strict=True))
    numbers = np.arange(len(records))
    outcome = topology.process(
        Batch(NAMES.matches, zeros.astype(np.int32), numbers, zeros, keys, values)
    )
    topology.before_commit()
    (state,) = topology._states.values()
    assert outcome.counts["matches_after_close"] == 50
    assert len(state.groups) + len(state.quiet) == 0


@pytest.mark.parametrize("restarted", [False, True])
def test_windows_that_are_over_leave_deletions_in_the_changelog(restarted):
    """Each entry that was committed is followed by a tombstone once its window is over."""
    store, topology = Store(), alerts()
    where = {("alerts", 0): store}

    def work(*records):
        keys, values = zip(*records, strict=True)
        count = len(values)
        zeros = np.zeros(count, np.int64)
        batch = Batch(
            NAMES.matches, zeros.astype(np.int32), np.arange(count), zeros, list(keys), list(values)
        )
        topology.process(batch)
        topology.before_commit()
        changes = dict(zip(*store.changes(), strict=True))
        store.commit()
        return {key: value for key, value in changes.items() if not key.startswith(b"\0")}

    topology.assign({(NAMES.matches, 0): Position(0)}, where)
    groups = [partial("many", (f"u{n}",), [(n, f"uid{n}", None)]) for n in range(20)]
    written = work(*groups, tally(("a",), [(0, 5)]))
    assert len(written) == 21
    assert None not in written.values()
    if restarted:
        topology = alerts()
        topology.assign({(NAMES.matches, 0): Position(0)}, where)
    assert work((b"", watermark(0, END))) == dict.fromkeys(written)


@pytest.mark.parametrize(("kind", "most"), [("memory", 700), ("disk", 150)])
def test_an_entry_takes_at_most(tmp_path, kind, most):
    """Store and all that a take-over builds, for groups with one match each: bytes an entry.

    On disk what is left in Python is when a group is due; RocksDB's own memory has a limit.
    """
    count = 20_000
    store = Store() if kind == "memory" else DiskStore.open(tmp_path / "0", {}, 1e9)
    gc.collect()
    tracemalloc.start()
    keys, values = [], []
    for number in range(count):
        times = struct.pack("<q", 1_700_000_000_000 + number)
        uid = f"9fQ2xZ4vR1aB-raw.qumulo-2-{number:012}".encode()
        keys.append(group_key("acme", "many", (f"user{number:08}",)) + b"m" + bytes(8))
        values.append(chunks.VERSION + chunks.piece(times, uid, b""))
    store.load(keys, values)
    del keys, values
    topology = alerts()
    topology.assign({(NAMES.matches, 0): Position(0)}, {("alerts", 0): store})
    gc.collect()
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(store) == count
    assert taken / count < most
    store.close()

"""Matches of many groups in one entry: none is lost or comes twice, and none stays for long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.correlate.deployment import partial_batch
from topology.asleep import Asleep
from topology.correlate import chunks
from topology.correlate.chunks import FIRST
from topology.kept_batches import KIND, MARK, ROW, ROWS, KeptBatches
from topology.keys import SUFFIX, group_key
from topology.partial_batch import read
from topology.progress import Progress
from topology.single_matches import QuietRule
from topology.testing import MemoryStore

SPAN = 20
RULE = QuietRule(("raw",), b"", 4, SPAN, 1)
USERS = "abc"
KEYS = {user: group_key("acme", "many", (user,)) for user in USERS}
STEPS = st.one_of(
    st.tuples(
        st.just("take"),
        st.dictionaries(
            st.sampled_from(USERS), st.lists(st.integers(0, 60), min_size=1, max_size=3), min_size=1
        ),
    ),
    st.tuples(st.sampled_from(["move", "end"]), st.sampled_from(USERS)),
    st.tuples(st.just("advance"), st.integers(0, 100)),
    st.tuples(st.just("restart"), st.just(0)),
)


def opened(store, rule=RULE):
    """The batches that a store holds, after a take-over, and the groups that had to be moved."""
    kept = KeptBatches(store, Progress(store, 1, lambda _: ()), Asleep(), lambda _key: rule)
    entries = [entry for entry, _ in store.items() if entry[-SUFFIX:-8] == KIND]
    marks = {key[:-SUFFIX]: value for key, value in store.items() if key.endswith(MARK)}
    return kept, kept.restore(rule, entries, marks)


def held(kept, key):
    """Time and uid of each match of a group, read where it is kept."""
    places = kept._places.get(key, ())
    pieces = []
    for place in [places] if isinstance(places, int) else places:
        batch = kept._batches[place >> 26]
        pieces.append(batch.piece(kept._content(batch.entry), (place >> ROW) % ROWS))
    chunk = chunks.VERSION + b"".join(pieces)
    return sorted(match[:2] for matches in chunks.read(chunk) for match in matches)


@settings(max_examples=300)
@given(st.lists(STEPS, max_size=25))
def test_each_match_is_in_one_place(steps):
    """Through batches, moves, ends of groups, watermarks and restarts, against lists in memory."""
    store = MemoryStore()
    kept, _ = opened(store)
    together = {key: [] for key in KEYS.values()}
    count = 0
    for what, value in steps:
        if what == "take":
            groups = {}
            for user, times in value.items():
                groups[user] = [(time, f"u{count + n:03}", None) for n, time in enumerate(times)]
                groups[user].sort()
                count += len(times)
            batch = read(partial_batch("many", groups))
            keys = batch.keys()
            left = kept.take(batch, keys, (), 100)
            for row, (user, matches) in enumerate(groups.items()):
                own = store.get(KEYS[user] + FIRST) is not None
                fits = not own and len(together[KEYS[user]]) + len(matches) < RULE.limit
                assert (row in left) == (not fits)
                if fits:
                    together[KEYS[user]] += [match[:2] for match in matches]
        elif what == "move":
            key = KEYS[value]
            kept.move(key)
            if together[key]:
                found = chunks.read(store.get(key + FIRST))
                moved = [match[:2] for matches in found for match in matches]
                assert sorted(moved) == sorted(together[key])
                together[key] = []
        elif what == "end":
            if store.get(KEYS[value] + FIRST) is not None:
                store.delete(KEYS[value] + FIRST)
        elif what == "advance":
            if RULE.topics in list(kept.waiting()):
                kept.advance(RULE.topics, value)
            for key, matches in together.items():
                left = held(kept, key)
                assert set(matches) >= set(left) >= {m for m in matches if m[0] + SPAN >= value}
                together[key] = left
        else:
            store.commit()
            kept, grown = opened(store)
            assert not grown
        for key, matches in together.items():
            assert held(kept, key) == sorted(matches)
    if RULE.topics in list(kept.waiting()):
        kept.advance(RULE.topics, 1_000)
    assert {key[-SUFFIX:] for key, _ in store.items()} <= {FIRST}
    assert not len(kept)


def test_a_later_match_does_not_hold_early_ones():
    """What is far apart in time is in entries of its own, and goes when its time has come."""
    store = MemoryStore()
    kept, _ = opened(store)
    batch = read(partial_batch("many", {"a": [(0, "u0", None)], "b": [(50, "u1", None)]}))
    assert kept.take(batch, batch.keys(), (), 100) == []
    assert len(list(store.items())) == 2
    kept.advance(RULE.topics, SPAN + 1)
    assert (held(kept, KEYS["a"]), held(kept, KEYS["b"])) == ([], [(50, "u1")])


@pytest.mark.parametrize("room", [0, 1])
def test_groups_beyond_the_limit_are_left(room):
    """Memory for places is bounded: what has no room is done one by one."""
    kept, _ = opened(MemoryStore())
    batch = read(partial_batch("many", {"a": [(0, "u0", None)], "b": [(1, "u1", None)]}))
    assert kept.take(batch, batch.keys(), (), room) == [0, 1]


def test_a_rule_that_asks_for_less_looks_at_its_groups():
    """After a restart with a lower threshold a group that reaches it is moved; others stay."""
    store = MemoryStore()
    kept, _ = opened(store)
    batch = read(
        partial_batch("many", {"a": [(0, "u0", None), (1, "u1", None)], "b": [(1, "u2", None)]})
    )
    kept.take(batch, batch.keys(), (), 100)
    kept, grown = opened(store, RULE._replace(limit=2))
    assert grown == [KEYS["a"]]
    assert store.get(KEYS["a"] + FIRST) is not None
    assert held(kept, KEYS["b"]) == [(1, "u2")]


def test_a_new_batch_comes_after_every_mark():
    """The match of a group that was moved, ended and came again is not taken for a moved one.

    The newest batches were gone when the worker started again, but a mark named the last of them.
    """
    store = MemoryStore()
    kept, _ = opened(store)
    for number, time in enumerate((50, 0)):
        batch = read(partial_batch("many", {"a": [(time, f"u{number}", None)]}))
        kept.take(batch, batch.keys(), (), 100)
    kept.move(KEYS["a"])
    store.delete(KEYS["a"] + FIRST)
    kept.advance(RULE.topics, 30)
    kept, _ = opened(store)
    batch = read(partial_batch("many", {"a": [(60, "u2", None)]}))
    assert kept.take(batch, batch.keys(), (), 100) == []
    kept, _ = opened(store)
    assert held(kept, KEYS["a"]) == [(60, "u2")]


def test_unknown_versions_are_not_taken_over():
    """State of another format stops the take-over and is left as it is."""
    for entry, value in (
        (b"acme\0many" + KIND + bytes(8), b"\x07" + partial_batch("many", {"a": [(0, "u", None)]})),
        (KEYS["a"] + MARK, b"\x07" + bytes(8)),
    ):
        with pytest.raises(ValueError, match="version"):
            opened(MemoryStore({entry: value}))

"""Groups without an object say what the others say, record by record and in columns."""

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import packed
from tests.correlate.deployment import (
    CORRELATIONS,
    END,
    RULES,
    correlation,
    driver,
    partial,
    send,
    states,
    tell,
)
from tests.correlate.deployment import alerts as deployed
from tests.correlate.test_finals import finals, run, runs, streams
from topology import alerts, quiet
from topology.correlate import chunks
from topology.keys import SUFFIX, group_key
from topology.quiet import FIRST, QuietRules
from topology.rules import Rules
from topology.single_matches import single_matches

NEVER = 1 << 60
NAME = st.sampled_from(["", "a", "é\n", "\\", "\0", "x" * 63, "y" * 64, "z" * 9_000]) | st.text(
    max_size=4
)


@settings(max_examples=60)
@given(streams(), runs())
def test_finals_are_those_of_groups(streams, plan):
    """In columns, one by one and without quiet groups come the same finals, byte for byte."""
    found = []
    for many, most in ((1, 64), (NEVER, 64), (NEVER, 0)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(alerts, "MANY", many)
            patch.setattr(quiet, "MOST", most)
            found.append(run(streams, plan))
    for other in found[1:]:
        for tenant in ("acme", "zeta"):
            assert finals(found[0], tenant) == finals(other, tenant)
    for state in ("provisional", "superseded"):
        said = [
            [(record.key, record.value) for record in each.get(("acme", state), ())]
            for each in found
        ]
        assert sorted(said[0]) == sorted(said[1]) == sorted(said[2])


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["many", "spread", "few", "gone"]),
            st.lists(NAME, max_size=3),
            st.lists(st.tuples(st.integers(0, 2**40), NAME), min_size=1, max_size=2),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_single_matches_are_read_as_packed_reads_them(records):
    """Whatever is taken in columns has the time, uid and value of the record; the rest is left."""
    rules = QuietRules()
    for entry in CORRELATIONS:
        rules.add("acme", entry, ("raw",))
    keys, values = [], []
    for rule, group, matches in records:
        keys.append(group_key("acme", rule, tuple(group)))
        uids = "\n".join(f"u{uid}" for _, uid in matches).encode()
        times = struct.pack(f"<{len(matches)}q", *[time for time, _ in matches])
        shown = b'["x"]' if rule == "spread" else b""
        members = (times, uids, shown, b"")
        head = packed.head("Partial", "acme", rule, group)
        values.append(packed.partial(head, members, packed.text("s")))
    found = single_matches(keys, values, rules.rules, rules.find)
    for row, (rule, group, matches) in enumerate(records):
        simple = len(matches) == 1 and keys.count(keys[row]) == 1 and rule in ("many", "spread")
        if not simple or max(map(len, (matches[0][1], *group)), default=0) > 2_000:
            assert simple or not found.taken[row]
            continue
        assert found.taken[row]
        assert rules.rules[found.rules[row]].opening == packed.opening("Partial", "acme", rule)
        assert found.times[row] == matches[0][0]
    rows = found.taken.nonzero()[0]
    for row, piece in zip(rows.tolist(), found.pieces(rows), strict=True):
        whole = packed.read_partial(values[row])
        assert piece == chunks.piece(whole.times, whole.uids, whole.values)


@pytest.mark.parametrize("many", [1, NEVER])
def test_a_quiet_group_has_no_object_and_survives_a_restart(monkeypatch, many):
    """Below the threshold nothing is in memory but numbers; the match that crosses it alerts."""
    monkeypatch.setattr(alerts, "MANY", many)
    topology = driver()
    tell(topology, -(2**63))
    send(topology, partial("many", ("a",), [(0, "u0", None)]))
    send(topology, partial("many", ("a",), [(1, "u1", None)]))
    topology.run()
    assert not any(state.groups for state in _states(topology))
    assert sum(len(state.quiet) for state in _states(topology)) == 1
    stored = [key for key in topology.store("alerts") if not key.startswith(b"\0")]
    assert [key[-SUFFIX:] for key in stored] == [FIRST]
    topology.restart()
    send(topology, partial("many", ("a",), [(2, "u2", None)]))
    topology.run()
    assert states(topology) == ["provisional"]
    tell(topology, END)
    topology.run()
    assert states(topology) == ["provisional", "final"]


def _states(topology):
    return [state for _, task in topology._tasks for state in task.sub_topology._states.values()]


@pytest.mark.parametrize("many", [1, NEVER])
def test_a_group_that_comes_back_is_removed_once(monkeypatch, many):
    """It was quiet, got an object for a late match, ended, and was quiet again before the time at
    which the first one was to be looked at: no watermark fails over it, and nothing of it stays."""
    monkeypatch.setattr(alerts, "MANY", many)
    rules = Rules(RULES.events, (correlation("many", "event_count", 4, 8_000, 0),))
    topology = driver(make=lambda: deployed(rules, aggregates=()))

    def match(time, uid):
        send(topology, partial("many", ("a",), [(time, uid, None)]))
        topology.run()

    def to(mark):
        tell(topology, mark)
        topology.run()

    to(500)
    match(1_000, "u0")
    match(400, "late")
    to(9_010)
    match(9_020, "u1")
    to(9_040)
    to(17_100)
    assert topology.counts["dead_letters"] == 0
    assert not [key for key in topology.store("alerts") if not key.startswith(b"\0")]
    assert sum(len(state.quiet) for state in _states(topology)) == 0

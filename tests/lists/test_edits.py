"""What operators change counts from its moment on; what `lists show` prints is what tests see."""

import polars as pl
import pytest

from app.list_edits import LARGEST, Edit, edited, present
from tests.lists.offline import Offline
from topology.list_contents import record
from topology.lists import SHARED, ActiveList
from topology.match.compile import compile_rules

WATCHED = ActiveList("watched", ("user",), 500)
COMMON = ActiveList("common", ("user",), shared=True)
RULES = """\
title: Adds
name: adds
logsource: {product: test}
detection: {sel: {kind: add}, condition: sel}
northbound:
  lists: [{add: watched, values: [why]}, {add: common}]
---
title: Asks
name: asks
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound:
  lists: [{in: watched}]
---
title: Asks all
name: asks_all
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound:
  lists: [{in: common}]
"""
BARE = RULES.partition("northbound")[0]
COMPILED = compile_rules([("r.yml", RULES)], lists={"watched": WATCHED, "common": COMMON})


def events(*entries):
    """Frame of (time, kind, user)."""
    return pl.DataFrame(
        {
            "time": [time for time, _, _ in entries],
            "metadata.uid": [f"u{time}{kind}{user}" for time, kind, user in entries],
            "kind": [kind for _, kind, _ in entries],
            "user": [user for _, _, user in entries],
            "why": ["seen"] * len(entries),
        },
        schema_overrides={"user": pl.String},
    )


def edit(run, listed, scope, edits, now, name="run"):
    for key, value in edited(listed, scope, edits, by="ann@here", now_ms=now, run=name):
        run.send(key, value)


def shown(run, listed, scope, now):
    run.driver.run()
    records = [(0, key, value) for key, value in run.driver.store("lists").items()]
    found = present(records, listed, [scope], now)
    return [(each.key, each.entry.by, each.entry.until, each.entry.values) for each in found]


def times(run, title="Asks", tenant="acme"):
    return [a["time"] for a in run.alerts(tenant) if a["finding_info"]["title"] == title]


def test_an_edit_counts_from_its_moment_on():
    """For events of later event time, until it ends or is removed by another."""
    run = Offline(COMPILED)
    edit(run, WATCHED, "acme", [Edit(("eve",), {"reason": "x"}, 300)], 1_000)
    run.take(events(*((time, "ask", "eve") for time in (900, 1_000, 1_001, 1_299, 1_300))))
    edit(run, WATCHED, "acme", [Edit(("bob",), {})], 1_000, "b")
    edit(run, WATCHED, "acme", [Edit(("bob",), None)], 2_000, "c")
    run.take(events(*((time, "ask", "bob") for time in (1_500, 2_000, 2_001))))
    assert sorted(times(run)) == [1_001, 1_299, 1_500, 2_000]


def test_of_several_times_the_last_end_counts():
    """What is added again for less stays as long as it would have; what is for good stays so."""
    run = Offline(COMPILED)
    for user, ttl in (("eve", 2_000), ("bob", None)):
        edit(run, WATCHED, "acme", [Edit((user,), {}, ttl)], 1_000, user)
        run.take(events((1_200, "add", user), (2_999, "ask", user), (3_000, "ask", user)))
    assert sorted(times(run)) == [2_999, 2_999, 3_000]


def test_an_edit_is_shown_before_time_has_passed_it():
    """And after; what rules added is shown likewise, and what is over is not."""
    run = Offline(COMPILED)
    run.take(events((100, "add", "bob")))
    edit(run, WATCHED, "acme", [Edit(("eve",), {"reason": "x"})], 200)
    expected = [
        (("bob",), "adds", 600, {"why": "seen"}),
        (("eve",), "ann@here", None, {"reason": "x"}),
    ]
    assert shown(run, WATCHED, "acme", 200) == expected
    run.advance(300)
    assert shown(run, WATCHED, "acme", 300) == expected
    assert shown(run, WATCHED, "acme", 600) == expected[1:]
    edit(run, WATCHED, "acme", [Edit(("eve",), None)], 700, "again")
    assert shown(run, WATCHED, "acme", 700) == []
    run.advance(10_000)
    left = [key for key in run.driver.store("lists") if not key.startswith(b"*")]
    assert not left, "what is over is gone"


def test_an_edit_is_shown_where_event_time_is_ahead():
    """Of a key that was judged and of one that was not, whatever this clock says."""
    run = Offline(COMPILED)
    run.take(events((100, "add", "bob")))
    run.advance(400)
    edit(run, WATCHED, "acme", [Edit(("bob",), None), Edit(("eve",), {})], 50)
    assert [key for key, *_ in shown(run, WATCHED, "acme", 50)] == [("eve",)]


def test_an_edit_is_never_too_late():
    """One whose moment was judged already counts from where judging is; a rule's match does not."""
    run = Offline(COMPILED)
    run.take(events((5_000, "ask", "eve")))
    run.advance(4_000)
    edit(run, WATCHED, "acme", [Edit(("eve",), {})], 1_000)
    run.take(events((1_000, "add", "bob"), (5_000, "ask", "bob")))
    assert times(run) == [5_000]
    assert run.driver.counts["matches_after_close"] == 2  # of either list


def test_lists_of_tenants_are_their_own():
    """Edits and events of one tenant show in no other's list, but in one that is shared."""
    run = Offline(COMPILED, ("acme", "zeta"))
    run.take(events((100, "add", "bob")), ["acme"])
    edit(run, WATCHED, "acme", [Edit(("eve",), {})], 100)
    run.take(events((200, "ask", "bob"), (201, "ask", "eve")), ["zeta"])
    assert shown(run, WATCHED, "zeta", 150) == []
    assert [key for key, *_ in shown(run, COMMON, SHARED, 150)] == [("bob",)]
    assert times(run, "Asks", "zeta") == []
    assert times(run, "Asks all", "zeta") == [200]
    assert times(run, "Asks all", "acme") == []


def test_an_event_without_its_key_does_nothing():
    """It adds nothing, passes no test, and is counted."""
    run = Offline(COMPILED)
    run.take(events((100, "add", None), (200, "ask", None)))
    assert times(run) == []
    assert not run.driver.store("lists")


def test_what_is_no_step_is_a_dead_letter():
    """Whoever wrote it: it is kept with its reason, and the others go on."""
    run = Offline(COMPILED)
    edit(run, WATCHED, "acme", [Edit(("eve",), {})], 100)
    ((key, value),) = edited(WATCHED, "acme", [Edit(("eve",), {})], by="x", now_ms=1, run="r")
    run.send(key, value.replace(b'\\"add\\"', b'\\"odd\\"'))
    for odd in ({"c": {"x": {"g": [1]}}}, {"k": {"1": 7}}, {"e": [1]}, {"n": 1}, {"r": None}):
        content = {"a": "in", "r": "asks", "s": 0, **odd}
        run.send(*record("acme", WATCHED, ("eve",), 150, "u", content))
    run.take(events((200, "ask", "eve")))
    assert times(run) == [200]
    assert len(run.driver.read("dead-letters")) == 6


def test_what_is_about_a_list_that_is_gone_is_counted():
    """Whether there are other lists or none at all; nothing of it stays."""
    for lists, text in (({"common": COMMON}, RULES[RULES.index("title: Asks all") :]), ({}, BARE)):
        run = Offline(compile_rules([("r.yml", text)], lists=lists))
        edit(run, WATCHED, "acme", [Edit(("eve",), {})], 100)
        run.advance(1_000)
        assert run.driver.counts["matches_of_unknown_rule"] == 1
        assert not run.driver.store("lists")
        assert not run.driver.read("dead-letters")


def test_a_key_has_a_bound():
    """So that no edit is too large for its record."""
    with pytest.raises(ValueError, match="has more than"):
        edited(WATCHED, "acme", [Edit(("x" * (LARGEST + 1),), {})], by="x", now_ms=1, run="r")

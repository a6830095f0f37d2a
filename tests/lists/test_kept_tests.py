"""Tests that hardly anything passes are kept together, and judged as if each were alone."""

from unittest import mock

import polars as pl

from tests.lists.offline import Offline
from topology import kept_tests
from topology.lists import ActiveList
from topology.match.compile import compile_rules

RULES = """\
title: Adds
name: adds
logsource: {product: test}
detection: {sel: {kind: add}, condition: sel}
northbound: {alert: false, lists: [{add: watched}]}
---
title: Asks
name: asks
logsource: {product: test}
detection: {sel: {kind: ask}, condition: sel}
northbound: {lists: [{in: watched}]}
"""
COMPILED = compile_rules([("r.yml", RULES)], lists={"watched": ActiveList("watched", ("user",))})
USERS = 200
LONG = 'é\\"{a' * 100
"""What is escaped twice, and so long that many of its tests do not fit into one row."""


def events(*entries):
    """Frame of (time, kind, user)."""
    return pl.DataFrame(
        {
            "time": [time for time, _, _ in entries],
            "metadata.uid": [f"u{time:05}{kind}{user[:9]}" for time, kind, user in entries],
            "kind": [kind for _, kind, _ in entries],
            "user": [user for _, _, user in entries],
            "actor.user.name": [user for _, _, user in entries],
        }
    )


def asks(time):
    """Each user asks; one in ten twice, and one a hundred times."""
    for user in range(USERS):
        yield time, "ask", f"user{user}"
        if user % 10 == 0:
            yield time + 50, "ask", f"user{user}"
    for number in range(100):
        yield time + number, "ask", LONG


def kept(run):
    """How many entries of the store are kept tests, and how many are of keys."""
    run.driver.run()
    store = run.driver.store("lists")
    together = sum(key.startswith(b"\0t") for key in store)
    return together, sum(not key.startswith(b"\0") for key in store)


def alerted(many):
    """Alerts of a run in which changes come late, between and after restarts; what is kept."""
    seen = []
    with mock.patch.object(kept_tests, "MANY", many):
        run = Offline(COMPILED)
        run.take(events(*asks(1_000)))
        seen.append(kept(run))
        run.driver.restart()
        run.take(events(*asks(2_000)))
        run.take(events((999, "add", "user7"), (1_030, "add", "user10"), (1_050, "add", LONG)))
        run.advance(1_060)
        seen.append(kept(run))
        run.driver.restart()
        run.take(events((1_900, "add", "user8"), (2_000, "add", "user9"), *asks(1_950)))
        run.advance(2_500)
        run.take(events((2_600, "ask", "user8"), (2_600, "ask", "user12")))
        found = sorted((a["time"], a["finding_info"]["uid"]) for a in run.alerts())
        assert not run.driver.read("dead-letters")
        seen.append(kept(run))
    return found, seen


def test_what_is_kept_together_is_judged_as_what_is_alone():
    """Within lateness, over restarts, for keys with one test, two and many in several records."""
    together, seen = alerted(32)
    alone, single = alerted(1 << 30)
    assert together == alone
    times = [time for time, _ in together]
    assert {1_000, 1_050, 2_600} <= set(times)
    assert len(times) > 150
    assert seen[0][0] == 1
    assert seen[0][1] < 10 < USERS < single[0][1]
    assert seen[1][0] == 2
    assert seen[2] == single[2]
    assert seen[2][0] == 0, "what is over is gone"

"""Active lists from audit line to alert: filled, emptied and tested by rules, in event time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson

from tests.topology.deployment import RAW, START, line, plan, steps
from topology.lists import ActiveList
from topology.match.compile import compile_rules, read_field_map
from topology.testing import TopologyTestDriver

FIELDS = read_field_map(
    "fieldmap.yml",
    "product: qumulo\nfields: {user: '@user', operation: metadata.event_code, path: file.path}",
)
LOGSOURCE = "logsource: {product: qumulo, service: audit}"
WATCHED = ActiveList("watched", ("user",))
RULES = f"""\
title: Whoever changes rights is watched
name: rights
level: informational
{LOGSOURCE}
detection: {{sel: {{operation: fs_write_metadata}}, condition: sel}}
northbound:
  lists:
    - {{add: watched, ttl: 10m, values: [path]}}
---
title: Cleared
name: cleared
level: informational
{LOGSOURCE}
detection: {{sel: {{operation: session_close}}, condition: sel}}
northbound:
  lists:
    - {{remove: watched, key: [user]}}
---
title: Deletion by one who is watched
name: deletion
level: high
{LOGSOURCE}
detection: {{sel: {{operation: fs_delete}}, condition: sel}}
northbound:
  lists:
    - {{in: watched}}
---
title: Creation by one who is not
name: creation
{LOGSOURCE}
detection: {{sel: {{operation: fs_create_file}}, condition: sel}}
northbound:
  lists:
    - {{not_in: watched}}
"""
MINUTE = 60_000
ALERTS = "northbound.acme.alerts"
ADD, REMOVE, TEST = "fs_write_metadata", "session_close", "fs_delete"
ABSENT = "fs_create_file"
DELETED, CREATED = "Deletion by one who is watched", "Creation by one who is not"


def driver(
    rules: str = RULES,
    lists: Sequence[ActiveList] = (WATCHED,),
    partitions: int = 1,
    **options: Any,
) -> TopologyTestDriver:
    named = {each.name: each for each in lists}
    compiled = compile_rules([("rules.yml", rules)], [FIELDS], lists=named)
    made = replace(plan(partitions), rules=compiled)
    return TopologyTestDriver(steps(made), partitions={"matches": partitions}, **options)


def send(
    topology: TopologyTestDriver, at: int, user: str, operation: str, path: str = "/a"
) -> None:
    """A line `at` ms after the start."""
    time = START + at
    topology.pipe(RAW, line(time, user, operation, path), timestamp=time)


def finish(topology: TopologyTestDriver) -> None:
    """Let everything be judged."""
    topology.run()
    topology.advance_wall_clock(START + 24 * 60 * MINUTE)
    topology.run()


def alerts(topology: TopologyTestDriver, tenant: str = "acme") -> list[tuple[str, str, int]]:
    """Title, user and time of the alerts of rules with tests."""
    found = [
        orjson.loads(record.value or b"") for record in topology.read(f"northbound.{tenant}.alerts")
    ]
    told = [
        (
            each["finding_info"]["title"],
            each["evidences"][0]["data"]["user"],
            each["time"] - START,
        )
        for each in found
    ]
    return sorted(
        (each for each in told if each[0] in (DELETED, CREATED)), key=lambda each: each[2]
    )


def test_a_rule_matches_if_its_key_was_added_before() -> None:
    """In event time, until the entry is over or removed; others are not met."""
    topology = driver()
    for at, user, operation in (
        (0, "eve", TEST),
        (1_000, "eve", ADD),
        (2_000, "eve", TEST),
        (3_000, "bob", TEST),
        (4_000, "bob", ABSENT),
        (5_000, "eve", ABSENT),
        (10 * MINUTE + 999, "eve", TEST),
        (10 * MINUTE + 1_000, "eve", TEST),
        (11 * MINUTE, "bob", ADD),
        (11 * MINUTE + 1, "bob", REMOVE),
        (11 * MINUTE + 2, "bob", TEST),
        (11 * MINUTE + 3, "bob", ABSENT),
    ):
        send(topology, at, user, operation)
    finish(topology)
    expected = [
        (DELETED, "eve", 2_000),
        (CREATED, "bob", 4_000),
        (DELETED, "eve", 10 * MINUTE + 999),
        (CREATED, "bob", 11 * MINUTE + 3),
    ]
    assert alerts(topology) == expected
    assert alerts(topology, "other") == expected


def test_an_alert_says_what_was_in_the_list() -> None:
    """Since when, by which rule, with which event and values; not where nothing was."""
    topology = driver()
    send(topology, 1_000, "eve", ADD, "/first")
    send(topology, 2_000, "eve", ADD, "/last")
    send(topology, 3_000, "eve", TEST)
    send(topology, 4_000, "bob", ABSENT)
    finish(topology)
    found = {
        alert["finding_info"]["title"]: alert["evidences"][0]["data"]
        for alert in map(orjson.loads, (each.value for each in topology.read(ALERTS)))
    }
    listed = {name: text for name, text in found[DELETED].items() if name.startswith("list")}
    assert listed == {
        "list": "watched",
        "listed_since": "2026-09-21T14:13:21.000+00:00",
        "listed_by": "rights",
        "listed_uid": "AAAAAAAAAAA-0-1",
        "listed_path": "/last",
    }
    assert not any(name.startswith("list") for name in found[CREATED])

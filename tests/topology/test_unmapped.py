"""Rules ask for what stayed unmapped as for any attribute, by the path at which tenants read it."""

from functools import partial

import orjson
import polars as pl
import pytest

from app.event_lines import read_events
from topology.filters import Filter, Filters
from topology.match.compile import compile_rules
from topology.pipeline import pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import Step, TopologyTestDriver
from topology.texts import as_text
from topology.topics import Names
from topology.unmapped import with_members

START = 1_790_000_000_000
RULES = """
title: Blocked
name: blocked
logsource: {product: fw}
detection: {sel: {unmapped.ext.act: BLOCKED}, condition: sel}
---
title: Blocked twice
correlation:
  type: event_count
  rules: [blocked]
  group-by: [unmapped.ext.suser]
  timespan: 1m
  condition: {gte: 2}
  generate: true
"""
LISTED = """
title: Any
name: any
logsource: {product: fw}
detection: {sel: {unmapped.record.users: eve}, condition: sel}
---
title: Those
correlation:
  type: event_count
  rules: [any]
  group-by: [unmapped.record.users]
  timespan: 1m
  condition: {gte: 2}
"""
RECORD = orjson.dumps(
    {
        "act": "blocked",
        "a.b": 1,
        "a": {"b": "x"},
        "l": ["p", 2, None],
        "o": [{"z": "u"}, {"z": {"y": 1}}, {"z": [3, 4]}],
        "t": True,
        "e": None,
        "s": "[x]",
        "f": 1.5,
    }
).decode()


def played(rules: str, kind: str, lines: list[bytes], max_batch: int = 10) -> TopologyTestDriver:
    plan = Plan(
        names=Names(),
        sources={
            "fw": SourcePlan(
                "fw",
                kind,
                LogSource("fw"),
                filters=Filters([Filter("noise", False, {"it": {"unmapped.ext.act": "noise"}})]),
            )
        },
        tenants={"acme": TenantPlan("acme", frozenset({"fw"}))},
        origins={"raw.fw": "AAAAAAAAAAA"},
        rules=compile_rules([("rules.yml", rules)]),
        matches_partitions=1,
    )
    steps = [Step(partial(node.build, plan), node.topics(plan)) for node in pipeline(plan.expose)]
    driver = TopologyTestDriver(steps, max_batch=max_batch)
    for number, line in enumerate(lines):
        driver.pipe("raw.fw", line, timestamp=START + number)
    driver.run()
    driver.advance_wall_clock(START + 3_600_000)
    driver.run()
    return driver


def groups(driver: TopologyTestDriver) -> list[dict[str, str]]:
    found = [orjson.loads(each.value or b"") for each in driver.read("northbound.acme.alerts")]
    return [
        each["unmapped"]["group"]
        for each in found
        if each["unmapped"]["state"] == "final" and "group" in each["unmapped"]
    ]


def test_rules_filters_and_groups_ask_for_members() -> None:
    """What `northbound match` finds in an event that a tenant reads, workers find too."""
    cef = "CEF:0|v|p|1|100|name|5|act={} suser={}"
    lines = [
        cef.format(act, user).encode()
        for act, user in (("blocked", "eve"), ("noise", "eve"), ("blocked", "eve"), ("ok", "bob"))
    ]
    driver = played(RULES, "cef", lines)
    events = [each.value or b"" for each in driver.read("northbound.acme.events")]
    assert len(events) == 3
    assert driver.counts["filtered"] == 1
    assert groups(driver) == [{"unmapped.ext.suser": "eve"}]
    ((offline,), rules) = read_events(events), compile_rules([("rules.yml", RULES)])
    assert rules.match(offline.events, None)[0].tolist() == [0, 1]
    assert len(driver.read("northbound.acme.alerts")) == 2 + 2


@pytest.mark.parametrize("max_batch", [1, 10])
def test_a_group_may_be_a_list(max_batch: int) -> None:
    """One element is as if it were alone, whatever the others of a batch have; and nobody's events
    are lost to dead letters for a rule that groups by a list."""
    users = [["eve"], "eve", ["eve", "bob"], ["eve", "bob"], [], "bob"]
    lines = [orjson.dumps({"users": each}) for each in users]
    driver = played(LISTED, "json", lines, max_batch)
    assert driver.counts["dead_letters"] == 0
    assert len(driver.read("northbound.acme.events")) == len(lines)
    found = [group["unmapped.record.users"] for group in groups(driver)]
    assert sorted(found) == ['["eve","bob"]', "eve"]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("act", "blocked"),
        ("a.b", "x"),
        ("a", None),
        ("l", ["p", "2"]),
        ("o.z", ["u", "3", "4"]),
        ("o", None),
        ("t", "true"),
        ("e", None),
        ("s", "[x]"),
        ("f", "1.5"),
        ("nope", None),
        ("l.z", None),
    ],
)
def test_members_of_json(name: str, found: object) -> None:
    """Scalars as texts, all of those within lists, and no objects; of other rows, too."""
    texts = [RECORD, None, "{}", '{"act":"\\ud800"}']
    events = pl.DataFrame({"unmapped.record:json": texts, "unmapped.nope": ["x"] * 4})
    column = with_members(events, [f"unmapped.record.{name}"])[f"unmapped.record.{name}"]
    assert column.to_list() == [found, None, None, None]


def test_columns_come_before_members() -> None:
    """A column of the name is what is asked for; without one and without JSON there is nothing."""
    events = pl.DataFrame({"unmapped.record:json": [RECORD], "unmapped.record.act": ["own"]})
    names = ["unmapped.record.act", "unmapped.other.act", "unmapped.record.it's"]
    assert with_members(events, names).equals(events)


def test_lists_as_text() -> None:
    """Values that a list may have, and lists that are nothing."""
    lists = [["a"], ["a", 'b"'], [], None, [None], [None, "c"]]
    texts = as_text(pl.Series("x", lists, dtype=pl.List(pl.String)))
    assert texts.to_list() == ["a", '["a","b\\""]', None, None, None, '[null,"c"]']
    assert as_text(pl.Series([[1, 2], [3]])).to_list() == ["[1,2]", "3"]

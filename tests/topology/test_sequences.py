"""A sequence over two sources, from raw lines to alerts."""

from functools import partial

import orjson
import pytest

from tests.topology.deployment import START, line
from topology.match.compile import compile_rules
from topology.pipeline import pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

RULES = """
title: Read
name: read
logsource: {product: qumulo, service: first}
detection: {sel: {metadata.event_code: fs_read_data}, condition: sel}
---
title: Delete
name: deleted
logsource: {product: qumulo, service: second}
detection: {sel: {metadata.event_code: fs_delete}, condition: sel}
---
title: Read here, then deleted there
correlation:
  type: temporal_ordered
  rules: [read, deleted]
  group-by: [who]
  aliases: {who: {read: actor.user.name, deleted: actor.user.name}}
  timespan: 1m
  generate: true
level: high
"""
HOUR = 3_600_000


@pytest.mark.parametrize("partitions", [1, 3])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("max_batch", [1, 1_000])
@pytest.mark.parametrize("restarted", [False, True])
def test_two_sources(partitions, workers, max_batch, restarted):
    """The second event comes first, in a topic of its own; the order of the times decides."""
    plan = Plan(
        names=Names(),
        sources={
            name: SourcePlan(name, "qumulo", LogSource("qumulo", service))
            for name, service in (("a", "first"), ("b", "second"))
        },
        tenants={"acme": TenantPlan("acme", frozenset({"a", "b"}), events=False)},
        origins={"raw.a": "AAAAAAAAAAA", "raw.b": "BBBBBBBBBBB"},
        rules=compile_rules([("rules.yml", RULES)]),
        matches_partitions=partitions,
    )
    steps = [Step(partial(node.build, plan), node.topics(plan)) for node in pipeline(plan.expose)]
    driver = TopologyTestDriver(
        steps, partitions={"matches": partitions}, workers=workers, max_batch=max_batch
    )

    def send(source, seconds, user, operation):
        time = START + seconds * 1000
        driver.pipe(f"raw.{source}", line(time, user, operation), timestamp=time, partition=0)

    send("b", 20, "eve", "fs_delete")
    send("b", 1, "bob", "fs_delete")
    driver.run()
    if restarted:
        driver.restart()
    send("a", 10, "eve", "fs_read_data")
    send("a", 11, "bob", "fs_read_data")
    driver.run()
    driver.advance_wall_clock(START + HOUR)
    driver.run()
    found = [orjson.loads(record.value) for record in driver.read("northbound.acme.alerts")]
    said = [(each["finding_info"]["title"], each["unmapped"]["state"]) for each in found]
    assert sorted(said) == [
        *[("Delete", "final")] * 2,
        *[("Read", "final")] * 2,
        ("Read here, then deleted there", "final"),
        ("Read here, then deleted there", "provisional"),
    ]
    for each in found:
        if "group" in each["unmapped"]:
            assert each["unmapped"]["group"] == {"who": "eve"}
            assert each["time"] == START + 20_000
            uids = [event["uid"] for event in each["finding_info"]["related_events"]]
            assert uids == ["AAAAAAAAAAA-0-0", "BBBBBBBBBBB-0-0"]

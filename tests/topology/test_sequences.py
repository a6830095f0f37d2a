"""A sequence over two sources, and one that lacks its end, from raw lines to alerts."""

from functools import partial
from itertools import product

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
ABSENCE = (
    RULES.replace("temporal_ordered", "event_count")
    .replace("rules: [read, deleted]", "rules: [read]")
    .replace("generate: true", "condition: {gte: 1}")
    .replace("level: high", "northbound: {absent: [deleted]}\nlevel: high")
)
FIRST_SEEN = (
    ABSENCE.replace("rules: [read]", "rules: [read, deleted]")
    .replace("absent: [deleted]", "first_seen: true")
    .replace("timespan: 1m", "timespan: 10m")
)
CHAINED = """
title: Delete
name: deleted
logsource: {product: qumulo}
detection: {sel: {metadata.event_code: fs_delete}, condition: sel}
---
title: Three deletes
name: three
correlation:
  type: event_count
  rules: [deleted]
  group-by: [actor.user.name]
  timespan: 20s
  condition: {gte: 3}
---
title: Deletes by two users
correlation:
  type: value_count
  rules: [three]
  group-by: []
  timespan: 5m
  condition: {gte: 2, field: actor.user.name}
level: critical
"""
HOUR = 3_600_000


RUNS = [
    {"partitions": partitions, "workers": workers, "max_batch": most, "restarted": restarted}
    for partitions, workers, most, restarted in product((1, 3), (1, 2), (1, 1_000), (False, True))
]


def played(rules, sent, later, *, partitions, workers, max_batch, restarted):
    """The alerts for lines, some of which come after a restart: (source, seconds, user, what)."""
    plan = Plan(
        names=Names(),
        sources={
            name: SourcePlan(name, "qumulo", LogSource("qumulo", service))
            for name, service in (("a", "first"), ("b", "second"))
        },
        tenants={"acme": TenantPlan("acme", frozenset({"a", "b"}), events=False)},
        origins={"raw.a": "AAAAAAAAAAA", "raw.b": "BBBBBBBBBBB"},
        rules=compile_rules([("rules.yml", rules)]),
        matches_partitions=partitions,
    )
    steps = [Step(partial(node.build, plan), node.topics(plan)) for node in pipeline(plan.expose)]
    driver = TopologyTestDriver(
        steps, partitions={"matches": partitions}, workers=workers, max_batch=max_batch
    )

    def send(source, seconds, user, operation):
        time = START + seconds * 1000
        driver.pipe(f"raw.{source}", line(time, user, operation), timestamp=time, partition=0)

    for each in sent:
        send(*each)
    driver.run()
    if restarted:
        driver.restart()
    for each in later:
        send(*each)
    driver.run()
    driver.advance_wall_clock(START + HOUR)
    driver.run()
    return [orjson.loads(record.value) for record in driver.read("northbound.acme.alerts")]


@pytest.mark.parametrize("run", RUNS)
def test_two_sources(run):
    """The second event comes first, in a topic of its own; the order of the times decides."""
    sent = [("b", 20, "eve", "fs_delete"), ("b", 1, "bob", "fs_delete")]
    later = [("a", 10, "eve", "fs_read_data"), ("a", 11, "bob", "fs_read_data")]
    found = played(RULES, sent, later, **run)
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


@pytest.mark.parametrize("run", [RUNS[0], RUNS[-1]])
def test_one_moment(run):
    """Events of one moment, as whole seconds make them, count in the order of their records: the
    tenth comes before the eleventh, however that looks as text."""
    sent = [("a", 1, "ann", "fs_write_data")] * 9
    later = [("a", 5, "eve", "fs_read_data"), ("a", 5, "eve", "fs_delete")]
    found = played(RULES.replace("second}", "first}"), sent, later, **run)
    (alert,) = (
        each
        for each in found
        if "group" in each["unmapped"] and each["unmapped"]["state"] == "final"
    )
    uids = [event["uid"] for event in alert["finding_info"]["related_events"]]
    assert uids == ["AAAAAAAAAAA-0-9", "AAAAAAAAAAA-0-10"]


@pytest.mark.parametrize("run", RUNS)
def test_what_did_not_follow(run):
    """An answer in another topic counts, however early it arrives; the silence of a source does."""
    sent = [("b", 20, "eve", "fs_delete"), ("b", 1, "bob", "fs_delete")]
    later = [
        ("a", 10, "eve", "fs_read_data"),
        ("a", 11, "bob", "fs_read_data"),
        ("a", 40, "bob", "fs_read_data"),
        ("a", 45, "ann", "fs_read_data"),
        ("b", 100, "ann", "fs_delete"),
    ]
    found = played(ABSENCE, sent, later, **run)
    (alert,) = (each for each in found if "group" in each["unmapped"])
    assert alert["unmapped"]["state"] == "final"
    assert alert["unmapped"]["group"] == {"who": "bob"}
    assert (alert["time"], alert["end_time"]) == (START + 11_000, START + 40_000)
    uids = [event["uid"] for event in alert["finding_info"]["related_events"]]
    assert uids == ["AAAAAAAAAAA-0-1", "AAAAAAAAAAA-0-2"]


@pytest.mark.parametrize("run", RUNS)
def test_first_seen(run):
    """Of every user the first event for ten minutes, whatever came in between or arrived first."""
    sent = [("a", 0, "ann", "fs_read_data")]
    sent += [("b", 20, "eve", "fs_delete"), ("b", 1, "bob", "fs_delete")]
    sent += [("b", second, "bob", "fs_delete") for second in range(2, 300)]
    later = [
        ("a", 10, "eve", "fs_read_data"),
        ("a", 601, "eve", "fs_read_data"),
        ("a", 850, "bob", "fs_read_data"),
        ("a", 1_450, "bob", "fs_read_data"),
    ]
    found = played(FIRST_SEEN, sent, later, **run)
    finals = [
        (each["unmapped"]["group"]["who"], each["time"] - START, each["count"])
        for each in found
        if each["unmapped"]["state"] == "final" and "group" in each["unmapped"]
    ]
    assert sorted(finals) == [
        ("ann", 0, 1),
        ("bob", 1_000, 1),
        ("bob", 1_450_000, 1),
        ("eve", 10_000, 1),
    ]


@pytest.mark.parametrize("run", RUNS)
def test_alerts_that_count(run):
    """Alerts on users, wherever they are counted, make one on all; they are silent themselves."""
    sent = [("b", second, "eve", "fs_delete") for second in (1, 2, 3)]
    sent += [("a", second, "bob", "fs_delete") for second in (5, 6)]
    later = [("a", 7, "bob", "fs_delete"), ("b", 60, "ann", "fs_delete")]
    (alert,) = (
        each for each in played(CHAINED, sent, later, **run) if each["unmapped"]["state"] == "final"
    )
    assert alert["finding_info"]["title"] == "Deletes by two users"
    assert (alert["start_time"], alert["time"]) == (START + 3_000, START + 7_000)
    assert (alert["count"], alert["unmapped"]["values"]) == (2, 2)
    uids = [event["uid"] for event in alert["finding_info"]["related_events"]]
    assert uids == ["BBBBBBBBBBB-0-2", "AAAAAAAAAAA-0-2"]

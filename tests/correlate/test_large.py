"""What matches hold of a line, however long: no record of Kafka becomes larger than it may be."""

from functools import partial
from pathlib import Path

import orjson
import polars as pl
import pytest

from app.config import load
from app.pipeline_tests import plan_of
from topology.correlate import chunks
from topology.correlate.group import Group
from topology.correlate.partials import _Writer
from topology.pipeline import pipeline
from topology.rules import Correlation, Rule
from topology.testing import MemoryStore, Step, TopologyTestDriver

MOST = 4_190_000
"""message.max.bytes of the topics."""
KEY = b"acme\0rule\0alice"
RULE = Correlation(
    rule=Rule("rule", "Rule", "high"),
    type="value_count",
    members=(0,),
    group_by=("user",),
    group_columns=((("user",),),),
    value_columns=((("url",),),),
    timespan_ms=60_000,
    suppress_ms=60_000,
    operator="gte",
    count=100,
)
RULES = """
title: base
id: 11111111-1111-4111-8111-111111111111
name: deletes
logsource: {product: qumulo}
detection: {selection: {activity_name|contains: "e"}, condition: selection}
level: low
---
title: many paths
id: 22222222-2222-4222-8222-222222222222
level: high
correlation:
  type: value_count
  rules: [deletes]
  group-by: [actor.user.name]
  timespan: 10m
  condition: {field: file.path, gte: 50}
"""
CONFIG = """
version: 1
kafka: {embedded: {}}
rules: [rules.yml]
sources:
  qumulo: {format: qumulo}
tenants:
  acme: {sources: [qumulo]}
"""


def test_a_group_of_long_values_is_in_several_entries() -> None:
    """Each fits a record of the changelog, over restarts, and all go with the group."""
    store, places = MemoryStore(), range(9)

    def add(group: Group, numbers: range) -> None:
        for n in numbers:
            match = [(1_000 + n, f"u{n}", f"{n}" + "x" * 900_000)]
            group.add(match, chunks.pack(match), 0)
            group.flush()
            store.commit()
        assert max(map(len, store.committed.values())) <= MOST

    def again(numbers: range) -> Group:
        group = Group(store, KEY, RULE)
        group.recall(places)
        assert [uid for _, uid, _ in group._matches()] == [f"u{n}" for n in numbers]
        return group

    add(Group(store, KEY, RULE), range(6))
    add(again(range(6)), range(6, 9))
    again(range(9)).remove()
    store.commit()
    assert store.committed == {}


def test_alerts_on_single_events_are_divided_by_their_size() -> None:
    """4,096 matches with what a thousand characters of path say are several records."""
    writer = _Writer(["acme"], "nas", None)
    matches = [(n, f"uid-{n}", (), None) for n in range(4_096)]
    evidence = {uid: orjson.dumps({"path": "/" + "d" * 1_040 + uid}) for _, uid, _, _ in matches}
    writer.write(Rule("r", "R", "high"), matches, evidence)
    values = writer.records().values
    assert len(values) > 1
    assert max(map(len, values)) <= MOST


@pytest.mark.parametrize("partitions", [None, 4])
def test_counted_values_are_divided_by_their_size(partitions: int | None) -> None:
    """The same in columns."""
    count = 4_096
    found = pl.DataFrame(
        {
            "time": range(count),
            "uid": [f"u{n:05}" for n in range(count)],
            "g0": ["alice"] * count,
            "v0": ["x" * 1_100 + str(n) for n in range(count)],
        }
    )
    writer = _Writer(["acme"], "nas", partitions)
    writer.write_columns(RULE, found)
    values = writer.records().values
    assert len(values) > 1
    assert max(map(len, values)) <= MOST


def test_long_lines_of_one_user_stop_no_worker(tmp_path: Path) -> None:
    """Six lines near the limit of a line, from the raw topic to the store of alerts."""
    (tmp_path / "rules.yml").write_text(RULES)
    path = tmp_path / "northbound.yaml"
    path.write_text(CONFIG)
    plan = plan_of(load(path))
    steps = [Step(partial(each.build, plan), each.topics(plan)) for each in pipeline(plan.expose)]
    driver = TopologyTestDriver(steps, partitions={plan.names.matches: plan.matches_partitions})
    for n in range(6):
        line = (
            f"<14>1 2026-11-27T12:00:0{n}.000000Z nas-1 qumulo - - - "
            f'10.0.0.1,"alice",smb2,fs_delete,ok,{n},"/{n}{"x" * 900_000}",""'
        )
        stamp = 1_795_780_800_000 + n * 1_000
        driver.pipe(plan.names.raw("qumulo"), line.encode(), timestamp=stamp, partition=0)
        driver.run()
    sizes = [len(value) for value in driver.store("alerts").values()]
    assert sum(sizes) > 6 * 900_000
    assert max(sizes) <= MOST

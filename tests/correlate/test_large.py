"""What matches hold of a line, however long: no record of Kafka becomes larger than it may be."""

from collections import Counter
from pathlib import Path

import jsonschema
import orjson
import polars as pl
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from app.pipeline_tests import plan_of
from tests.topology.configured import configured
from tests.topology.deployment import steps
from topology.correlate import chunks
from topology.correlate.group import Group
from topology.correlate.partials import _Writer
from topology.keys import _opened, opened
from topology.list_records import _written
from topology.northbound.finding import encode
from topology.plan import Plan
from topology.rules import Alert, Correlation, Rule
from topology.testing import MemoryStore, TopologyTestDriver

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
BY_PATH = """
title: base
id: 11111111-1111-4111-8111-111111111111
name: deletes
logsource: {product: qumulo}
detection: {selection: {activity_name|contains: "e"}, condition: selection}
level: low
---
title: one path again and again
id: 33333333-3333-4333-8333-333333333333
level: high
correlation:
  type: event_count
  generate: true
  rules: [deletes]
  group-by: [file.path]
  timespan: 10m
  condition: {gte: 2}
"""
NOON = 1_795_780_800_000


def deployment(path: Path, rules: str = RULES) -> tuple[TopologyTestDriver, Plan]:
    """The whole topology with these rules."""
    plan = plan_of(configured(path, rules=rules))
    parts = {plan.names.matches: plan.matches_partitions}
    return TopologyTestDriver(steps(plan), partitions=parts), plan


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
    driver, plan = deployment(tmp_path)
    for n in range(6):
        line = (
            f"<14>1 2026-11-27T12:00:0{n}.000000Z nas-1 qumulo - - - "
            f'10.0.0.1,"alice",smb2,fs_delete,ok,{n},"/{n}{"x" * 900_000}",""'
        )
        stamp = NOON + n * 1_000
        driver.pipe(plan.names.raw("qumulo"), line.encode(), timestamp=stamp, partition=0)
        driver.run()
    assert driver.counts["dead_letters"] == 0
    assert max(len(value) for value in driver.store("alerts").values()) <= MOST


@pytest.mark.parametrize(("count", "sign", "size"), [(4, "x", 900_000), (300, "\x01", 9_000)])
def test_an_alert_by_a_value_as_long_as_a_line_fits_a_record(
    tmp_path: Path, count: int, sign: str, size: int
) -> None:
    """It is valid OCSF, says that it is cut, and paths that begin alike stay apart; one by one and
    in columns. \\x01 is six bytes in JSON."""
    driver, plan = deployment(tmp_path, BY_PATH)
    for n in range(count):
        line = (
            "<14>1 2026-11-27T12:00:00.000000Z nas-1 qumulo - - - "
            f'10.0.0.1,"alice",smb2,fs_delete,ok,{n},"/{sign * size}{n % 2}",""'
        )
        driver.pipe(plan.names.raw("qumulo"), line.encode(), timestamp=NOON, partition=0)
    driver.run()
    for record in driver.read(plan.names.matches):
        assert len(record.key or b"") + len(record.value or b"") < MOST
    said = [record.value or b"" for record in driver.read(plan.names.alerts("acme"))]
    assert max(map(len, said)) < 1_000_000
    found = [orjson.loads(each) for each in said]
    counted = [each for each in found if each["finding_info"]["types"] == ["event_count"]]
    assert len({each["unmapped"]["group"]["file.path"] for each in counted}) == 2
    assert all(f"({size + 2} characters" in each["message"] for each in counted)
    assert [each["metadata"]["is_truncated"] for each in found] == [True] * len(found)
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.6.0"))
    validator = jsonschema.Draft202012Validator(schema.get_class_schema("detection_finding"))
    assert [error.message for each in found[:8] for error in validator.iter_errors(each)] == []


def test_an_alert_of_a_group_that_was_kept_before_values_were_cut_fits_a_record() -> None:
    """Its key has the whole value, twice of which is in the alert."""
    long = "\x01" * 900_000
    alert = Alert(
        uid="u",
        tenant="acme",
        rule=RULE.rule,
        kind="event_count",
        state="final",
        time=1,
        start=1,
        end=1,
        count=1,
        group=(("file.path", long),),
    )
    assert len(encode(alert, "1")) < 100_000
    assert orjson.loads(encode(alert, "1"))["metadata"]["is_truncated"] is True


@pytest.mark.parametrize("partitions", [None, 4])
def test_what_is_kept_with_keys_of_a_list_is_divided_by_its_size(partitions: int | None) -> None:
    """4,096 changes of one key, each with a thousand characters."""
    count = 4_096
    found = pl.DataFrame(
        {
            "time": range(count),
            "uid": [f"u{n:05}" for n in range(count)],
            "g0": ["alice"] * count,
            "v0": ["x" * 1_100 + str(n) for n in range(count)],
        }
    )
    records = _written({(("acme",), "seen"): [found]}, "nas", partitions, Counter())
    assert len(records.values) > 1
    assert max(map(len, records.values)) <= MOST


def test_keys_of_long_groups_are_not_remembered() -> None:
    """One sender can make as many as it likes; short ones come back from batch to batch."""
    _opened.cache_clear()
    for number in range(9):
        made = opened("Partial", "acme", "rule", (f"{number}" + "x" * 8_000,))
        assert made == opened("Partial", "acme", "rule", (f"{number}" + "x" * 8_000,))
    assert _opened.cache_info().currsize == 0
    assert opened("Partial", "acme", "rule", ("eve",)) == opened(
        "Partial", "acme", "rule", ("eve",)
    )
    assert _opened.cache_info().hits == 1

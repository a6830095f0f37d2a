"""What alerts of correlations show of their events: the `fields` of their rules, line to alert."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.topology.deployment import RAW, START, line, plan, steps
from topology.correlate.marks import greatest, mark_of, marked, marks, shown_of
from topology.lists import ActiveList
from topology.match.compile import compilation, compile_rules, read_field_map
from topology.testing import TopologyTestDriver

FIELDS = read_field_map(
    "fieldmap.yml",
    "product: qumulo\n"
    "fields: {user: '@user', ip: src_endpoint.ip, operation: metadata.event_code, path: file.path}",
)
BASE = """\
title: Deletion
name: deletion
logsource: {product: qumulo, service: audit}
detection: {sel: {operation: fs_delete}, condition: sel}
fields: [path, ip]
level: low
"""
COUNT = """\
title: Many
name: many
correlation:
  type: event_count
  rules: [deletion]
  group-by: [user]
  timespan: 1m
  condition: {gte: 3}
level: high
"""
CHAINED = """\
title: Many, twice
name: twice
correlation:
  type: event_count
  rules: [many]
  group-by: [user]
  timespan: 1h
  condition: {gte: 2}
level: critical
"""
TESTED = (
    BASE
    + """\
northbound:
  lists:
    - {not_in: known}
"""
)
FILLING = """\
title: Known
name: known
logsource: {product: qumulo, service: audit}
detection: {sel: {operation: session_close}, condition: sel}
northbound:
  lists: [{add: known}]
  alert: false
level: informational
"""
KNOWN = ActiveList("known", ("user",))


def outcome(
    rules: Sequence[str],
    sent: Sequence[bytes],
    *,
    partitions: int = 1,
    lists: Sequence[ActiveList] = (),
    **options: Any,
) -> list[dict[str, Any]]:
    """Final alerts of correlations over lines that are a second apart."""
    text = "---\n".join(rules)
    compiled = compile_rules(
        [("rules.yml", text)], [FIELDS], lists={each.name: each for each in lists}
    )
    made = replace(plan(partitions), rules=compiled)
    topology = TopologyTestDriver(steps(made), partitions={"matches": partitions}, **options)
    for number, each in enumerate(sent):
        topology.pipe(RAW, each, timestamp=START + number * 1_000)
    topology.run()
    topology.advance_wall_clock(START + 24 * 3_600_000)
    topology.run()
    assert not topology.read("dead-letters")
    found = [
        orjson.loads(record.value or b"") for record in topology.read("northbound.acme.alerts")
    ]
    return [
        each
        for each in found
        if each["unmapped"]["state"] == "final" and each["finding_info"]["types"] != ["event"]
    ]


def lines(paths: Sequence[str], user: str = "eve") -> list[bytes]:
    return [line(START + at * 1_000, user, path=path) for at, path in enumerate(paths)]


def test_an_alert_shows_the_fields_of_its_first_events() -> None:
    """Of ten, each with its uid, in the order of the events that it links."""
    paths = [f"/d/{number}" for number in range(30)]
    (alert,) = outcome([BASE, COUNT], lines(paths))
    linked = [each["uid"] for each in alert["finding_info"]["related_events"]]
    assert len(linked) == alert["count"] == 30
    assert not any("~" in uid for uid in linked)
    assert alert["evidences"] == [
        {"data": {"path": path, "ip": "10.0.0.7"}, "uid": uid}
        for path, uid in zip(paths[:10], linked, strict=False)
    ]


def test_what_is_counted_is_shown_without_being_asked_for() -> None:
    """It is there anyway; several fields each by its name, and in front of others."""
    count = COUNT.replace("event_count", "value_count").replace("{gte: 3}", "{gte: 3, field: path}")
    paths = [f"/d/{number}" for number in range(12)]
    (alert,) = outcome([BASE.replace("fields: [path, ip]\n", ""), count], lines(paths))
    assert [each["data"] for each in alert["evidences"]] == [{"path": path} for path in paths[:10]]
    both = count.replace("field: path", "field: [operation, path]")
    (alert,) = outcome([BASE.replace("[path, ip]", "[ip]"), both], lines(paths))
    assert alert["evidences"][1]["data"] == {
        "operation": "fs_delete",
        "path": "/d/1",
        "ip": "10.0.0.7",
    }


def test_a_storm_shows_its_first_events_still() -> None:
    """An episode that goes on keeps what its alert will show, and of later ones the uid alone."""
    paths = [f"/d/{number}" for number in range(6_000)]
    count = f"{COUNT}northbound: {{suppress: 3h}}\n"
    (alert,) = outcome([BASE, count], lines(paths), max_batch=500)
    assert alert["count"] == 6_000
    assert [each["data"]["path"] for each in alert["evidences"]] == paths[:10]
    assert not any("~" in each["uid"] for each in alert["finding_info"]["related_events"])


def test_without_fields_nothing_is_carried() -> None:
    (alert,) = outcome([BASE.replace("fields: [path, ip]\n", ""), COUNT], lines(["/a"] * 5))
    assert "evidences" not in alert


@pytest.mark.parametrize("count", [3, 400])
@pytest.mark.parametrize("max_batch", [1, 7, 1_000])
@pytest.mark.parametrize("partitions", [1, 4])
def test_it_is_the_same_however_batches_are_cut(
    count: int, max_batch: int, partitions: int
) -> None:
    """In columns, one by one, over partitions and after a restart of each batch's worker."""
    if max_batch < 1_000:
        count = min(count, 40)
    sent = [
        line(START + at * 20, f"user{at % 3}", path=f"/d/{at}, Übersicht\n{at % 7}.txt")
        for at in range(3 * count)
    ]
    one = outcome([BASE, COUNT], sent, max_batch=10_000)
    other = outcome([BASE, COUNT], sent, max_batch=max_batch, partitions=partitions)
    key = lambda each: each["finding_info"]["uid"]  # noqa: E731
    assert sorted(one, key=key) == sorted(other, key=key)
    assert len(one) == 3
    assert all(len(each["evidences"]) == min(10, count) for each in one)
    assert {each["data"]["path"].count("\n") for alert in one for each in alert["evidences"]} == {1}


def test_a_correlations_own_fields_and_its_aliases() -> None:
    """They come first; one that no field map has is told, and shown by nobody."""
    count = COUNT.replace("condition:", "aliases: {who: {deletion: user}}\n  condition:").replace(
        "[user]", "[who]"
    )
    (alert,) = outcome([BASE, f"{count}fields: [who]\n"], lines(["/a"] * 3))
    assert list(alert["evidences"][0]["data"]) == ["who", "path", "ip"]
    assert alert["evidences"][0]["data"]["who"] == "eve"
    wrong = f"{BASE.replace('[path, ip]', '[path, oops]')}---\n{COUNT}fields: [nope]\n"
    found = compilation([("rules.yml", wrong)], [FIELDS])
    assert not found.problems
    told = found.rules.warnings
    assert [each.split(":")[1] for each in told] == ["5", "17"]
    assert "'oops' is not in the field map" in told[0]
    assert "alerts do not show it" in told[1]
    assert [name for name, _ in found.rules.rules.events[0].shown] == ["path"]


def test_the_event_that_decided_an_alert_is_shown_by_what_counts_it() -> None:
    sent = [
        line(START + at * 1_000, "eve", path=f"/d/{at}") for at in (*range(3), *range(200, 203))
    ]
    found = outcome([BASE, COUNT, CHAINED], sent)
    (alert,) = [each for each in found if each["finding_info"]["title"] == "Many, twice"]
    assert [each["data"]["path"] for each in alert["evidences"]] == ["/d/2", "/d/202"]


@pytest.mark.parametrize("count", [3, 200])
def test_events_that_passed_a_list_are_shown(count: int) -> None:
    """Their matches come back by way of the list, one by one or in columns."""
    sent = [
        line(START + at * 10, f"user{who}", path=f"/d/{who}/{at}")
        for at in range(3)
        for who in range(count)
    ]
    found = outcome([FILLING, TESTED, COUNT], sent, lists=[KNOWN])
    assert len(found) == count
    for each in found:
        who = each["unmapped"]["group"]["user"].removeprefix("user")
        assert [shown["data"]["path"] for shown in each["evidences"]] == [
            f"/d/{who}/{at}" for at in range(3)
        ]


def test_a_single_event_shows_what_its_rule_names_beside_what_all_show() -> None:
    rules = compile_rules([("r", BASE.replace("[path, ip]", "[operation, path]"))], [FIELDS])
    topology = TopologyTestDriver(steps(replace(plan(), rules=rules)), partitions={"matches": 1})
    topology.pipe(RAW, line(START, "eve", path="/x"), timestamp=START)
    topology.run()
    (record,) = topology.read("northbound.acme.alerts")
    (shown,) = orjson.loads(record.value or b"")["evidences"]
    assert shown["data"] == {
        "user": "eve",
        "ip": "10.0.0.7",
        "protocol": "smb2",
        "operation": "fs_delete",
        "status": "ok",
        "path": "/x",
        "host": "nas-1",
    }


def test_long_values_are_short_in_a_match() -> None:
    """A group may keep thousands; an alert says that it has not the whole of it."""
    (alert,) = outcome([BASE, COUNT], lines([f"/{'d' * 3_000}/{at}" for at in range(3)]))
    shown = [each["data"]["path"] for each in alert["evidences"]]
    assert len(set(shown)) == 3
    assert max(map(len, shown)) < 512
    assert alert["metadata"]["is_truncated"] is True


TEXTS = st.one_of(st.none(), st.text(max_size=8), st.sampled_from(["a\nb", "~3", "\x1f\x1e\x1d"]))


@given(
    st.lists(st.tuples(TEXTS, TEXTS, st.sampled_from([None, "low", "critical"])), min_size=1),
    st.integers(min_value=0, max_value=7),
)
def test_marks_say_what_columns_hold(rows: list[tuple[Any, Any, Any]], chosen: int) -> None:
    """Whatever is in a value, but for the three signs that stand between them."""
    events = pl.DataFrame(
        {
            "metadata.uid": [f"o-0-{number}" for number in range(len(rows))],
            "a": [a for a, _, _ in rows],
            "b": [b for _, b, _ in rows],
            "@priority": [level for _, _, level in rows],
        },
        schema_overrides=dict.fromkeys(("a", "b", "@priority"), pl.String),
    )
    if chosen & 4:
        events = events.drop("@priority")
    fields = tuple((name, (name,)) for bit, name in ((1, "a"), (2, "b")) if chosen & bit)
    places = np.arange(0, len(rows), 2)
    uids = marked(events, events, [places], fields)["metadata.uid"].to_list()
    clean = str.maketrans("\x1f\x1e\x1d", "   ")
    for place, (uid, (a, b, level)) in enumerate(zip(uids, rows, strict=True)):
        if place % 2:
            assert uid == f"o-0-{place}"
            continue
        assert "\n" not in uid
        there = {"a": a, "b": b}
        expected = {
            name: there[name].translate(clean) for name, _ in fields if there[name] is not None
        }
        assert shown_of(uid) == expected
        assert greatest([uid]) == (None if chosen & 4 else level)
        assert (mark_of(uid) == "") == (not expected and greatest([uid]) is None)
    if not fields and chosen & 4:
        assert marks(events, events, places, fields) is None

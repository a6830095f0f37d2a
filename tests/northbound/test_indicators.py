"""Alerts as a summary and details, as Citrix' customers know them."""

import datetime as dt
from dataclasses import replace
from typing import Any

import orjson

from tests.topology.deployment import RAW, START, line, plan, steps
from topology.northbound import finding
from topology.northbound.indicators import split
from topology.rules import Alert, Rule
from topology.testing import TopologyTestDriver


def alert(**options: Any) -> bytes:
    """A finding of one alert as OCSF JSON."""
    rule = Rule(id="r-1", title="Exfiltration", level="high", tags=options.pop("tags", ()))
    given = {
        "uid": "a-1",
        "tenant": "acme",
        "rule": rule,
        "kind": "event_count",
        "state": "final",
        "time": START,
        "start": START - 5_000,
        "end": START,
        "count": 3,
        "uids": ("e-1", "e-2", "e-3"),
        **options,
    }
    return finding.encode(Alert(**given), "0.1.0")


def records(*findings: bytes) -> list[dict[str, Any]]:
    values, keys = split([b"key"] * len(findings), findings)
    assert len(values) == len(keys)
    assert set(keys) == {b"key"}
    return [orjson.loads(value) for value in values]


def test_from_lines_to_summary_and_details() -> None:
    """Each state of an alert is a summary followed by its details under the same key; their event
    ids are those of the tenant's events, oldest first; nothing of it differs from what another
    tenant has in OCSF."""
    chosen = plan()
    acme = replace(chosen.tenants["acme"], format="indicator-json")
    tenants = {"acme": acme, "ocsf": replace(acme, name="ocsf", format="ocsf-json")}
    run = TopologyTestDriver(steps(replace(chosen, tenants=tenants)))
    for number in range(120):
        run.pipe(RAW, line(START + number * 10, "eve"), timestamp=START + number * 10)
    run.run()
    run.advance_wall_clock(START + 7_200_000)
    run.run()
    assert not run.read("dead-letters")
    events = [orjson.loads(each.value or b"") for each in run.read("northbound.acme.events")]
    findings = [orjson.loads(each.value or b"") for each in run.read("northbound.ocsf.alerts")]
    written = run.read("northbound.acme.alerts")
    found = [orjson.loads(each.value or b"") for each in written]
    summaries = [each for each in found if each["event_type"] == "indicatorSummary"]
    assert len({each["uid"] for each in found}) == len(found)
    assert [each["state"] for each in summaries] == [f["unmapped"]["state"] for f in findings]
    uids = [each["metadata"]["uid"] for each in events]
    place = 0
    for summary, expected in zip(summaries, findings, strict=True):
        assert found[place] == summary
        linked = [each["uid"] for each in expected["finding_info"].get("related_events", ())]
        details = found[place + 1 : place + 1 + len(linked)]
        assert [each["event_id"] for each in details] == linked
        assert linked == sorted(linked, key=uids.index)
        assert {each["event_type"] for each in details} == {"indicatorEventDetails"}
        ids = {each["indicator_uuid"] for each in [summary, *details]}
        assert len(ids) == 1
        group = written[place : place + 1 + len(linked)]
        assert {each.key for each in group} == {next(iter(ids)).encode()}
        assert summary["indicator_name"] == expected["finding_info"]["title"]
        assert summary["occurrence_details"]["event_count"] == expected["count"]
        assert (summary["entity_type"], summary["entity_id"]) == ("user", "eve")
        place += 1 + len(linked)
    assert place == len(found)
    assert any(each["state"] == "final" for each in summaries)


def test_a_summary() -> None:
    """Every member, as docs/outputs.md has it."""
    summary, *details = records(
        alert(
            tags=("attack.t1048", "attack.exfiltration", "attack.g0049"),
            group=(("dst_endpoint.hostname", "nas-1"), ("actor.user.name", "eve")),
            sources=("qumulo", "linux"),
            condition="gte 3",
            window_ms=60_000,
            values=2,
        )
    )
    when = dt.datetime.fromtimestamp(START / 1000, dt.UTC)
    stamp = when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{START % 1000:03}Z"
    before = when - dt.timedelta(seconds=5)
    assert summary == {
        "event_type": "indicatorSummary",
        "version": 1,
        "tenant_id": "acme",
        "entity_type": "user",
        "entity_id": "eve",
        "indicator_id": "r-1",
        "indicator_uuid": "a-1",
        "timestamp": stamp,
        "uid": "a-1-final",
        "state": "final",
        "indicator_name": "Exfiltration",
        "indicator_type": "event_count",
        "indicator_category": "exfiltration",
        "severity": "high",
        "data_source": "qumulo, linux",
        "message": summary["message"],
        "occurrence_details": {
            "event_count": 3,
            "distinct_values": 2,
            "condition": "gte 3",
            "window_ms": 60_000,
            "observation_start_time": before.strftime("%Y-%m-%dT%H:%M:%S.") + f"{START % 1000:03}Z",
            "observation_end_time": stamp,
            "group": {"dst_endpoint.hostname": "nas-1", "actor.user.name": "eve"},
        },
    }
    common = {
        name: summary[name]
        for name in (
            *("version", "tenant_id", "entity_type", "entity_id"),
            *("indicator_id", "indicator_uuid", "timestamp"),
        )
    }
    assert details == [
        {
            "event_type": "indicatorEventDetails",
            **common,
            "uid": f"a-1-final-e-{number}",
            "event_id": f"e-{number}",
            "event_number": number,
        }
        for number in (1, 2, 3)
    ]


def test_what_an_alert_shows_of_its_event_is_in_the_details() -> None:
    shown = {"file.path": "/data/a"}
    _, details = records(alert(kind="event", count=1, uids=("e-1",), evidence=(shown,)))
    assert details["event"] == shown


def test_a_superseded_alert_has_a_summary_alone() -> None:
    """It names what stands instead; its details are those of that one."""
    (summary,) = records(alert(state="superseded", superseded_by="a-2"))
    assert (summary["state"], summary["superseded_by"]) == ("superseded", "a-2")


def test_a_storm_has_a_thousand_details_and_the_true_count() -> None:
    uids = tuple(f"e-{number}" for number in range(1_500))
    summary, *details = records(alert(count=1_500, uids=uids))
    assert summary["occurrence_details"]["event_count"] == 1_500
    assert [each["event_id"] for each in details] == list(uids[:1_000])


def test_entities() -> None:
    """A user before an endpoint before a file; an attribute of another object as it is named; the
    tenant where nothing is grouped."""
    for group, expected in (
        ((("file.path", "/a"), ("src_endpoint.ip", "10.0.0.7")), ("endpoint", "10.0.0.7")),
        ((("file.path", "/a"),), ("file", "/a")),
        ((("user.name", "eve"),), ("user", "eve")),
        ((("api.operation", "delete"),), ("api.operation", "delete")),
        ((), ("tenant", "acme")),
    ):
        summary = records(alert(group=group))[0]
        assert (summary["entity_type"], summary["entity_id"]) == expected

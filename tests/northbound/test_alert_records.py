"""Alerts of each format that is JSON are found again by their uid, with the events they name."""

import pytest

from app.alert_records import findings
from topology.northbound.finding import encode
from topology.northbound.findings import Form, encode_findings
from topology.rules import Alert, Rule

EVENTS = tuple(f"MU5FnyvNpc4-2-{number}" for number in range(3))


def records(form: str) -> list[bytes]:
    """Two alerts of an hour, each provisional and final."""
    said = [
        Alert(
            uid=uid,
            tenant="acme",
            rule=Rule("rule", "Mass delete", "high"),
            kind="event_count",
            state=state,
            time=1,
            start=1,
            end=3,
            count=5,
            group=(("actor.user.name", "eve"),),
            uids=EVENTS,
            suppress_ms=1,
        )
        for uid in ("first", "second")
        for state in ("provisional", "final")
    ]
    keys = [each.uid.encode() for each in said]
    values, _ = encode_findings(keys, [encode(each, "1") for each in said], Form(form))
    return list(values)


@pytest.mark.parametrize("form", ["ocsf-json", "indicator-json", "ecs-json"])
def test_an_alert_is_found_in_its_tenants_format(form: str) -> None:
    """Once, in the state asked for, or in all of them; ECS has no names of events."""
    values = records(form)
    (found,) = findings([*values, None, b"no JSON second-final"], "second-final")
    assert found["finding_info"]["title"] == "Mass delete"
    assert found["finding_info"]["uid"] == "second"
    assert found["finding_info"]["related_events_count"] == 5
    assert found["unmapped"]["state"] == "final"
    assert "Mass delete: 5 events of actor.user.name eve" in found["message"]
    linked = [each["uid"] for each in found["finding_info"].get("related_events", ())]
    assert linked == ([] if form == "ecs-json" else list(EVENTS))
    assert findings(values, "third-final") == []
    every = findings(values, "second")
    assert [each["unmapped"]["state"] for each in every] == ["provisional", "final"]


@pytest.mark.parametrize("time", [-(10**17), 10**17, 2**62, 253_402_300_800_000])
@pytest.mark.parametrize(
    "form", ["ocsf-json", "indicator-json", "ecs-json", "cef", "leef", "rfc5424", "avro"]
)
def test_a_time_that_no_calendar_has_stops_nobody(form: str, time: int) -> None:
    """A sender may say any, and the alert is written in every format."""
    alert = Alert("u", "acme", Rule("r", "R", "high"), "event", "final", time, time, time, 1)
    values, keys = encode_findings([b"u"], [encode(alert, "1")], Form(form))
    assert (len(values), list(keys)) == (1, [b"u"])


def test_an_alert_of_two_tenants_has_its_events_once_each() -> None:
    """Both say the same."""
    both = findings([*records("indicator-json"), *records("indicator-json")], "first-final")
    assert [len(each["finding_info"]["related_events"]) for each in both] == [3, 3]

"""What a SIEM that reads CEF, LEEF, syslog or ECS gets is the event, whatever is in it."""

import re
from dataclasses import replace
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import ocsf
from tests.parse.both_paths import one
from tests.topology.deployment import RAW, START, line, plan, steps
from topology.northbound import SERIALIZERS, cef, leef
from topology.parse import FORMATS
from topology.testing import TopologyTestDriver

VALUES = st.text(st.characters(codec="utf-8"), max_size=12)
EVENT: dict[str, Any] = {
    "row": 0,
    "time": 1_769_519_543_955,
    "class_uid": ocsf.FILE_HOSTING,
    "class_name": "File Hosting Activity",
    "activity_name": "Delete",
    "type_uid": 600604,
    "severity_id": 4,
    "status": "Success",
    "status_id": 1,
    "metadata.uid": "AAAAAAAAAAA-0-7",
    "metadata.product.name": "Qumulo Core",
    "metadata.product.vendor_name": "Qumulo",
    "metadata.event_code": "fs_delete",
    "device.hostname": "nas-1",
    "src_endpoint.ip": "10.0.0.7",
    "actor.user.name": "eve",
    "file.path": "/a=b|c\\d",
    "raw_data": 'the line, "quoted"',
}


def encoded(form: str, *events: dict[str, Any], without: frozenset[str] = frozenset()) -> list[str]:
    """Each event in a format, encoded together."""
    frame = pl.DataFrame([{**event, "row": row} for row, event in enumerate(events)])
    values = SERIALIZERS[form](frame, without=without).to_list()
    return [value.decode(errors="surrogateescape") for value in values]


def read_cef(text: str) -> tuple[list[str], dict[str, str]]:
    """Header and extension by the letter of the standard."""
    head = re.match(r"CEF:0((?:\|(?:[^|\\\n]|\\[|\\])*){6})\|", text)
    assert head is not None, text
    header = [
        re.sub(r"\\(.)", r"\1", part)
        for part in re.findall(r"\|((?:[^|\\]|\\.)*)", head[1], re.DOTALL)
    ]
    rest = text[head.end() :]
    starts = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", rest))
    found = {}
    for each, after in zip(starts, [*starts[1:], None], strict=True):
        value = rest[each.end() : after.start() if after else len(rest)]
        found[each[1]] = re.sub(r"\\(.)", _unescaped, value, flags=re.DOTALL)
    return header, found


def _unescaped(found: re.Match[str]) -> str:
    return {"n": "\n", "r": "\r"}.get(found[1], found[1])


def test_cef() -> None:
    """The header says what it is, how bad, and keys are those of the standard."""
    (text,) = encoded("cef", EVENT)
    header, found = read_cef(text)
    assert header == ["Qumulo", "Qumulo Core", "", "fs_delete", "Delete", "8"]
    assert found == {
        "rt": "1769519543955",
        "externalId": "AAAAAAAAAAA-0-7",
        "cat": "File Hosting Activity",
        "act": "Delete",
        "outcome": "Success",
        "src": "10.0.0.7",
        "dvchost": "nas-1",
        "suser": "eve",
        "filePath": "/a=b|c\\d",
        "rawEvent": 'the line, "quoted"',
    }


@pytest.mark.parametrize(
    ("kind", "type_", "told"),
    [("base", "0", None), ("aggregated", "1", None), ("monitoring", "0", "monitoring")],
)
def test_cef_says_what_an_event_is(kind: str, type_: str, told: str | None) -> None:
    """Also where the standard has no number for it."""
    _, found = read_cef(encoded("cef", {**EVENT, ocsf.KIND: kind})[0])
    assert (found["type"], found.get("cs3")) == (type_, told)


@given(VALUES, VALUES)
def test_cef_gives_back_what_went_in(name: str, product: str) -> None:
    """Equals signs, bars, backslashes and line ends in values do not become keys or fields."""
    event = {**EVENT, "actor.user.name": name, "metadata.product.name": product}
    header, found = read_cef(encoded("cef", event)[0])
    assert found["suser"] == name
    assert header[1] == re.sub(r"[\r\n]+", " ", product)
    assert len(found) == 10


@given(VALUES)
def test_leef_stays_one_line_of_attributes(name: str) -> None:
    """What LEEF cannot say becomes a blank; nothing else moves."""
    event = {**EVENT, "actor.user.name": name, "metadata.product.name": f"a|b{name}"}
    (text,) = encoded("leef", event)
    header, _, rest = text.partition("|x09|")
    assert header.count("|") == 4
    assert header.startswith("LEEF:2.0|Qumulo|a/b")
    found = dict(part.split("=", 1) for part in rest.split("\t"))
    assert found["usrName"] == re.sub(r"[\t\r\n]", " ", name)
    assert (found["sev"], found["devTime"], len(found)) == ("8", "1769519543955", 11)


@pytest.mark.parametrize("form", ["cef", "leef"])
@given(VALUES, st.sampled_from(["\\", "|", "\\|", "a\\\\", ""]))
def test_what_is_written_can_be_read(form: str, name: str, end: str) -> None:
    """Our own parser finds the event's own fields in it, whatever stands in the header."""
    event = {**EVENT, "metadata.event_code": f"{name}{end}", "metadata.product.name": end}
    fields = one(FORMATS[form], encoded(form, event)[0])
    assert fields["ext"]["externalId"] == EVENT["metadata.uid"]
    assert fields["ext"]["rawEvent"] == EVENT["raw_data"]
    assert len(fields["ext"]) == (10 if form == "cef" else 11)
    if form == "cef":
        assert fields["signature_id"] == re.sub(r"[\r\n]+", " ", f"{name}{end}")
    else:
        assert fields["event_id"] == re.sub(r"[\t\r\n]", " ", re.sub(r"[|\\]", "/", name + end))


def test_syslog() -> None:
    """A message that an RFC 5424 parser reads, with the whole event in MSG."""
    event = {**EVENT, "device.hostname": "nás 1", "metadata.product.name": "x" * 60}
    (text,) = encoded("rfc5424", event)
    frame = pl.DataFrame(
        {"row": [0], "text": [text], "received": [0]},
        schema={"row": pl.UInt32, "text": pl.String, "received": pl.Int64},
    )
    parsed = FORMATS["rfc5424"].parse(frame, {})
    (fields,) = parsed.fields.to_dicts()
    assert (fields["facility"], fields["severity"]) == (13, 3)
    assert (fields["hostname"], fields["appname"]) == ("n_s_1", "x" * 48)
    assert (fields["procid"], fields["msgid"]) == (None, "fs_delete")
    assert fields["@timestamp"] == "2026-01-27T13:12:23.955Z"
    assert fields["msg"] == encoded("ocsf-json", event)[0]


def test_ecs() -> None:
    """Nested fields of the schema, with what Elastic's rules ask for."""
    (text,) = encoded("ecs-json", EVENT)
    assert orjson.loads(text) == {
        "@timestamp": "2026-01-27T13:12:23.955Z",
        "ecs": {"version": "8.11.0"},
        "event": {
            "action": "Delete",
            "category": ["file"],
            "code": "fs_delete",
            "dataset": "File Hosting Activity",
            "id": "AAAAAAAAAAA-0-7",
            "kind": "event",
            "original": 'the line, "quoted"',
            "outcome": "success",
            "severity": 73,
        },
        "file": {"path": "/a=b|c\\d"},
        "host": {"hostname": "nas-1"},
        "observer": {"product": "Qumulo Core", "vendor": "Qumulo"},
        "source": {"ip": "10.0.0.7"},
        "user": {"name": "eve"},
    }


def test_ecs_has_what_is_known_of_endpoints() -> None:
    """Places and autonomous systems where enrichment found them, and the protocol's own field."""
    place = {"country": "CH", "city": "Zurich", "lat": 47.5, "long": 8.25, "region": "CH-ZH"}
    event = {
        **EVENT,
        **{f"src_endpoint.location.{name}": value for name, value in place.items()},
        "dst_endpoint.autonomous_system.number": 64496,
        "dst_endpoint.autonomous_system.name": "Example",
        "connection_info.protocol_name": "TCP",
    }
    other = {**EVENT, "connection_info.protocol_name": "smb2"}
    found, application = (orjson.loads(text) for text in encoded("ecs-json", event, other))
    assert found["source"] == {
        "ip": "10.0.0.7",
        "geo": {
            "country_iso_code": "CH",
            "city_name": "Zurich",
            "location": {"lat": 47.5, "lon": 8.25},
            "region_iso_code": "CH-ZH",
        },
    }
    assert found["destination"] == {"as": {"number": 64496, "organization": {"name": "Example"}}}
    assert found["network"] == {"transport": "tcp"}
    assert application["network"] == {"protocol": "smb2"}


def test_ecs_has_a_category_for_each_class() -> None:
    """One of those that ECS allows, by which Elastic's rules find events."""
    events = [{**EVENT, "class_uid": each} for each in ocsf.CLASS_NAMES]
    found = [orjson.loads(text)["event"].get("category") for text in encoded("ecs-json", *events)]
    assert dict(zip(ocsf.CLASS_NAMES, found, strict=True)) == {
        ocsf.BASE_EVENT: None,
        ocsf.FILE_SYSTEM: ["file"],
        ocsf.PROCESS: ["process"],
        ocsf.ACCOUNT_CHANGE: ["iam"],
        ocsf.AUTHENTICATION: ["authentication"],
        ocsf.AUTHORIZE_SESSION: ["session"],
        ocsf.GROUP_MANAGEMENT: ["iam"],
        ocsf.NETWORK: ["network"],
        ocsf.HTTP: ["web"],
        ocsf.API_ACTIVITY: ["api"],
        ocsf.FILE_HOSTING: ["file"],
    }


@pytest.mark.parametrize("form", list(SERIALIZERS))
def test_each_event_is_encoded_as_it_is_alone(form: str) -> None:
    """Absent attributes of one are not those of its neighbours; the line can be left out."""
    bare = {name: EVENT[name] for name in ("time", "class_uid", "metadata.uid")}
    odd = {**EVENT, "severity_id": 99, "file.path": None, "status_id": 99}
    together = encoded(form, EVENT, bare, odd, without=frozenset({"raw_data"}))
    assert together == [
        encoded(form, event, without=frozenset({"raw_data"}))[0] for event in (EVENT, bare, odd)
    ]
    assert not any("the line" in text for text in together)
    assert form == "avro" or not any("\n" in text for text in together)


@pytest.mark.parametrize("form", list(SERIALIZERS))
def test_a_tenant_gets_events_and_alerts_in_its_format(form: str) -> None:
    """From audit lines to the alert: one format on both topics, nothing in dead letters."""
    chosen = plan()
    tenants = {"acme": replace(chosen.tenants["acme"], format=form)}
    run = TopologyTestDriver(steps(replace(chosen, tenants=tenants)))
    for number in range(120):
        run.pipe(RAW, line(START + number * 10, "eve"), timestamp=START + number * 10)
    run.run()
    run.advance_wall_clock(START + 7_200_000)
    run.run()
    assert not run.read("dead-letters")
    events = [record.value or b"" for record in run.read("northbound.acme.events")]
    alerts = [record.value or b"" for record in run.read("northbound.acme.alerts")]
    assert len(events) == 120
    marks = {"cef": b"CEF:0|", "leef": b"LEEF:2.0|", "rfc5424": b"<", "avro": b"\xc3\x01"}
    begins = marks.get(form, b"{")
    assert all(value.startswith(begins) for value in (*events, *alerts))
    assert any(b"Mass delete by one user" in value for value in alerts)
    assert any(b"final" in value for value in alerts)


def test_each_key_is_used_once() -> None:
    """Two attributes under one key would hide each other."""
    for keys in (cef.KEYS, leef.KEYS):
        assert len(set(keys.values())) == len(keys)

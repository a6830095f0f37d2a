"""Values that senders can choose, through the whole topology: none of them changes the form of an
event, or costs a tenant one."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from app.normalizer_files import load_normalizer
from schemas.codec import decode as read_avro
from tests.topology.deployment import NORMALIZED, RAW, SOURCE, START, plan, steps
from topology.plan import SourcePlan, TenantPlan
from topology.testing import TopologyTestDriver
from topology.uid import REPLAY

NORMALIZERS = Path(__file__).parents[2] / "normalizers"
FORMS = ("ocsf-json", "ecs-json", "cef", "leef", "rfc5424", "avro")
ODD = '","severity_id":6,"odd":"\\x\t\1'
PLACEMENTS = pytest.mark.parametrize(
    "expose", [frozenset(), frozenset({"normalized"})], ids=["fused", "cut"]
)


def _run(source: SourcePlan, expose: frozenset[str], *lines: bytes) -> TopologyTestDriver:
    tenants = {
        form.replace("-", ""): TenantPlan(form.replace("-", ""), frozenset({"q"}), format=form)
        for form in FORMS
    }
    chosen = replace(plan(expose=expose, source=source), tenants=tenants)
    run = TopologyTestDriver(steps(chosen), partitions={RAW: 1, NORMALIZED: 1})
    for line in lines:
        run.pipe(RAW, line, timestamp=START)
    run.run()
    letters = [read_avro(each.value or b"")[1] for each in run.read("dead-letters")]
    assert [(letter["stage"], letter["reason"]) for letter in letters] == []
    for tenant in tenants:
        assert len(run.read(f"northbound.{tenant}.events")) == len(lines), tenant
    return run


def _shipped(name: str) -> SourcePlan:
    loaded = load_normalizer(NORMALIZERS / f"{name}.yaml", "UTC")
    current = SimpleNamespace(current=loaded.normalizer)
    return replace(SOURCE, format=loaded.format, options=dict(loaded.options), normalizer=current)


@PLACEMENTS
def test_a_time_that_is_none_begins_no_member_of_the_event(expose: frozenset[str]):
    """Where a format or a normalizer keeps what the source wrote for a time."""
    text = orjson.dumps(ODD).decode()
    panos = (NORMALIZERS / "tests/pan-os/logs.log").read_text(encoding="utf-8").splitlines()[0]
    assert "2026/01/27 14:12:22" in panos
    lines = {
        "windows": f'{{"EventID":1,"Channel":"x","EventTime":{text}}}',
        "qumulo-cloudwatch": f'{{"timestamp":{text},"message":{{"operation":"fs_open"}}}}',
        "pan-os": panos.replace("2026/01/27 14:12:22", f'"{ODD.replace(chr(34), chr(34) * 2)}"'),
    }
    for name, line in lines.items():
        source = _shipped(name) if name == "pan-os" else replace(SOURCE, format=name)
        run = _run(source, expose, line.encode())
        (record,) = run.read("northbound.ocsfjson.events")
        event = orjson.loads(record.value or b"")
        assert event["metadata"]["original_time"] == ODD
        assert "odd" not in event
        (record,) = run.read("northbound.ecsjson.events")
        assert orjson.loads(record.value or b"")["event"]["id"] == "AAAAAAAAAAA-0-0"


@PLACEMENTS
def test_a_time_out_of_the_calendar_costs_no_tenant_an_event(expose: frozenset[str]):
    """Formats of dates write the last moment that they know, or the first."""
    cef = "CEF:0|v|p|1|7|n|3|src=10.0.0.1 end="
    run = _run(_shipped("generic-cef"), expose, *[f"{cef}{'9' * n}".encode() for n in (10, 17, 40)])
    events = [orjson.loads(each.value or b"") for each in run.read("northbound.ocsfjson.events")]
    assert [event["time"] for event in events] == [9_999_999_999_000, START, START]
    lines = [
        f"<34>1 {stamp} h a - - - m".encode()
        for stamp in ("9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59")
    ]
    run = _run(replace(SOURCE, format="rfc5424"), expose, *lines)
    events = [orjson.loads(each.value or b"") for each in run.read("northbound.ecsjson.events")]
    assert [event["@timestamp"] for event in events] == [
        "9999-12-31T23:59:59.999Z",
        "0001-01-01T00:00:00.000Z",
    ]


def test_a_key_that_is_no_uid_is_none():
    """Who writes into a raw topic cannot choose what is written of the event."""
    run = TopologyTestDriver(
        steps(plan(source=replace(SOURCE, format="plain"))), partitions={RAW: 1}
    )
    for uid in (b"", b'x","a":"', b"\xff", b"a-0-1-2"):
        run.pipe(RAW, b"line", timestamp=START, key=REPLAY + uid)
    run.run()
    events = [orjson.loads(each.value or b"") for each in run.read("northbound.acme.events")]
    stem = "AAAAAAAAAAA-0"
    assert [event["metadata"]["uid"] for event in events] == [
        *(f"{stem}-{number}" for number in range(3)),
        "a-0-1-2",
    ]

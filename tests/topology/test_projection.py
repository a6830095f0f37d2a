"""Projections: what is chosen is there, what is not is not, and what is left is valid OCSF."""

import json
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import jsonschema
import polars as pl
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from app.normalizer_files import load_normalizer
from app.normalizer_tests import cases
from app.rule_streams import START_MS
from schemas import ocsf
from tests.topology.deployment import RAW, START, line, plan, steps
from topology.formats import decode
from topology.northbound import SERIALIZERS
from topology.plan import TenantPlan
from topology.projection import Projection, always
from topology.testing import TopologyTestDriver

ROOT = Path(__file__).parents[2]
NORMALIZERS = sorted((ROOT / "normalizers").glob("*.yaml"))


@cache
def frames() -> list[pl.DataFrame]:
    """Events of the golden cases of Qumulo and of every normalizer that is shipped."""
    return list(_frames())


def _frames() -> Iterator[pl.DataFrame]:
    found: list[tuple[str, Any, Any, Path]] = [
        ("qumulo", {}, None, path)
        for path in sorted((ROOT / "tests" / "golden" / "qumulo").glob("*.log"))
    ]
    for file in NORMALIZERS:
        loaded = load_normalizer(file, "UTC")
        found += [(loaded.format, loaded.options, loaded.normalizer, case) for case in cases(file)]
    for form, options, normalizer, path in found:
        lines = path.read_bytes().splitlines()
        raw = pl.DataFrame(
            {"row": range(len(lines)), "raw": lines, "received": [START_MS] * len(lines)},
            schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
        )
        events = decode(form, raw, options, normalizer).events
        if events.height:
            yield events.with_columns(pl.col("time").fill_null(START_MS))


@cache
def validator(class_uid: int, profiles: tuple[str, ...]) -> Any:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    name = schema.lookup_class_name_from_uid(class_uid)
    return jsonschema.Draft202012Validator(schema.get_class_schema(name, list(profiles)))


def projected(projection: Projection) -> Iterator[dict[str, Any]]:
    for events in frames():
        without = projection.without(events.columns)
        for text in SERIALIZERS["ocsf-json"](events, without=without).to_list():
            yield json.loads(text)


@pytest.mark.parametrize(
    ("patterns", "keep"),
    [
        (["time"], True),
        (["file.path", "actor.user.domain", "connection_info.protocol_name"], True),
        (["actor.process.file.path", "process.parent_process.cmd_line"], True),
        (["actor", "unmapped.*", "device.os"], True),
        (["resources", "file_result.path", "metadata.*"], True),
        (["actor.*", "file.*", "src_endpoint.*", "user.*", "device.*", "process.*"], False),
        (["metadata.*", "raw_data", "unmapped", "service.*", "api.*"], False),
        (["connection_info.direction_id", "dst_endpoint.*", "http_request.url.*"], False),
    ],
)
def test_what_is_left_is_valid(patterns: list[str], keep: bool) -> None:
    """Of Qumulo, and of every normalizer that is shipped."""
    seen = 0
    for event in projected(Projection(tuple(patterns), keep)):
        profiles = tuple(event["metadata"].get("profiles", []))
        faults = list(validator(event["class_uid"], profiles).iter_errors(event))
        assert [f"{fault.json_path}: {fault.message}" for fault in faults] == [], event
        seen += 1
    assert seen > 100


def test_what_is_chosen_is_there_and_nothing_else() -> None:
    """Whole objects, single attributes, and elements of arrays; identifying ones beside them."""
    columns = [
        "row",
        "@user",
        "time",
        "class_uid",
        "raw_data",
        "actor.user.name",
        "actor.user.domain",
        "file.path",
        "file.name",
        "file_result.path",
        "file_result.name",
        "enrichments[asset]:json",
        "unmapped.fields:json",
        "unmapped.note",
    ]
    keep = Projection(("file_result.path", "enrichments"), keep=True)
    assert set(columns) - keep.without(columns) == {
        "row",
        "@user",
        "time",
        "class_uid",
        "actor.user.name",
        "file.name",
        "file_result.path",
        "file_result.name",
        "enrichments[asset]:json",
    }
    leave = Projection(("actor.user.*", "raw_data", "unmapped.fields"), keep=False)
    assert leave.without(columns) == {"actor.user.domain", "raw_data", "unmapped.fields:json"}
    assert Projection(("fil",), keep=False).without(columns) == frozenset()


@pytest.mark.parametrize("form", ["cef", "leef", "rfc5424", "ecs-json"])
def test_no_format_tells_elsewhere_what_is_left_out(form: str) -> None:
    """Neither a header, nor what is made of numbers, has an attribute that the tenant's events are
    without; with it, they have."""
    chosen = {
        "metadata.event_code": "told-code",
        "metadata.product.vendor_name": "told-vendor",
        "metadata.product.version": "told-version",
        "activity_name": "told-activity",
        "class_name": "told-class",
        ocsf.KIND: "aggregated",
        "status_id": 2,
    }
    kept = {
        "time": START_MS,
        "class_uid": 1001,
        "type_uid": 100101,
        "severity_id": 1,
        "metadata.uid": "u",
        "metadata.product.name": "Product",
    }
    events = pl.DataFrame([{**kept, **chosen}])
    told = ("told", "aggregated", "failure", " type=1")
    encode = SERIALIZERS[form]
    (whole,) = encode(events).to_list()
    assert sum(each.encode() in whole for each in told) >= 1
    without = Projection(("file.path",), keep=True).without(events.columns)
    (text,) = encode(events, without=without).to_list()
    assert [each for each in told if each.encode() in text] == []
    assert b"Product" in text


def test_equal_choices_are_equal() -> None:
    """So that tenants who made them share an encoding, whatever each has been asked before."""
    one, other = (Projection(("raw_data",), keep=False) for _ in range(2))
    one.without(["raw_data"])
    assert one == other
    assert hash(one) == hash(other)
    assert one != Projection(("raw_data",), keep=True)
    assert always("actor.user.name")
    assert not always("actor.user.domain")


def test_tenants_of_one_source_choose_each_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three choices, three encodings for five tenants; alerts are those of a tenant with all."""
    encoded: list[frozenset[str]] = []
    encode = SERIALIZERS["ocsf-json"]

    def counted(events: pl.DataFrame, *, without: frozenset[str]) -> pl.Series:
        encoded.append(without)
        return encode(events, without=without)

    monkeypatch.setitem(cast("dict[str, Any]", SERIALIZERS), "ocsf-json", counted)
    fields = {
        "all": None,
        "too": None,
        "some": Projection(("file.path",), keep=True),
        "same": Projection(("file.path",), keep=True),
        "few": Projection(("file.*", "raw_data"), keep=False),
    }
    tenants = {
        name: TenantPlan(name, frozenset({"q"}), fields=chosen) for name, chosen in fields.items()
    }
    chosen = replace(plan(), tenants=tenants)
    driver = TopologyTestDriver(steps(chosen), partitions={RAW: 1, "matches": 1})
    for number in range(120):
        text = line(START + number, "eve", path=f"/data/{number}.readme")
        driver.pipe(RAW, text, timestamp=START + number)
    driver.advance_wall_clock(START + 3_600_000)
    driver.run()
    assert len(encoded) == len(set(encoded)) == 3
    events = {name: driver.read(chosen.names.events(name)) for name in tenants}
    assert {name: len(found) for name, found in events.items()} == dict.fromkeys(tenants, 120)
    assert events["same"] == events["some"]
    assert events["too"] == events["all"]
    assert json.loads(events["some"][7].value or b"")["file"]["path"] == "/data/7.readme"
    assert "raw_data" not in json.loads(events["some"][7].value or b"")
    assert "path" not in json.loads(events["few"][7].value or b"")["file"]
    alerts = {
        name: [
            (alert["count"], alert["unmapped"]["group"], alert["finding_info"]["title"])
            for each in driver.read(chosen.names.alerts(name))
            if (alert := json.loads(each.value or b""))
        ]
        for name in tenants
    }
    assert alerts["all"]
    assert all(found == alerts["all"] for found in alerts.values())

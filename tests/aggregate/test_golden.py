"""A golden pair: lines, and the events that a tenant receives of them where reads are aggregated.

NORTHBOUND_REGENERATE=1 rewrites the expectation; look at the difference before committing it.
"""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from schemas import ocsf
from tests.topology.deployment import RAW, SOURCE, driver
from topology.aggregate.aggregation import Aggregation
from topology.aggregations import Aggregations
from topology.filters import Filter, Filters

CASE = Path(__file__).parents[1] / "golden" / "aggregated" / "reads.log"
RECEIVED = 1_769_523_200_000
READS = {"it": {"metadata.event_code": "fs_read_data"}}
ENTRY = Aggregation(
    "reads",
    by=("actor.user.name", "src_endpoint.ip", "file.path"),
    window_ms=60_000,
    keep=("actor", "file", "dst_endpoint"),
    limit=5,
    when=0,
)


def _events() -> list[bytes]:
    aggregations = Aggregations((ENTRY,), Filters([Filter("reads", keep=False, detection=READS)]))
    run = driver(source=replace(SOURCE, aggregations=aggregations))
    for line in CASE.read_bytes().splitlines():
        run.pipe(RAW, line, timestamp=RECEIVED)
    run.run()
    run.advance_wall_clock(RECEIVED + 3_600_000)
    run.run()
    return [record.value or b"" for record in run.read("northbound.acme.events")]


def test_golden() -> None:
    """The lines give exactly the expected events, byte by byte."""
    expected = CASE.with_suffix(".expected.json")
    seen = b"".join(event + b"\n" for event in _events())
    if os.environ.get("NORTHBOUND_REGENERATE"):
        expected.write_bytes(seen)
    assert expected.read_bytes() == seen


def test_golden_events_are_valid_ocsf() -> None:
    """Base and aggregated events validate against the published schema of their class."""
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    kinds = set()
    for text in _events():
        event: dict[str, Any] = json.loads(text)
        kinds.add(event["unmapped"]["northbound_kind"])
        name = schema.lookup_class_name_from_uid(event["class_uid"])
        validator = jsonschema.Draft202012Validator(schema.get_class_schema(name, []))
        faults = [f"{each.json_path}: {each.message}" for each in validator.iter_errors(event)]
        assert faults == [], event
    assert kinds == {"base", "aggregated"}

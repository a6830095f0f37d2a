"""Every kind of enrichment through the whole topology: valid OCSF, and rules that see it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from app.config import load
from app.planning import build_plan
from schemas import ocsf
from tests.topology.deployment import NORMALIZED, RAW, START, line, plan, steps
from topology.match.compile import compile_rules
from topology.testing import TopologyTestDriver

CONFIG = """\
version: 1
kafka: {embedded: {}}
sources: {q: {format: qumulo}}
enrich:
  - {geoip: city.mmdb, field: src_endpoint.ip}
  - {geoip: asn.mmdb, field: src_endpoint.ip}
  - {constant: west, to: unmapped.region}
  - {template: "{unmapped.region}:{file.path}", to: unmapped.place}
  - dictionary: assets.csv
    key: ip
    match: network
    fields: [src_endpoint.ip, dst_endpoint.ip]
    as: asset
  - {dictionary: regions.csv, key: region, field: unmapped.region, as: region}
  - {threats: threats.csv, as: threat}
"""
RULE = """\
title: Listed file on a server of ours
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c11
logsource: {product: qumulo, service: audit}
detection:
  listed: {"@enrich.threat.kind": file}
  server: {"@enrich.asset.priority|gte": 5, "@enrich.region.team": blue}
  condition: listed and server
level: high
---
title: Listed files of one user
correlation:
  type: event_count
  rules: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c11
  group-by: actor.user.name
  timespan: 1m
  condition: {gte: 1}
  generate: true
level: low
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The tables and northbound.yaml."""
    records: dict[str, dict[str, Any]] = {
        "city.mmdb": {
            "city": {"names": {"en": "Zurich"}},
            "country": {"iso_code": "CH"},
            "location": {"latitude": 47.5, "longitude": 8.25},
        },
        "asn.mmdb": {
            "autonomous_system_number": 64496,
            "autonomous_system_organization": "Example",
        },
    }
    for name, record in records.items():
        writer = MMDBWriter(4, "Test", languages=["en"])
        writer.insert_network(IPSet(["10.0.0.0/8"]), record)
        writer.to_db_file(str(tmp_path / name))
    for name, text in {
        "assets.csv": "ip,category,priority\n10.0.0.0/8,office,2\n10.0.0.0/24,servers,9\n",
        "regions.csv": "region,team\nwest,blue\n",
        "threats.csv": "indicator,type,campaign\nDropper.exe,file,mud\n",
        "northbound.yaml": CONFIG,
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("expose", [frozenset(), frozenset({"normalized"})], ids=["fused", "split"])
def test_enriched_events_are_valid_and_rules_see_what_is_known(
    folder: Path, expose: frozenset[str]
) -> None:
    """Later enrichments see what earlier ones added, in either placement."""
    enrichers = build_plan(load(folder / "northbound.yaml"), {}).enrichers
    chosen = replace(
        plan(expose=expose), enrichers=enrichers, rules=compile_rules([("rule.yml", RULE)])
    )
    driver = TopologyTestDriver(steps(chosen), partitions={RAW: 1, NORMALIZED: 1, "matches": 1})
    for number, path in enumerate(("/data/a.txt", "/data/dropper.EXE")):
        time = START + number
        driver.pipe(RAW, line(time, "eve", path=path), timestamp=time)
    driver.run()
    events = [json.loads(each.value or b"") for each in driver.read("northbound.acme.events")]
    assert not driver.read("dead-letters")
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    for event in events:
        name = schema.lookup_class_name_from_uid(event["class_uid"])
        profiles = event["metadata"].get("profiles", [])
        validator = jsonschema.Draft202012Validator(schema.get_class_schema(name, profiles))
        assert [fault.message for fault in validator.iter_errors(event)] == []
        assert event["src_endpoint"]["location"]["city"] == "Zurich"
        assert event["src_endpoint"]["autonomous_system"]["number"] == 64496
    kinds = [[each["type"] for each in event["enrichments"]] for event in events]
    common = ["asset", "autonomous_system", "region"]
    assert kinds == [common, [*common, "threat"]]
    assert events[0]["unmapped"]["place"] == "west:/data/a.txt"
    alerts = [json.loads(each.value or b"") for each in driver.read("northbound.acme.alerts")]
    assert {alert["finding_info"]["title"] for alert in alerts} == {
        "Listed file on a server of ours",
        "Listed files of one user",
    }
    # The address is of the servers, which have priority 9 of 10.
    assert sorted((alert["unmapped"]["rule"]["level"], alert["severity"]) for alert in alerts) == [
        ("high", "Critical"),
        ("low", "Critical"),
    ]
    uid = events[1]["metadata"]["uid"]
    assert all(alert["finding_info"]["related_events"] == [{"uid": uid}] for alert in alerts)

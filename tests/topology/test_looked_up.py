"""Answers of live look-ups through the whole topology: what depends on them, and what does not."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jsonschema
import polars as pl
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from schemas import ocsf
from tests.topology.deployment import NORMALIZED, RAW, START, line, plan, steps
from topology.enrich.looked_up import Known, LookedUp
from topology.match.compile import compile_rules
from topology.testing import TopologyTestDriver

RULE = """\
title: Somebody at a guest machine
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c12
logsource: {product: qumulo, service: audit}
detection:
  guest: {"@enrich.dns_reverse.hostname|endswith": .guests.example}
  filled: {src_endpoint.hostname|startswith: pc-7.}
  condition: guest and filled
level: high
"""
KNOWN = {"10.0.0.7": Known({"hostname": "pc-7.guests.example"}, "dns 10.0.0.53:53@2026-11-27")}


class Fixed:
    """Answers that do not change."""

    def __init__(self, known: Mapping[str, Known]) -> None:
        self._known = known
        self.asked: list[list[str | None]] = []

    def lookup(self, values: Sequence[str | None]) -> list[Known | None]:
        self.asked.append(list(values))
        return [None if value is None else self._known.get(value) for value in values]


def outcome(known: Mapping[str, Known], expose: frozenset[str]) -> dict[str, list[dict[str, Any]]]:
    """Events and alerts of acme, from the same lines."""
    enricher = LookedUp(
        "dns_reverse", ["src_endpoint.ip"], ["hostname"], Fixed(known), {"hostname": "hostname"}
    )
    chosen = replace(
        plan(expose=expose), enrichers=(enricher,), rules=compile_rules([("rule.yml", RULE)])
    )
    driver = TopologyTestDriver(
        steps(chosen), partitions={RAW: 1, NORMALIZED: 1, "matches": 1}, max_batch=3
    )
    for number in range(10):
        driver.pipe(RAW, line(START + number, f"user{number}"), timestamp=START + number)
    driver.pipe(RAW, b"no audit line", timestamp=START + 10)
    driver.run()
    topics = {"events": "northbound.acme.events", "alerts": "northbound.acme.alerts"}
    return {
        name: [json.loads(each.value or b"") for each in driver.read(topic)]
        for name, topic in topics.items()
    } | {"dead": [{"value": each.value} for each in driver.read("dead-letters")]}


@pytest.mark.parametrize("expose", [frozenset(), frozenset({"normalized"})], ids=["fused", "split"])
def test_answers_change_what_events_say_and_not_which_there_are(expose: frozenset[str]) -> None:
    """Uids, dead letters and everything the source said are equal with and without answers; the
    events are valid OCSF, and a rule that asks for an answer finds it."""
    with_answers, without = outcome(KNOWN, expose), outcome({}, expose)
    assert with_answers["dead"] == without["dead"]
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    assert len(without["events"]) == 10
    for event, plain in zip(with_answers["events"], without["events"], strict=True):
        name = schema.lookup_class_name_from_uid(event["class_uid"])
        profiles = event["metadata"].get("profiles", [])
        validator = jsonschema.Draft202012Validator(schema.get_class_schema(name, profiles))
        assert [fault.message for fault in validator.iter_errors(event)] == []
        assert event["src_endpoint"].pop("hostname") == "pc-7.guests.example"
        (element,) = event.pop("enrichments")
        assert element == {
            "name": "src_endpoint.ip",
            "value": "10.0.0.7",
            "type": "dns_reverse",
            "provider": KNOWN["10.0.0.7"].provider,
            "data": {"hostname": "pc-7.guests.example"},
        }
        assert event == plain
    assert with_answers["alerts"]
    assert not without["alerts"]


def test_all_attributes_of_a_batch_are_asked_for_at_once() -> None:
    """Each distinct value once, so that a batch is held once, whatever the number of attributes."""
    answers = Fixed(KNOWN)
    fields = ["src_endpoint.ip", "dst_endpoint.ip", "absent.ip", "number.ip"]
    events = pl.DataFrame(
        {
            "src_endpoint.ip": ["10.0.0.7", "10.0.0.8", "10.0.0.7"],
            "dst_endpoint.ip": ["10.0.0.9", "10.0.0.7", "10.0.0.7"],
            "number.ip": [1, 2, 3],
        }
    )
    enriched = LookedUp("dns", fields, ["hostname"], answers).apply(events)
    assert [sorted(filter(None, each)) for each in answers.asked] == [
        ["10.0.0.7", "10.0.0.8", "10.0.0.9"]
    ]
    assert enriched["@enrich.dns.hostname"].null_count() == 0
    assert enriched["enrichments[dns.src_endpoint.ip]:json"].null_count() == 1

"""Masked attributes: nothing of them is in any byte that the tenant reads, and others read all."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from app.config import load
from app.planning import build_plan
from schemas import ocsf
from tests.topology.deployment import NORMALIZED, RAW, START, plan, steps
from tests.topology.deployment import RULES as RULES_FOLDER
from topology.mask import OURS
from topology.match.compile import compile_rules
from topology.match.fieldmap import read_field_map
from topology.northbound import SERIALIZERS
from topology.plan import Plan
from topology.testing import Record, TopologyTestDriver

GOLDEN = Path(__file__).parents[1] / "golden" / "qumulo"
CONFIG = """\
version: 1
kafka: {{embedded: {{}}}}
sources: {{q: {{format: qumulo}}}}
enrich:
  - {{dictionary: people.csv, key: user, field: actor.user.name, as: person}}
  - {{threats: threats.csv, as: threat}}
  - {{template: "{{actor.user.name}} at {{file.path}}", to: status_detail}}
aggregate:
  - name: many
    select: {{metadata.event_code: fs_delete}}
    by: ["@user", file.parent_folder]
    window: 1m
    alert: {{at: 3, title: Many deletions}}
tenants:
  clear: {{sources: [q], format: {format}}}
  hashed:
    sources: [q]
    format: {format}
    key: user
    mask: {{actor.user.name: hash, file.path: hash}}
  other:
    sources: [q]
    format: {format}
    key: user
    mask: {{actor.user.name: hash, file.path: hash}}
  dropped: {{sources: [q], format: {format}, mask: {{actor.user.name: drop, file.*: drop}}}}
  users: {{sources: [q], format: {format}, mask: {{actor.user.*: hash}}}}
"""
RULES = [
    (
        "rules.yml",
        """\
title: Deletion
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c14
name: deletion
logsource: {product: qumulo, service: audit}
detection: {deleted: {operation: [fs_delete, fs_rename]}, condition: deleted}
fields: [user, path, target_path]
level: low
---
title: Many by one user in one folder
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c15
correlation:
  type: event_count
  rules: [deletion]
  group-by: [user, folder]
  timespan: 1m
  condition: {gte: 3}
  generate: true
level: medium
---
title: Many paths of one user
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c16
correlation:
  type: value_count
  rules: [deletion]
  group-by: [user]
  timespan: 1m
  condition: {gte: 2, field: path}
  generate: true
level: medium
""",
    )
]
FIELDMAP = (RULES_FOLDER / "fieldmap.yml").read_text(encoding="utf-8")
USERS = ("alicia", "AD\\\\bobson", "ann", "günter", 'q\\"uote')
PATHS = (
    "/data/secretplans/merger_draft.docx",
    "/home/ann/thesis.txt",
    "/home/alicia/bobson.txt",
    "/Alicia_backup/x.txt",
    "\\\\\\\\host\\\\secretplans\\\\share.bin",
)
CLEAR = ("alicia", "bobson", "günter", "secretplans", "merger_draft", "thesis", "Storm Person")
SHORT = re.compile(rb"(?<![\w-])(ann|uote)(?![\w-])", re.IGNORECASE)
"""As words, since uids of alerts are 22 letters and digits that chance chooses."""
MASKED = ("hashed", "other", "dropped")


def lines() -> Iterator[bytes]:
    """Lines with users and paths of every kind, in each other's places too."""
    number = 0
    for _ in range(3):
        for user in USERS:
            for path in PATHS:
                operation = ("fs_delete", "fs_rename", "smb_login", "tree_delete_start")[
                    number % 25 % 4
                ]
                target = f"/other{path}" if operation == "fs_rename" else ""
                yield (
                    (
                        f"<14>1 2026-09-21T14:13:{number % 60:02}.000Z nas-1 qumulo - - - 10.0.0.7,"
                        f'"{user}",smb2,{operation},ok,7,"{path}","{target}"'
                    )
                    .replace('\\"', '""')
                    .replace("\\\\", "\\")
                    .encode()
                )
                number += 1


def planned(folder: Path, form: str, expose: frozenset[str]) -> Plan:
    for name, text in {
        "people.csv": "user,display\nalicia,Storm Person\nann,Storm Person\n",
        "threats.csv": "indicator,type,campaign\nthesis.txt,file,mud\n",
        "northbound.yaml": CONFIG.format(format=form),
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    configured = build_plan(load(folder / "northbound.yaml"), {}, make_key=True)
    return replace(
        plan(expose=expose),
        tenants=configured.tenants,
        enrichers=configured.enrichers,
        aggregates=configured.aggregates,
        rules=compile_rules(RULES, [read_field_map("fieldmap.yml", FIELDMAP)]),
    )


def outcome(chosen: Plan, sent: list[bytes], max_batch: int = 40) -> TopologyTestDriver:
    driver = TopologyTestDriver(
        steps(chosen), partitions={RAW: 1, NORMALIZED: 1, "matches": 1}, max_batch=max_batch
    )
    for number, text in enumerate(sent):
        driver.pipe(RAW, text, timestamp=START + number)
    driver.advance_wall_clock(START + 100 * 24 * 3_600_000)
    driver.run()
    return driver


def written(records: list[Record]) -> list[bytes]:
    return [(record.key or b"") + b"\n" + (record.value or b"") for record in records]


@pytest.mark.parametrize("form", SERIALIZERS)
@pytest.mark.parametrize("expose", [frozenset(), frozenset({"normalized"})], ids=["fused", "split"])
def test_nothing_masked_is_in_any_byte(tmp_path: Path, form: str, expose: frozenset[str]) -> None:
    """Keys and values of events and alerts, in every format; the tenant beside it has all, byte for
    byte as without masked tenants; and nobody has an event or alert less."""
    chosen = planned(tmp_path, form, expose)
    sent = list(lines())
    driver = outcome(chosen, sent)
    names = chosen.names
    assert not driver.read("dead-letters")
    alone = outcome(replace(chosen, tenants={"clear": chosen.tenants["clear"]}), sent)
    for topic in (names.events("clear"), names.alerts("clear")):
        assert written(alone.read(topic)) == written(driver.read(topic))
    everything = b"".join(written(driver.read(names.events("clear")))).decode(errors="replace")
    everything = everything.lower()
    assert all(text.lower() in everything for text in CLEAR[:-1])
    for topic in (names.events, names.alerts):
        for tenant in MASKED:
            records = driver.read(topic(tenant))
            assert len(records) == len(driver.read(topic("clear"))) > 0
            for record in written(records):
                told = record.decode(errors="replace").lower()
                found = [text for text in CLEAR if text.lower() in told]
                assert not found, (tenant, found, record)
                assert not SHORT.search(record), (tenant, record)


def by_uid(driver: TopologyTestDriver, topic: str) -> dict[str, dict[str, Any]]:
    events = [json.loads(record.value or b"") for record in driver.read(topic)]
    return {event["metadata"]["uid"]: event for event in events}


def test_hashes_join_within_a_tenant_and_nowhere_else(tmp_path: Path) -> None:
    """A user has one hash in events and alerts, as actor, as target and as key; another user, and
    the same one in another tenant, have others; each is 16 hexadecimal digits."""
    chosen = planned(tmp_path, "ocsf-json", frozenset())
    driver = outcome(chosen, list(lines()))
    clear = by_uid(driver, "northbound.clear.events")
    hashes: dict[str, dict[str, set[str]]] = {}
    for tenant in ("hashed", "other"):
        events = by_uid(driver, f"northbound.{tenant}.events")
        assert events.keys() == clear.keys()
        found = hashes.setdefault(tenant, {})
        for uid, event in events.items():
            name = clear[uid]["actor"]["user"]["name"]
            found.setdefault(name, set()).add(event["actor"]["user"]["name"])
            if "name" in clear[uid].get("user", {}):
                assert event["user"]["name"] == event["actor"]["user"]["name"]
            if "file" in clear[uid]:
                assert event["file"].keys() == clear[uid]["file"].keys()
        keys = {record.key for record in driver.read(f"northbound.{tenant}.events")}
        assert keys == {
            (b"AD\\" if name == "bobson" else b"") + next(iter(hashed)).encode()
            for name, hashed in found.items()
        }
        alerts = by_uid(driver, f"northbound.{tenant}.alerts").values()
        shown = [(each["unmapped"].get("group", {}), each.get("evidences", [])) for each in alerts]
        users = [group.get("user", group.get("@user")) for group, _ in shown]
        users += [each["data"]["user"] for _, evidence in shown for each in evidence]
        assert {kind for each in alerts for kind in each["finding_info"]["types"]} == {
            "event",
            "event_count",
            "value_count",
            "tumbling",
        }
        known = {next(iter(each)) for each in found.values()}
        assert {user.rpartition("\\")[2] for user in users if user} <= known
    assert all(len(each) == 1 for found in hashes.values() for each in found.values())
    every = [next(iter(each)) for found in hashes.values() for each in found.values()]
    assert len(set(every)) == len(every) == 2 * len(USERS)
    assert all(len(bytes.fromhex(text)) == 8 for text in every)


def leaves(value: Any, at: str = "") -> Iterator[str]:
    """Texts of an event, but for the words of OCSF's and Northbound's own."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for member in value:
            yield from leaves(member, at)
    elif isinstance(value, str) and at not in OURS:
        yield value


def test_masked_events_are_valid(tmp_path: Path) -> None:
    """Every line of the golden cases, hashed or dropped, is an event that OCSF's schema takes, and
    none tells what the unmasked event of the same uid has in a masked attribute."""
    chosen = planned(tmp_path, "ocsf-json", frozenset())
    sent = list(lines())
    for file in sorted(GOLDEN.glob("*.log")):
        sent += file.read_bytes().splitlines()
    driver = outcome(chosen, sent, max_batch=1_000)
    clear = by_uid(driver, "northbound.clear.events")
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    validators: dict[int, Any] = {}
    for tenant in (*MASKED, "users"):
        events = by_uid(driver, f"northbound.{tenant}.events")
        assert events.keys() == clear.keys()
        for uid, event in events.items():
            uid_of_class = event["class_uid"]
            if uid_of_class not in validators:
                name = schema.lookup_class_name_from_uid(uid_of_class)
                validators[uid_of_class] = jsonschema.Draft202012Validator(
                    schema.get_class_schema(name, [])
                )
            faults = [fault.message for fault in validators[uid_of_class].iter_errors(event)]
            assert faults == [], (tenant, event)
            if tenant != "clear":
                told = "\n".join(leaves(event)).lower()
                masked = [clear[uid].get("actor", {}).get("user", {}).get("name", "")]
                if tenant != "users":
                    file = clear[uid].get("file", {})
                    masked += [file.get(part, "") for part in ("path", "name", "parent_folder")]
                for text in filter(lambda text: len(text) >= 4, masked):
                    assert text.lower() not in told, (tenant, text, event)


def test_tenants_with_equal_choices_share_one_encoding(tmp_path: Path) -> None:
    """Those that drop the same are one; who hashes has a key, and so a form, of its own."""
    chosen = planned(tmp_path, "ocsf-json", frozenset())
    masks = {name: tenant.mask for name, tenant in chosen.tenants.items()}
    assert masks["clear"] is None
    hashed, other, dropped = (masks[name] for name in MASKED)
    assert hashed is not None
    assert other is not None
    assert dropped is not None
    again = planned(tmp_path, "ocsf-json", frozenset()).tenants
    assert again["hashed"].mask.form == hashed.form != other.form
    assert type(dropped)(dropped.actions, b"another").form == dropped.form

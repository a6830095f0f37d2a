"""Tables that belong to one tenant: nothing of them is seen by, or on behalf of, another one."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.config import ConfigError, load
from app.planning import build_plan
from tests.topology.deployment import NORMALIZED, RAW, START, line, plan, steps
from topology.match.compile import compile_rules
from topology.plan import Plan
from topology.testing import TopologyTestDriver

CONFIG = """\
version: 1
kafka: {embedded: {}}
sources: {q: {format: qumulo}}
enrich:
  - {dictionary: acme.csv, key: user, field: actor.user.name, as: person, tenant: acme}
  - {dictionary: beta.csv, key: user, field: actor.user.name, as: person, tenant: beta}
  - {threats: threats.csv, as: threat, tenant: acme}
  - {dictionary: all.csv, key: user, field: actor.user.name, as: place}
tenants:
  acme: {sources: [q]}
  beta: {sources: [q]}
  gamma: {sources: [q]}
  delta: {sources: [q], feeds: [alerts]}
"""
RULES = [
    (
        "person.yml",
        """\
title: Somebody of the red team
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c13
logsource: {product: qumulo, service: audit}
detection:
  red: {"@enrich.person.team": red, "@enrich.place.site": west}
  condition: red
level: high
""",
    ),
    (
        "many.yml",
        """\
title: Deletion
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c14
name: deletion
logsource: {product: qumulo, service: audit}
detection: {deleted: {metadata.event_code: fs_delete}, condition: deleted}
---
title: Many deletions by one team
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c15
correlation:
  type: event_count
  rules: [deletion]
  group-by: ["@enrich.person.team"]
  timespan: 1m
  condition: {gte: 3}
level: medium
""",
    ),
]
USERS = ("eve", "bob", "ann", "joe")
SECRETS = {
    "acme": [b"acme-secret", b"storm-secret"],
    "beta": [b"beta-secret"],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "acme.csv": "user,team,note\neve,red,acme-secret\nbob,red,acme-secret\n",
        "beta.csv": "user,team,note\neve,blue,beta-secret\nann,red,beta-secret\n",
        "threats.csv": "indicator,type,campaign\ndropper.exe,file,storm-secret\n",
        "all.csv": "user,site\neve,west\nbob,west\nann,west\n",
        "northbound.yaml": CONFIG,
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def planned(folder: Path, expose: frozenset[str]) -> Plan:
    configured = build_plan(load(folder / "northbound.yaml"), {})
    return replace(
        plan(expose=expose),
        tenants=configured.tenants,
        enrichers=configured.enrichers,
        rules=compile_rules(RULES),
    )


def outcome(chosen: Plan) -> dict[str, list[bytes]]:
    """What is in each topic that tenants read, and in `matches` and the dead letters."""
    driver = TopologyTestDriver(
        steps(chosen), partitions={RAW: 1, NORMALIZED: 1, "matches": 1}, max_batch=5
    )
    number = 0
    for _ in range(4):
        for user in USERS:
            text = line(START + number, user, path=f"/data/{number}/dropper.exe")
            driver.pipe(RAW, text, timestamp=START + number)
            number += 1
    driver.pipe(RAW, b"no audit line", timestamp=START + number)
    driver.advance_wall_clock(START + 10 * 60_000)
    driver.run()
    names = [
        *(chosen.names.events(tenant) for tenant in chosen.tenants),
        *(chosen.names.alerts(tenant) for tenant in chosen.tenants),
        "dead-letters",
    ]
    return {name: [each.value or b"" for each in driver.read(name)] for name in names}


@pytest.mark.parametrize("expose", [frozenset(), frozenset({"normalized"})], ids=["fused", "split"])
def test_a_tenant_has_what_it_would_have_alone(folder: Path, expose: frozenset[str]) -> None:
    """Events and alerts of each tenant are, byte for byte, those of a deployment without the other
    tenants; and no cell of another one's table is in them."""
    chosen = planned(folder, expose)
    together = outcome(chosen)
    assert len(together["dead-letters"]) == 1
    for name, tenant in chosen.tenants.items():
        alone = outcome(replace(chosen, tenants={name: tenant}))
        for topic in (chosen.names.events(name), chosen.names.alerts(name)):
            assert together[topic] == alone[topic]
            foreign = [each for other in SECRETS.keys() - {name} for each in SECRETS[other]]
            assert not any(text in record for record in together[topic] for text in foreign)
    events = {name: together[chosen.names.events(name)] for name in chosen.tenants}
    assert {name: len(found) for name, found in events.items()} == {
        "acme": 16,
        "beta": 16,
        "gamma": 16,
        "delta": 0,
    }
    for name, secrets in SECRETS.items():
        for secret in secrets:
            assert any(secret in record for record in events[name])


def test_rules_see_the_tables_of_the_tenant_that_they_work_for(folder: Path) -> None:
    """One rule, other people: acme's red team is eve and bob, beta's is ann, gamma has none."""
    chosen = planned(folder, frozenset())
    found = outcome(chosen)
    people: dict[str, dict[str, set[str]]] = {}
    for name in chosen.tenants:
        people[name] = {}
        for each in found[chosen.names.alerts(name)]:
            alert = json.loads(each)
            uids = [event["uid"] for event in alert["finding_info"]["related_events"]]
            users = {USERS[int(uid.rpartition("-")[2]) % len(USERS)] for uid in uids}
            if alert["unmapped"]["state"] == "final":
                people[name].setdefault(alert["finding_info"]["title"], set()).update(users)
    red, many = "Somebody of the red team", "Many deletions by one team"
    assert people == {
        "acme": {red: {"eve", "bob"}, many: {"eve", "bob"}},
        "beta": {red: {"ann"}, many: {"eve", "ann"}},
        "gamma": {},
        "delta": {},
    }


def test_an_aggregation_cannot_ask_for_what_is_one_tenants(folder: Path) -> None:
    """It works for all tenants, so what it makes would tell the others."""
    file = folder / "northbound.yaml"
    aggregate = (
        "sources:\n  q:\n    format: qumulo\n    aggregate:\n"
        "    - name: red\n      by: [actor.user.name]\n      window: 1m\n"
        '      when: {red: {"@enrich.person.team": red}}\n'
    )
    file.write_text(CONFIG.replace("sources: {q: {format: qumulo}}\n", aggregate), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        build_plan(load(file), {})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{file}:10: sources.q.aggregate[0].when: saw '@enrich.person.team'")
    assert "one tenant's own" in problem

"""Rules of one tenant: they see its events alone, and change nothing for anybody else."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.config import ConfigError, load
from app.planning import build_plan
from tests.topology.deployment import RAW, START, line, plan, steps
from topology.testing import TopologyTestDriver

CONFIG = """\
version: 1
kafka: {embedded: {}}
sources: {q: {format: qumulo}}
rules: [rules]
tenants:
  acme: {sources: [q], rules: [acme]}
  beta: {sources: [q], rules: [beta/own.yml]}
  gamma: {sources: [q]}
"""
FIELDS = (
    "product: qumulo\nservice: audit\nfields: {user: '@user', operation: metadata.event_code}\n"
)
LOGSOURCE = "logsource: {product: qumulo, service: audit}"
SHARED = f"""\
title: Deletion
name: deletion
{LOGSOURCE}
detection: {{sel: {{operation: fs_delete, user: eve}}, condition: sel}}
"""
ACME = f"""\
title: Two deletions
id: 3b1e2a7c-9f0d-4f57-8a53-6d2b1a9f7c14
name: two
correlation:
  type: event_count
  rules: [deletion]
  group-by: [user]
  timespan: 1m
  condition: {{gte: 2}}
---
title: Twice two deletions
correlation:
  type: event_count
  rules: [two]
  group-by: [user]
  timespan: 1h
  condition: {{gte: 1}}
  generate: true
---
title: Bob was here
name: bob
{LOGSOURCE}
detection: {{sel: {{user: bob}}, condition: sel}}
---
title: But not in March
logsource: {{product: qumulo}}
filter:
  rules: any
  selection: {{operation: fs_delete}}
  condition: not selection
"""
BETA = f"""\
title: Ann was here
name: ann
{LOGSOURCE}
detection: {{sel: {{user: ann}}, condition: sel}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "rules/fieldmap.yml": FIELDS,
        "rules/shared.yml": SHARED,
        "acme/own.yml": ACME,
        "beta/own.yml": BETA,
        "northbound.yaml": CONFIG,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def alerts(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The final alerts of each tenant."""
    configured = build_plan(load(folder / "northbound.yaml"), {})
    chosen = replace(plan(), tenants=configured.tenants, rules=configured.rules)
    driver = TopologyTestDriver(
        steps(chosen), partitions={RAW: 1, "matches": chosen.matches_partitions}, max_batch=2
    )
    for number, user in enumerate(("eve", "bob", "ann", "eve")):
        text = line(START + number, user, "fs_delete" if user == "eve" else "fs_read_data")
        driver.pipe(RAW, text, timestamp=START + number)
    driver.run()
    driver.advance_wall_clock(START + 2 * 3_600_000)
    driver.run()
    found = {
        name: [json.loads(each.value or b"") for each in driver.read(chosen.names.alerts(name))]
        for name in chosen.tenants
    }
    return {
        name: [each for each in some if each["unmapped"]["state"] == "final"]
        for name, some in found.items()
    }


def titles(found: list[dict[str, Any]]) -> list[str]:
    return sorted(each["finding_info"]["title"] for each in found)


def test_each_tenant_has_its_own_rules(folder: Path) -> None:
    """What acme correlates of a rule of all alerts for all as before, and its filter is for its own
    rules; nobody has alerts of another one's rules."""
    found = alerts(folder)
    assert titles(found["gamma"]) == ["Deletion", "Deletion"]
    assert titles(found["beta"]) == ["Ann was here", "Deletion", "Deletion"]
    assert titles(found["acme"]) == [
        "Bob was here",
        "Deletion",
        "Deletion",
        "Twice two deletions",
        "Two deletions",
    ]


def test_tenants_alone_have_the_same(folder: Path) -> None:
    """Alerts are those of a deployment without the other tenants and their rules."""
    together = alerts(folder)
    for name in together:
        others = [f"  {other}: " for other in together if other != name]
        lines = [line for line in CONFIG.splitlines() if not line.startswith(tuple(others))]
        (folder / "northbound.yaml").write_text("\n".join(lines), encoding="utf-8")
        assert alerts(folder) == {name: together[name]}


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (
            {"rules/more.yml": ACME.partition("---")[0].replace("[deletion]", "[bob]")},
            ["rules/more.yml:6: correlation.rules: 'bob' is neither id nor name of a rule"],
        ),
        (
            {"beta/own.yml": ACME.partition("---")[0].replace("[deletion]", "[bob]")},
            ["beta/own.yml:6: correlation.rules: 'bob' is neither id nor name of a rule"],
        ),
        (
            {"northbound.yaml": CONFIG.replace("[acme]", "[rules, acme]")},
            ["rules/shared.yml:1: is named by rules and by tenants.acme.rules; leave one"],
        ),
        (
            {"northbound.yaml": CONFIG.replace("beta/own.yml", "acme/own.yml")},
            ["acme/own.yml:1: is named by tenants.acme.rules and by tenants.beta.rules"],
        ),
        (
            {"northbound.yaml": CONFIG.replace("[acme]", "[nowhere]")},
            ["northbound.yaml:6: tenants.acme.rules[0]: saw 'nowhere', but there is nothing at"],
        ),
    ],
)
def test_what_is_refused(folder: Path, changed: dict[str, str], told: list[str]) -> None:
    """Rules of another tenant cannot be referred to, nor a file be two tenants' own."""
    for name, text in changed.items():
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        build_plan(load(folder / "northbound.yaml"), {})
    for text in told:
        assert any(text in problem for problem in caught.value.problems), caught.value.problems

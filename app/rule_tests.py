"""Runs a rule's test stream through the whole topology, from log line to final alert."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import orjson

from app.normalizer_files import load_normalizer
from app.reloading import Reloading
from app.rule_streams import ExpectedAlert, RuleTest
from topology.match.ruleset import RuleSet
from topology.pipeline import pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

NAMES = Names()
SOURCE, TENANT = "nas", "acme"
HOUR_MS = 3_600_000
PARTITIONS = 2
SMALLEST_BATCH, BATCHES = 64, 8
"""A stream is read in several batches, as a worker does; a long one in longer batches."""


def final_alerts(rules: RuleSet, test: RuleTest) -> list[dict[str, Any]]:
    """The final alerts of a stream once all its windows are closed."""
    lines = test.lines()
    if not lines:
        return []
    sources = {each.normalizer: _source(each.normalizer) for each in lines}
    names = [each.name for each in sources.values()]
    plan = Plan(
        names=NAMES,
        sources=dict(zip(names, sources.values(), strict=True)),
        tenants={TENANT: TenantPlan(TENANT, frozenset(names), events=False)},
        origins={NAMES.raw(name): f"{at:011}" for at, name in enumerate(names)},
        rules=rules,
        matches_partitions=PARTITIONS,
    )
    steps = [Step(partial(node.build, plan), node.topics(plan)) for node in pipeline()]
    batch = max(SMALLEST_BATCH, len(lines) // BATCHES)
    driver = TopologyTestDriver(steps, partitions={NAMES.matches: PARTITIONS}, max_batch=batch)
    for line in lines:
        topic = NAMES.raw(sources[line.normalizer].name)
        driver.pipe(topic, line.text, timestamp=line.time, partition=0)
    driver.run()
    spans = [entry.timespan_ms + entry.suppress_ms for entry in rules.rules.correlations]
    driver.advance_wall_clock(lines[-1].time + max(spans, default=0) + HOUR_MS)
    driver.run()
    found = [orjson.loads(record.value or b"") for record in driver.read(NAMES.alerts(TENANT))]
    return [alert for alert in found if alert["unmapped"]["state"] == "final"]


def of_folder(
    file: Path, test: RuleTest, rules: RuleSet, found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The alerts that a stream in this file is about: those of rules in the folder around its
    `tests`, and of the others that it names."""
    folder = file.absolute().parents[1]
    every = [entry.rule for entry in rules.rules.events]
    every += [entry.rule for entry in rules.rules.correlations]
    paths = {rule.id: Path(rule.path).absolute() for rule in every}
    named = {alert.title for alert in test.alerts}
    return [
        alert
        for alert in found
        if _title(alert) in named
        or paths[alert["finding_info"]["analytic"]["uid"]].is_relative_to(folder)
    ]


@cache
def _source(normalizer: Path | None) -> SourcePlan:
    """A source of lines that a normalizer reads, or of a Qumulo cluster's."""
    if normalizer is None:
        return SourcePlan(SOURCE, "qumulo", LogSource("qumulo", "audit"))
    loaded = load_normalizer(normalizer, "UTC")
    return SourcePlan(
        normalizer.stem,
        loaded.format,
        loaded.logsource,
        {"timezone": "UTC", **loaded.options},
        normalizer=Reloading(normalizer, lambda: loaded.normalizer),
    )


def differences(alerts: Sequence[ExpectedAlert], found: Sequence[dict[str, Any]]) -> list[str]:
    """How the final alerts that came are not those expected; nothing where they are."""
    wanted = sorted(alerts, key=lambda alert: (alert.title, str(alert.group)))
    came = sorted(found, key=lambda alert: (_title(alert), str(_group(alert))))
    if [alert.title for alert in wanted] != [_title(alert) for alert in came]:
        expected = ", ".join(alert.title for alert in wanted) or "no alert"
        seen = ", ".join(map(_title, came)) or "no alert"
        return [f"expected {expected}; saw {seen}"]
    pairs = zip(wanted, came, strict=True)
    return [problem for alert, seen in pairs for problem in _unlike(alert, seen)]


def _unlike(wanted: ExpectedAlert, seen: dict[str, Any]) -> list[str]:
    problems = []
    if wanted.group is not None and wanted.group != _group(seen):
        problems.append(f"{wanted.title}: expected group {wanted.group}, saw {_group(seen)}")
    if wanted.count is not None and wanted.count != seen["count"]:
        problems.append(f"{wanted.title}: expected count {wanted.count}, saw {seen['count']}")
    return problems


def _title(alert: dict[str, Any]) -> str:
    return str(alert["finding_info"]["title"])


def _group(alert: dict[str, Any]) -> dict[str, str]:
    return dict(alert["unmapped"].get("group", {}))

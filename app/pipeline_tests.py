"""Runs lines through the topology of a northbound.yaml, and says what is not as a test expects."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import orjson
import polars as pl

from app.config import Config
from app.pipeline_files import DeadLetter, PipelineTest, Read
from app.planning import build_plan
from app.rule_streams import ExpectedAlert
from app.rule_tests import differences as alert_differences
from schemas.codec import decode as read_avro
from topology.filters import NO_FILTERS
from topology.formats import decode
from topology.pipeline import alerts, pipeline
from topology.plan import Plan, TenantPlan
from topology.testing import Step, TopologyTestDriver

HOUR_MS = 3_600_000
SHOWN = 200
"""Characters of an event that a failure shows."""
ABSENT = object()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the lines of a test became, for one tenant, once all windows are closed."""

    events: Sequence[dict[str, Any]]
    filtered: int
    aggregated: int
    dead_letters: Sequence[Mapping[str, Any]]
    alerts: Sequence[dict[str, Any]]


def plan_of(config: Config) -> Plan:
    """What the configuration says. Raises ConfigError with every mistake."""
    origins = {config.names.raw(name): "AAAAAAAAAAA" for name in config.sources}
    return build_plan(config, origins, make_key=True)


def unknown(plan: Plan, file: Read) -> list[str]:
    """What tests of a file name that is not in the configuration, each with its line."""
    problems = []
    for number, test in enumerate(file.tests):
        found = _unknown(plan, test)
        if found is not None and file.document is not None:
            at = ("tests", number, found[0])
            if not file.document.unsure(at):
                problems.append(file.document.problem(at, found[1]))
    return problems


def run(plan: Plan, test: PipelineTest) -> Outcome:
    """The lines through the whole topology. The test names nothing `unknown`."""
    tenant = _tenant(plan, test)
    plan = replace(plan, tenants={tenant.name: tenant})
    raw = plan.names.raw(test.source)
    steps = [Step(partial(node.build, plan), node.topics(plan)) for node in pipeline(plan.expose)]
    driver = TopologyTestDriver(steps, partitions={plan.names.matches: plan.matches_partitions})
    lines = test.stream()
    times = _received(plan, test.source, lines)
    for time, (_, line) in zip(times, lines, strict=True):
        driver.pipe(raw, line, timestamp=time, partition=0)
    driver.run()
    held = plan.sources[test.source].hold_ms
    driver.advance_wall_clock(max(times) + alerts(plan).window_ms + held + HOUR_MS)
    driver.run()
    found = [
        orjson.loads(each.value or b"") for each in driver.read(plan.names.alerts(tenant.name))
    ]
    return Outcome(
        [orjson.loads(each.value or b"") for each in driver.read(plan.names.events(tenant.name))],
        driver.counts["filtered"],
        driver.counts["aggregated"],
        [read_avro(each.value or b"")[1] for each in driver.read(plan.names.dead_letters)],
        [alert for alert in found if alert["unmapped"]["state"] == "final"],
    )


def differences(test: PipelineTest, found: Outcome) -> list[str]:
    """What is not as the test says; nothing where it passes."""
    problems: list[str] = []
    if test.events is not None:
        problems += _events(test.events, found)
    for name in ("filtered", "aggregated"):
        wanted, seen = getattr(test, name), getattr(found, name)
        if wanted is not None and wanted != seen:
            problems.append(f"{name}: expected {wanted}, saw {seen}")
    if test.dead_letters is not None:
        problems += _dead_letters(test.dead_letters, found.dead_letters)
    if test.alerts is not None:
        told = [ExpectedAlert(each.title, each.group, each.count) for each in test.alerts]
        problems += alert_differences(told, found.alerts)
    return problems


def _unknown(plan: Plan, test: PipelineTest) -> tuple[str, str] | None:
    """The key that names what is not there, and what is wrong with it."""
    if test.source not in plan.sources:
        return "source", f"saw {test.source!r}, expected one of {', '.join(plan.sources)}"
    names = [tenant.name for tenant in plan.tenants_of(test.source)]
    if not names:
        return "source", f"no tenant receives {test.source}; add it to one"
    if test.tenant is None and len(names) > 1:
        return "tenant", f"missing; expected one of {', '.join(names)}"
    if test.tenant is not None and test.tenant not in names:
        return "tenant", f"saw {test.tenant!r}, expected one of {', '.join(names)}"
    return None


def _tenant(plan: Plan, test: PipelineTest) -> TenantPlan:
    """The tenant of a test, as one who receives everything as OCSF."""
    names = [tenant.name for tenant in plan.tenants_of(test.source)]
    chosen = plan.tenants[test.tenant or names[0]]
    return replace(
        chosen,
        events=True,
        alerts=True,
        format="ocsf-json",
        mask=None,
        fields=None,
        filters=NO_FILTERS,
    )


def _received(plan: Plan, source: str, lines: Sequence[tuple[int, bytes]]) -> list[int]:
    """When each line comes: at its own time, as from a device whose clock is right."""
    times = [time for time, _ in lines]
    chosen = plan.sources[source]
    raw = {"row": range(len(lines)), "raw": [line for _, line in lines], "received": times}
    schema = {"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64}
    frame = pl.DataFrame(raw, schema=schema)
    events = decode(chosen.format, frame, chosen.options, chosen.own_normalizer).events
    for row, time in zip(events["row"].to_list(), events["time"].to_list(), strict=True):
        if time is not None:
            times[row] = time
    return times


def _events(wanted: Sequence[Mapping[str, Any]], found: Outcome) -> Iterator[str]:
    if len(wanted) != len(found.events):
        shown = "".join(f"\n         {_shown(event)}" for event in found.events)
        letters = "".join(
            f"\n         dead letter: {letter['stage']}: {letter['reason']}"
            for letter in found.dead_letters
        )
        yield f"events: expected {len(wanted)}, saw {len(found.events)}{shown}{letters}"
        return
    for number, (expected, event) in enumerate(zip(wanted, found.events, strict=True)):
        flat = dict(_flat(event))
        for path, value in _flat(expected):
            seen = flat.get(path, _at(event, path))
            if value is None and seen is ABSENT:
                continue
            if seen != value:
                told = "nothing" if seen is ABSENT else repr(seen)
                yield f"events[{number}].{path}: expected {value!r}, saw {told}"


def _flat(event: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Attributes by dotted path; lists are values."""
    for name, value in event.items():
        at = f"{path}.{name}" if path else str(name)
        if isinstance(value, Mapping) and value:
            yield from _flat(value, at)
        else:
            yield at, value


def _at(event: Mapping[str, Any], path: str) -> Any:
    """The object at a dotted path, which is no attribute of plain value."""
    found: Any = event
    for name in path.split("."):
        if not isinstance(found, Mapping) or name not in found:
            return ABSENT
        found = found[name]
    return found


def _dead_letters(
    wanted: Sequence[DeadLetter], found: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    seen = [f"{letter['stage']}: {letter['reason']}" for letter in found]
    if len(wanted) != len(seen):
        yield f"dead_letters: expected {len(wanted)}, saw {len(seen)}: {'; '.join(seen) or 'none'}"
        return
    for number, (letter, told) in enumerate(zip(wanted, found, strict=True)):
        if letter.stage != told["stage"] or letter.reason not in told["reason"]:
            expected = f"{letter.stage}: {letter.reason}"
            yield f"dead_letters[{number}]: expected {expected}, saw {seen[number]}"


def _shown(event: Mapping[str, Any]) -> str:
    text = orjson.dumps(event).decode()
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

"""A day without an incident through all shipped rules: `python -m bench --case benign`.

Counts final alerts by level and rule; one that is high or critical fails. No broker: the topology's
test driver, one partition a source, closes every window by ticks at the end (docs/benign.md).
"""

import time
from bisect import bisect_left
from collections import Counter
from functools import partial
from itertools import islice
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

from app.normalizer_files import load_normalizer
from app.reloading import Reloading
from app.rules import load_rules
from bench.benign_day import SOURCES, SPAN_MS, Day, midnight
from bench.measure import Measurement, write
from bench.options import Options
from topology.match.compile import RuleSet
from topology.pipeline import pipeline
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.rules import LogSource
from topology.testing import Step, TopologyTestDriver
from topology.topics import Names

EVENTS = 1_000_000
ROOT = Path(__file__).parents[1]
RULES = ROOT / "rules"
START_MS = midnight(1_795_600_000_000)
"""A Wednesday."""
TENANT = "acme"
BATCH = 10_000
HOUR_MS = 3_600_000
LEVELS = ("critical", "high", "medium", "low", "informational")
HIGH = LEVELS[:2]
NAMES = Names()


def run(options: Options) -> int:
    """The day, its alerts as a table; 1 if one of them is high or critical."""
    events = options.events or EVENTS
    began = time.monotonic()
    day = Day(options.seed, events, START_MS)
    made = time.monotonic()
    found = alerts(day, load_rules([RULES], None))
    table = Table("level", "rule", "alerts", title=f"a benign day of {events:,} events")
    for (level, title), count in sorted(found.items(), key=_order):
        table.add_row(level, title, f"{count:,}")
    console = Console()
    console.print(table)
    shares = ", ".join(f"{name} {len(lines):,}" for name, lines in day.lines.items())
    console.print(
        f"{shares}; made in {made - began:.0f} s, read in {time.monotonic() - made:.0f} s"
    )
    severe = sum(count for (level, _), count in found.items() if level in HIGH)
    if options.complete:
        by_level = Counter(dict.fromkeys(LEVELS, 0))
        for (level, _), count in found.items():
            by_level[level] += count
        write(Measurement("benign", "northbound", f"{n}_alerts", by_level[n]) for n in LEVELS)
    if severe:
        console.print(f"{severe} alerts are high or critical", style="red")
    return 1 if severe else 0


def _order(entry: tuple[tuple[str, str], int]) -> tuple[int, str]:
    (level, title), _ = entry
    return LEVELS.index(level), title


def alerts(day: Day, rules: RuleSet) -> Counter[tuple[str, str]]:
    """Final alerts of a day by level and title of their rules."""
    plan = Plan(
        names=NAMES,
        sources={name: _source(name, kind) for name, kind in SOURCES.items()},
        tenants={TENANT: TenantPlan(TENANT, frozenset(SOURCES), events=False)},
        origins={NAMES.raw(name): f"{at:011}" for at, name in enumerate(SOURCES)},
        rules=rules,
    )
    steps = [Step(partial(node.build, plan), node.topics(plan)) for node in pipeline()]
    driver = TopologyTestDriver(steps, partitions={NAMES.matches: 4}, max_batch=BATCH)
    for name, lines in day.past.items():
        for line in lines:
            driver.pipe(NAMES.raw(name), line.text, timestamp=line.time, partition=0)
    rest = {name: iter(lines) for name, lines in day.lines.items()}
    for hour in range(SPAN_MS // HOUR_MS):
        until = day.start_ms + (hour + 1) * HOUR_MS
        for name, lines in day.lines.items():
            count = bisect_left(lines, (until,)) - bisect_left(lines, (until - HOUR_MS,))
            for line in islice(rest[name], count):
                driver.pipe(NAMES.raw(name), line.text, timestamp=line.time, partition=0)
        driver.advance_wall_clock(until)
        driver.run()
    spans = [entry.timespan_ms + entry.suppress_ms for entry in rules.rules.correlations]
    driver.advance_wall_clock(day.start_ms + SPAN_MS + max(spans) + HOUR_MS)
    driver.run()
    if driver.counts["dead_letters"] or driver.counts["matches_late"]:
        raise RuntimeError(f"lines that were not read, or came late: {driver.counts}")
    levels = {each.rule.title: each.rule.level for each in rules.rules.events}
    levels |= {each.rule.title: each.rule.level for each in rules.rules.correlations}
    values = [orjson.loads(each.value or b"") for each in driver.read(NAMES.alerts(TENANT))]
    titles = [
        each["finding_info"]["title"]
        for each in values
        if each["unmapped"]["state"] == "final" and each["time"] >= day.start_ms
    ]
    return Counter((levels[title], title) for title in titles)


def _source(name: str, kind: str) -> SourcePlan:
    if kind == "qumulo":
        return SourcePlan(name, kind, LogSource("qumulo", "audit"))
    path = ROOT / "normalizers" / f"{kind}.yaml"
    loaded = load_normalizer(path, "UTC")
    options = {"timezone": "UTC", **loaded.options}
    current = Reloading(path, lambda: loaded.normalizer)
    return SourcePlan(name, loaded.format, loaded.logsource, options, normalizer=current)

"""What correlations cost a match: a process of `bench --case sigma`.

Matches at 10,000 a second over 1,000 groups, of which one in a hundred is five times as busy as the
others and fires. Both sides of the repartition topic are measured, in batches of 20,000: hits to
records of `matches` (topology/correlate/partials.py), and those to alerts (sub-topology 2) with the
writes to its store. Prints one JSON object: microseconds of CPU a match.
"""

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import numpy.typing as npt
import polars as pl

from app.runtime.store import Store
from bench.matches import BASE_MS, BATCH, RATE_PER_MS, batch, events, flattened
from topology.alerts import AlertsSubTopology
from topology.correlate.partials import partials
from topology.match.compile import compile_rules
from topology.match.ruleset import RuleSet
from topology.records import Position
from topology.rules import LogSource
from topology.topics import Names

GROUPS, BUSY, BUSIER = 1_000, 10, 5
CONTENTS = (100, 1_000, 5_000)
"""Matches in the window of a group, for what that costs."""
BEHIND_MS, LATENESS_MS = 2_500, 10_000
"""How far every second batch is behind, where matches are not in the order of time; and how far
behind all of them a watermark is."""
ALONE = 50_000
"""Groups of which each has two matches in its window, and hardly ever two in a batch."""
SOURCE = LogSource("bench", "sigma")
BASE_RULE = """
title: Step {0}
name: step_{0}
logsource: {{product: bench, service: sigma}}
detection: {{selection: {{step: {0}}}, condition: selection}}
level: low
"""
RULE = """
title: {type}
id: 00000000-0000-4000-8000-000000000001
correlation:
  type: {type}
  rules: [{rules}]
  group-by: [user]
  timespan: {seconds}s
  condition: {condition}
level: high
"""
CONDITIONS: dict[str, Callable[[int], str]] = {
    "event_count": lambda content: f"{{gte: {_threshold(content)}}}",
    "value_count": lambda content: f"{{field: path, gte: {_threshold(content)}}}",
    "temporal": lambda _: "{gte: 3}",
}
"""For a mean content of a group's window. Values are drawn from four times as many."""


def _threshold(content: int) -> int:
    """Twice and a half as many as there are on average, and never so few that chance does it."""
    return max(20, content * 5 // 2)


class Run:
    """One rule, and a stream of matches of it through both sides."""

    def __init__(
        self, kind: str, content: int, groups: int, seed: int, *, disordered: bool = False
    ) -> None:
        self._disordered = disordered
        self._random = np.random.default_rng(seed)
        self._values = content * 4
        self._groups = groups
        self._rules = _rules(kind, content, groups)
        self._at = 0
        self._store = Store()
        correlated = self._rules.rules
        self._alerts = AlertsSubTopology(correlated, [], Names(), {"acme": {"s"}}, {"s": SOURCE})
        self._alerts.assign({("matches", 0): Position(0)}, {("alerts", 0): self._store})
        self.spent = [0.0, 0.0]
        self.alerts = self.matches = 0

    def batch(self, users: npt.NDArray[np.int64] | None = None) -> None:
        """The next matches, of these groups or of those that the random numbers say."""
        found, hits = self._events(users)
        watermarks = np.full(found.height, BASE_MS - LATENESS_MS, np.int64)
        before = time.process_time()
        records = partials(
            found,
            hits,
            self._rules.rules,
            tenants=["acme"],
            source="s",
            watermarks=watermarks,
            partitions=1,
        )
        self.spent[0] += time.process_time() - before
        watermark = BASE_MS + self._at // RATE_PER_MS - LATENESS_MS
        made = batch(*flattened(records), watermark=watermark)
        before = time.process_time()
        outcome = self._alerts.process(made)
        self._alerts.before_commit()
        self._store.commit()
        self.spent[1] += time.process_time() - before
        if outcome.counts.get("dead_letters"):
            raise RuntimeError(f"matches were refused: {outcome.counts}")
        self.alerts += sum(len(output.values) for output in outcome.outputs)
        self.matches += records.counts["matches"]

    def _events(
        self, users: npt.NDArray[np.int64] | None
    ) -> tuple[pl.DataFrame, dict[int, npt.NDArray[np.int64]]]:
        rows = np.arange(self._at, self._at + BATCH)
        earlier = BEHIND_MS if self._disordered and self._at // BATCH % 2 else 0
        self._at += BATCH
        if users is None:
            weights = np.ones(self._groups)
            weights[: self._groups * BUSY // GROUPS] = BUSIER
            users = self._random.choice(self._groups, BATCH, p=weights / weights.sum())
        paths = self._random.integers(self._values, size=BATCH)
        found = events(rows, users, paths).with_columns(pl.col("time") - earlier)
        # The third step is one that busy groups alone take, and seldom.
        steps = np.where((users < BUSY) & (rows % 97 == 0), 2, rows % 2)
        members = len(self._rules.rules.events)
        if members == 1:
            return found, {0: np.arange(BATCH)}
        return found, {step: np.flatnonzero(steps == step) for step in range(members)}


def _rules(kind: str, content: int, groups: int) -> RuleSet:
    members = 3 if kind == "temporal" else 1
    seconds = max(1, content * groups // RATE_PER_MS // 1_000)
    text = RULE.format(
        type=kind,
        rules=", ".join(f"step_{number}" for number in range(members)),
        seconds=seconds,
        condition=CONDITIONS[kind](content),
    )
    bases = "---".join(BASE_RULE.format(number) for number in range(members))
    return compile_rules([("bench.yml", f"{bases}---{text}")])


def throughput(
    kind: str, content: int, groups: int, matches: int, seed: int, *, disordered: bool = False
) -> dict[str, float]:
    """Microseconds a match before and behind `matches` once the windows are full."""
    run = Run(kind, content, groups, seed, disordered=disordered)
    for _ in range(max(2, content * groups // BATCH + 1)):
        run.batch()
    run.spent, run.alerts, run.matches = [0.0, 0.0], 0, 0
    for _ in range(max(4, matches // BATCH)):
        run.batch()
    before, behind = (spent / run.matches * 1e6 for spent in run.spent)
    return {
        "partials_us": before,
        "alerts_us": behind,
        "per_s": 1e6 / (before + behind),
        "alerts": run.alerts,
    }


def memory(groups: int, seed: int) -> dict[str, float]:
    """Bytes of this process for each of many groups, all of which a window of an hour holds."""
    run = Run("event_count", 3_600_000 * RATE_PER_MS // groups + 1, groups, seed)
    run.batch()
    gc.collect()
    before = _resident()
    for start in range(0, groups, BATCH):
        run.batch(np.arange(start, start + BATCH) % groups)
    gc.collect()
    used = _resident() - before
    for start in range(0, groups, BATCH * 4):
        run.batch(np.arange(start, start + BATCH) % groups)
    gc.collect()
    return {
        "bytes_a_group": used / groups,
        "mb": used / 1e6,
        "later_mb": (_resident() - before) / 1e6,
    }


def _resident() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def main() -> int:
    """Measure each type and windows of other contents, or memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matches", type=int, default=400_000)
    parser.add_argument("--memory", action="store_true", help="measure that of many groups only")
    parser.add_argument("--groups", type=int, default=1_000_000, help="for memory")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.memory:
        print(json.dumps(memory(arguments.groups, arguments.seed)))
        return 0
    figures: dict[str, float] = {}
    for kind in CONDITIONS:
        found = throughput(kind, 200, GROUPS, arguments.matches, arguments.seed)
        figures |= {f"{kind}_{name}": value for name, value in found.items()}
        for content in CONTENTS:
            found = throughput(kind, content, 100, arguments.matches // 2, arguments.seed)
            figures[f"{kind}_us_with_{content}"] = found["alerts_us"]
        for content in (CONTENTS[0], CONTENTS[-1]):
            found = throughput(
                kind, content, 100, arguments.matches // 4, arguments.seed, disordered=True
            )
            figures[f"{kind}_us_disordered_{content}"] = found["alerts_us"]
        found = throughput(kind, 2, ALONE, arguments.matches // 4, arguments.seed)
        figures[f"{kind}_us_alone"] = found["partials_us"] + found["alerts_us"]
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

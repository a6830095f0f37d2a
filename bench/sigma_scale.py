"""What more rules cost, and a start with them: a process of `bench --case sigma`.

Workload W (Qumulo lines) through sub-topology 1, from raw record to encoded event and matches, with
one rule, with 100, and with those and all of SigmaHQ's, which are for other log sources. Prints one
JSON object: microseconds of CPU an event, of it those of matching, and seconds of a start.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import numpy as np
import polars as pl
import yaml

from app.rules import load_rules
from bench import workload
from bench.sigma_match import PROCESS_CREATION
from topology.costs import Costs
from topology.events import EventsSubTopology
from topology.match.ruleset import RuleSet
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.records import Batch, Position
from topology.rules import LogSource
from topology.topics import Names

QUMULO = LogSource("qumulo", "audit")
FIELDMAP = Path(__file__).parents[1] / "rules" / "qumulo" / "fieldmap.yml"
BASE_MS = 1_769_522_400_000
BATCH = 20_000
MANY = 100
PARTS = (
    lambda n: {"operation": "fs_delete", "user": f"AD\\svc-{n}"},
    lambda n: {"path|startswith": f"/canary{n}/", "operation": ["fs_write_data", "fs_rename"]},
    lambda n: {"target_path|endswith": [f".locked{n}", f".crypt{n}"], "operation": "fs_rename"},
    lambda n: {"file_name|contains": [f"readme-{n}", f"recover-{n}"]},
    lambda n: {"path|contains|all": [f"/archive{n}/", "payroll"], "status": "ok"},
    lambda n: {"user_ip|cidr": f"10.99.{n}.0/24", "operation|startswith": "fs_"},
    lambda n: {"path|re": rf"/tmp{n}/[a-z]+\.(exe|dll)$"},
    lambda n: {"extension": [f"x{n}", f"enc{n}", f"wncry{n}"], "operation": "fs_create_file"},
)
"""Kinds of rules in the number of the rule. W holds what only few of them are about."""


def rules_for_qumulo(folder: Path, count: int) -> Path:
    """Write so many rules for Qumulo's audit log, and their field map, into a folder."""
    folder.mkdir(parents=True)
    for number in range(count):
        rule = {
            "title": f"Qumulo rule {number}",
            "name": f"qumulo_{number}",
            "logsource": {"product": "qumulo", "service": "audit"},
            "detection": {
                "selection": PARTS[number % len(PARTS)](number),
                "backup": {"user": "backup"},
                "condition": "selection and not backup",
            },
        }
        (folder / f"{number:03}.yml").write_text(yaml.safe_dump(rule), encoding="utf-8")
    (folder / FIELDMAP.name).write_bytes(FIELDMAP.read_bytes())
    return folder


def cost(rules: RuleSet, batches: Sequence[Batch]) -> tuple[float, float]:
    """Microseconds an event of sub-topology 1, and of matching in it."""
    plan = Plan(
        names=Names(),
        sources={"q": SourcePlan("q", "qumulo", QUMULO)},
        tenants={"acme": TenantPlan("acme", frozenset({"q"}))},
        origins={"raw.q": "AAAAAAAAAAA"},
        rules=rules,
    )
    events = EventsSubTopology(plan)
    events.assign({("raw.q", 0): Position(0)}, {})
    events.process(batches[0])
    books = Costs(time.thread_time)
    before = time.process_time()
    for batch in batches[1:]:
        with books.measure():
            outcome = events.process(batch)
            if outcome.counts["events"] != len(batch):
                raise RuntimeError(f"{outcome.counts} of {len(batch)} records")
    spent = time.process_time() - before
    matching = sum(each for (name, _), each in books.stages.items() if name == "match")
    count = sum(map(len, batches[1:]))
    return spent / count * 1e6, matching / count * 1e6


def _batches(lines: int, seed: int) -> list[Batch]:
    values = workload.generate(seed, BASE_MS, lines).lines()
    return [
        Batch(
            "raw.q",
            np.zeros(len(some), np.int32),
            np.arange(start, start + len(some), dtype=np.int64),
            np.full(len(some), BASE_MS + workload.SPAN_MS, np.int64),
            [None] * len(some),
            some,
        )
        for start in range(0, len(values), BATCH)
        if (some := values[start : start + BATCH])
    ]


def _start(folders: Sequence[Path], cache: Path) -> dict[str, float]:
    """Seconds of CPU to load rules from the cache, and to the first match after that."""
    before = time.process_time()
    rules = load_rules(folders, cache)
    loaded = time.process_time()
    rules.match(pl.DataFrame({"CommandLine": ["whoami"]}), PROCESS_CREATION)
    first = time.process_time()
    return {
        "start_s": loaded - before,
        "first_match_s": first - loaded,
        "rules": len(rules.rules.events),
    }


def main() -> int:
    """Measure a start, or what rules cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cache", type=Path, help="of compiled rules")
    parser.add_argument("folders", type=Path, nargs="+", help="rules_for_qumulo, SigmaHQ's")
    parser.add_argument("--start", action="store_true", help="measure a start with them only")
    parser.add_argument("--lines", type=int, default=300_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="the best of so many counts")
    arguments = parser.parse_args()
    if arguments.start:
        print(json.dumps(_start(arguments.folders, arguments.cache)))
        return 0
    many = arguments.folders[0]
    sets = {
        "none": load_rules([FIELDMAP]),
        "1": load_rules([many / "000.yml"]),
        "100": load_rules([many]),
        "all": load_rules(arguments.folders, arguments.cache),
    }
    batches = _batches(arguments.lines, arguments.seed)
    best = {name: (float("inf"), float("inf")) for name in sets}
    for _ in range(arguments.rounds):
        for name, rules in sets.items():
            (total, matching), found = best[name], cost(rules, batches)
            best[name] = min(total, found[0]), min(matching, found[1])
    figures = {f"us_{name}": total for name, (total, _) in best.items()}
    figures |= {f"match_us_{name}": matching for name, (_, matching) in best.items()}
    figures["rules_all"] = len(sets["all"].rules.events)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

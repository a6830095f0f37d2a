"""Our engine over events of a file, one thread, CPU time: a process of `bench --case sigma`.

Prints one JSON object: microseconds of CPU for each size of batch, to make frames of JSON lines and
to match them, and how many pairs of rule and event were found.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

from app.event_lines import read_events
from app.rules import load_rules
from topology.rules import LogSource

PROCESS_CREATION = LogSource(product="windows", category="process_creation")


def main() -> int:
    """Measure, and write the pairs that the first size of batch gave."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rules", type=Path)
    parser.add_argument("events", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many counts")
    parser.add_argument("--batches", type=int, nargs="+", default=[10_000, 1_000])
    arguments = parser.parse_args()
    rules = load_rules([arguments.rules], arguments.rules.parent / "cache")
    figures: dict[str, float] = {"rules": len(rules.rules.events)}
    found: dict[int, list[tuple[int, int]]] = {}
    for size in arguments.batches:
        with arguments.events.open("rb") as lines:
            before = time.process_time()
            batches = [stretch.events for stretch in read_events(lines, size)]
            figures[f"parse_us_{size}"] = (time.process_time() - before) * 1e6
        spent = []
        for _ in range(arguments.rounds):
            before = time.process_time()
            hits = [rules.match(events, PROCESS_CREATION) for events in batches]
            spent.append(time.process_time() - before)
        figures[f"match_us_{size}"] = min(spent) * 1e6
        figures["events"] = sum(events.height for events in batches)
        found[size] = [
            (index, number * size + row)
            for number, each in enumerate(hits)
            for index, rows in each.items()
            for row in rows.tolist()
        ]
    ids = [rule.rule.id for rule in rules.rules.events]
    first = found[arguments.batches[0]]
    arguments.pairs.write_text("".join(f"{ids[index]}\t{event}\n" for index, event in first))
    figures["pairs"] = len(first)
    figures["cuts_agree"] = int(all(sorted(first) == sorted(each) for each in found.values()))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())

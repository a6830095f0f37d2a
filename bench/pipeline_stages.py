"""What each stage of the default pipeline costs: `python -m bench.pipeline_stages [--lines N]`.

The pipeline of bench/pipeline.py in this process, without Kafka and without rules: batches of
workload W through the sub-topology `events`, CPU time an event by stage, the best of the rounds.
The rest of what that case measures is the engine, librdkafka and the start.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

# As bench/stages.py: before Polars is loaded.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:-1")

import numpy as np
import yaml

from app.config import load
from app.planning import build_plan
from bench import tables, workload
from bench.pipeline import Pipeline
from bench.systems import SOURCE, Setup
from topology.costs import Costs
from topology.events import EventsSubTopology
from topology.records import Batch

SEED = 1
BASE_MS = 1_769_522_400_000
BATCH = 10_000


def sub_topology(folder: Path) -> tuple[EventsSubTopology, str]:
    """The pipeline as configured, and its raw topic."""
    dictionaries = {"assets": workload.assets(SEED), "departments": workload.departments(SEED)}
    setup = Setup("127.0.0.1:1", "", folder, dictionaries)
    setup.write_dictionaries()
    tables.threats(folder)
    tables.locations(folder)
    path = folder / "northbound.yaml"
    path.write_text(yaml.safe_dump(Pipeline("stages").config(setup), sort_keys=False), "utf-8")
    topic = setup.names.raw(SOURCE)
    return EventsSubTopology(build_plan(load(path), {topic: "AbCdEfGhIjK"})), topic


def batches(topic: str, lines: list[bytes], size: int) -> list[Batch]:
    """Lines of one partition, received when they were written or later."""
    return [
        Batch(
            topic,
            np.zeros(len(part), dtype=np.int32),
            np.arange(at, at + len(part), dtype=np.int64),
            np.full(len(part), BASE_MS + workload.SPAN_MS, dtype=np.int64),
            [None] * len(part),
            part,
        )
        for at in range(0, len(lines), size)
        for part in [lines[at : at + size]]
    ]


def main() -> None:
    """Print what each stage costs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    lines = workload.generate(SEED, BASE_MS, arguments.lines).lines()
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        chain, topic = sub_topology(Path(folder))
        work = batches(topic, lines, arguments.batch)
        chain.process(work[0])
        for _ in range(arguments.rounds):
            books = Costs(time.thread_time)
            for batch in work:
                with books.measure():
                    chain.process(batch)
            spent = {
                f"{name} {component}".strip(): s for (name, component), s in books.stages.items()
            }
            spent["total"] = sum(spent.values())
            for name, seconds in spent.items():
                best[name] = min(best.get(name, seconds), seconds)
    for name, seconds in sorted(best.items(), key=lambda each: -each[1]):
        print(f"{name:<40}{seconds / len(lines) * 1e6:>8.2f} us")


if __name__ == "__main__":
    main()

"""What each stage costs: `python -m bench.stages [--lines 1000000] [--batch 20000]`.

Workload W (bench/workload.py) through decode, two dictionaries and JSON: one thread, CPU time per
event, and the fixed cost of small batches. Then the same for JSON bodies (those of the demo's
stream, with `before` and `after` in metadata changes), of which ODD in a hundred are for the exact
path, and for CSV and JSON lines in turn. `reference` is one fixed operation of the columns engine
on 20,000 of the lines: divide by it to compare runs on machines, or hours, of different speed.
"""

import argparse
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from random import Random

# Before Polars is loaded: one thread, and memory that is freed is kept for the next batch.
os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:-1")

import polars as pl

from app.demo.noise import Noise
from app.demo.vocabulary import people
from bench import workload
from topology import formats
from topology.enrich.dictionary import Dictionary
from topology.northbound import SERIALIZERS

SEED = 1
BASE_MS = 1_769_522_400_000
MOST_BATCHES = 200
ODD = 2
TOTAL = ("parse and normalize", "two dictionaries", "json")


def dictionaries() -> list[Dictionary]:
    """Assets by address and departments by user, as job J joins them."""
    assets, departments = workload.assets(SEED), workload.departments(SEED)
    return [
        Dictionary(
            "asset",
            assets.columns[0],
            ["src_endpoint.ip"],
            assets.to_dicts(),
            provider="assets.json@0123456789ab",
        ),
        Dictionary(
            "department",
            departments.columns[0],
            ["actor.user.name"],
            departments.to_dicts(),
            provider="departments.json@0123456789ab",
        ),
    ]


class Stopwatch:
    """CPU seconds by stage."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.spent[name] = self.spent.get(name, 0.0) + time.process_time() - start


def run(batches: list[list[bytes]], watch: Stopwatch) -> int:
    """All batches through all stages; the bytes of the events."""
    found = dictionaries()
    encode = SERIALIZERS["ocsf-json"]
    size = 0
    for batch in batches:
        raw = pl.DataFrame(
            {"row": range(len(batch)), "raw": batch}, schema={"row": pl.UInt32, "raw": pl.Binary}
        )
        with watch.stage("parse and normalize"):
            events = formats.decode("qumulo", raw, {}).events
        uid = pl.concat_str(pl.lit("AbCdEfGhIjK-3-"), "row").alias("metadata.uid")
        events = events.with_columns(uid)
        with watch.stage("two dictionaries"):
            for dictionary in found:
                events = dictionary.apply(events)
        with watch.stage("json"):
            texts = encode(events, without=frozenset({"raw_data"}))
        with watch.stage("json with raw_data"):
            encode(events)
        with watch.stage("bytes objects"):
            values = texts.to_list()
        size += sum(map(len, values))
    return size


def json_lines(count: int) -> list[bytes]:
    """Lines of a cluster that writes JSON."""
    random = Random(SEED)
    noise = Noise(random, people(random, 150, 1), "json")
    change = b', "before": {"ctime": "%d", "owner": {"sid": "S-1", "auth_id": "5"}}, "after": {}}'
    lines = []
    for number in range(count):
        text = noise.pool[random.randrange(len(noise.pool))]
        if b'"fs_write_metadata"' in text:
            head, _, tail = text.partition(b'"details": {')
            inside, _, tail = tail.partition(b"}")
            text = head + b'"details": {' + inside + change % number + tail
        if number % 100 < ODD:
            # A number where the documentation has text, and a key twice.
            text = text[:-1] + (b', "status": 7}' if number % 2 else b', "status": "ok"}')
        second = number // 1000
        header = b"<14>1 2026-01-27T%02d:%02d:%02d.%03dZ nas-%d qumulo - - - " % (
            second // 3600 % 24, second // 60 % 60, second % 60, number % 1000, number % 4 + 1,
        )  # fmt: skip
        lines.append(header + text)
    return lines


def report(lines: list[bytes], sizes: Iterable[int]) -> None:
    """Print microseconds of CPU per event and per batch for each stage."""
    texts = pl.Series(lines[:20_000]).cast(pl.String)
    print(f"{sum(map(len, lines)) / len(lines):.0f} bytes a line")
    print(f"{'batch':>8} {'stage':<22}{'us per event':>14}{'us per batch':>14}")
    for size in sizes:
        batches = [lines[at : at + size] for at in range(0, len(lines), size)][:MOST_BATCHES]
        run(batches[:3], Stopwatch())
        watch = Stopwatch()
        written = run(batches, watch)
        events = sum(map(len, batches))
        spent = watch.spent | {"total": sum(watch.spent[name] for name in TOTAL)}
        for name, seconds in spent.items():
            print(
                f"{size:>8} {name:<22}{seconds / events * 1e6:>14.3f}"
                f"{seconds / len(batches) * 1e6:>14.0f}"
            )
        with (reference := Stopwatch()).stage("reference"):
            for _ in range(10):
                texts.str.splitn(" ", 8)
        each = reference.spent["reference"] / 10 / len(texts) * 1e6
        print(f"{size:>8} {'reference':<22}{each:>14.3f}")
        print(f"{size:>8} {written / events:.0f} bytes an event\n")


def main() -> None:
    """Print what each stage costs for CSV bodies, JSON bodies and both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=20_000)
    arguments = parser.parse_args()
    csv_bodies = workload.generate(SEED, BASE_MS, arguments.lines).lines()
    report(csv_bodies, (10, 100, 1000, arguments.batch))
    json_bodies = json_lines(arguments.lines // 5)
    print("JSON bodies")
    report(json_bodies, (100, 1000, arguments.batch))
    print("CSV and JSON bodies in turn")
    both = [line for pair in zip(csv_bodies, json_bodies, strict=False) for line in pair]
    report(both, (arguments.batch,))


if __name__ == "__main__":
    main()

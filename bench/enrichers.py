"""What enrichers cost an event: `python -m bench.enrichers [--events 200000] [--batch 20000]`.

Synthetic events with attributes of every kind that is looked up, one thread, CPU time per event,
for values that recur from batch to batch (3,000 addresses, 2,000 hosts) and for values that are all
new. File names and digests are always new.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

os.environ.setdefault("POLARS_MAX_THREADS", "1")
os.environ.setdefault("_RJEM_MALLOC_CONF", "dirty_decay_ms:10000,muzzy_decay_ms:-1")

import polars as pl

from app.geoip import load_geoip
from app.lookups import load_dictionary
from app.threats import load_threats
from bench import tables
from topology.enrich import Enricher

SEED = 1
ONE_HIT_IN = 1_000
ENDPOINTS = ("src_endpoint.ip", "dst_endpoint.ip")


def address(random: Random) -> str:
    """An address outside of 203.0.113.0/24 to 203.0.255.0/24, where the listed ones are."""
    return f"{random.randrange(1, 200)}.{random.randrange(256)}.{random.randrange(256)}.7"


def batches(events: int, size: int, *, fresh: bool) -> list[pl.DataFrame]:
    """Events by the batch. `fresh`: addresses and hosts are new in each event."""
    random = Random(SEED)
    addresses = [address(random) for _ in range(3_000)]
    hosts = [f"h{number}.dept.corp.example.com" for number in range(2_000)]

    def batch(start: int) -> pl.DataFrame:
        rows = range(start, start + size)
        listed = [number % ONE_HIT_IN == 0 for number in rows]
        pick = address if fresh else lambda random: random.choice(addresses)
        source = [
            f"203.0.{113 + number % 100}.{number % 250}" if hit else pick(random)
            for number, hit in zip(rows, listed, strict=True)
        ]
        return pl.DataFrame(
            {
                "src_endpoint.ip": source,
                "dst_endpoint.ip": [pick(random) for _ in rows],
                "dst_endpoint.hostname": [
                    f"h{n}.dept.corp.example.com" if fresh else random.choice(hosts) for n in rows
                ],
                "file.name": [f"report {number}.docx" for number in rows],
                "file.hashes[sha256].value": [f"{random.getrandbits(256):064x}" for _ in rows],
            }
        )

    return [batch(start) for start in range(0, events, size)]


def loaded(folder: Path) -> dict[str, Enricher]:
    """The enrichers by name, each read from its file."""
    makers: dict[str, Callable[[], Enricher]] = {
        "threats": lambda: load_threats(tables.threats(folder), name="threat"),
        "networks": lambda: load_dictionary(
            tables.networks(folder), key="net", fields=ENDPOINTS, name="asset", match="network"
        ),
        "geoip": lambda: load_geoip(tables.locations(folder), ENDPOINTS),
    }
    return {name: _timed(name, make) for name, make in makers.items()}


def _timed(name: str, make: Callable[[], Enricher]) -> Enricher:
    start = time.process_time()
    found = make()
    print(f"{name:<14} written and loaded in {time.process_time() - start:.2f} s")
    return found


def cost(enricher: Enricher, events: list[pl.DataFrame]) -> float:
    """CPU microseconds an event, after two batches to warm up."""
    for batch in events[:2]:
        enricher.apply(batch)
    start = time.process_time()
    for batch in events[2:]:
        enricher.apply(batch)
    return (time.process_time() - start) / sum(batch.height for batch in events[2:]) * 1e6


def main() -> None:
    """Print a line for each enricher."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=20_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        enrichers = loaded(Path(folder))
    recurring = batches(arguments.events, arguments.batch, fresh=False)
    new = batches(arguments.events, arguments.batch, fresh=True)
    print(f"{'us per event':<14}{'recurring':>12}{'new':>12}")
    for name, enricher in enrichers.items():
        print(f"{name:<14}{cost(enricher, recurring):>12.3f}{cost(enricher, new):>12.3f}")


if __name__ == "__main__":
    main()

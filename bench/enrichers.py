"""What enrichers cost an event: `python -m bench.enrichers [--events 200000] [--batch 20000]`.

Synthetic events with attributes of every kind that is looked up, one thread, CPU time per event,
for values that recur from batch to batch (3,000 addresses, 2,000 hosts) and for values that are all
new. File names and digests are always new. `load` is the time from file to table.
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
from mmdb_writer import MMDBWriter
from netaddr import IPSet

from app.geoip import load_geoip
from app.lookups import load_dictionary
from app.threats import load_threats
from topology.enrich import Enricher

SEED = 1
ENTRIES = 100_000
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


def threats(folder: Path) -> Enricher:
    """A CSV list: 40,000 addresses, 10,000 networks, 30,000 domains, 20,000 digests."""
    random = Random(SEED + 1)
    lines = ["indicator,campaign,score"]
    lines += [f"203.0.{113 + n % 100}.{n // 100 % 250},c{n % 40},80" for n in range(25_000)]
    lines += [f"{200 + n % 3}.{n // 3 % 250}.{n // 750}.9,c,50" for n in range(15_000)]
    lines += [f"210.{n // 256}.{n % 256}.0/24,nets,30" for n in range(10_000)]
    lines += [f"bad{n}.example.net,dns,60" for n in range(30_000)]
    lines += [f"{random.getrandbits(256):064x},malware,90" for _ in range(20_000)]
    return _loaded(folder, "threats.csv", lines, lambda path: load_threats(path, name="threat"))


def locations(folder: Path) -> Enricher:
    """16,384 networks with a city each; every address is in one."""
    writer = MMDBWriter(6, "Test-City", languages=["en"], ipv4_compatible=True)
    for n in range(16_384):
        writer.insert_network(
            IPSet([f"{n // 256 * 4}.{n % 256}.0.0/14"]),
            {
                "city": {"names": {"en": f"City {n % 3000}"}},
                "country": {"iso_code": "CH"},
                "location": {"latitude": 47.0 + n / 10_000, "longitude": 8.5},
            },
        )
    path = folder / "city.mmdb"
    writer.to_db_file(str(path))
    return load_geoip(path, ENDPOINTS)


def networks(folder: Path) -> Enricher:
    """5,000 networks; an address in ten is in one."""
    lines = ["net,category,priority"]
    lines += [f"{n % 100}.{n // 100 * 5}.0.0/16,office,3" for n in range(5_000)]
    return _loaded(
        folder,
        "assets.csv",
        lines,
        lambda path: load_dictionary(
            path, key="net", fields=ENDPOINTS, name="asset", match="network"
        ),
    )


def _loaded(
    folder: Path, name: str, lines: list[str], load: Callable[[Path], Enricher]
) -> Enricher:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    start = time.process_time()
    found = load(path)
    print(f"{name:<14} load {time.process_time() - start:.2f} s for {len(lines) - 1:,} entries")
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
        enrichers = {
            "threats": threats(Path(folder)),
            "networks": networks(Path(folder)),
            "geoip": locations(Path(folder)),
        }
    recurring = batches(arguments.events, arguments.batch, fresh=False)
    new = batches(arguments.events, arguments.batch, fresh=True)
    print(f"{'us per event':<14}{'recurring':>12}{'new':>12}")
    for name, enricher in enrichers.items():
        print(f"{name:<14}{cost(enricher, recurring):>12.3f}{cost(enricher, new):>12.3f}")


if __name__ == "__main__":
    main()

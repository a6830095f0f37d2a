"""What each stage costs: `python -m bench.stages [--lines 1000000] [--batch 20000]`.

Qumulo CSV lines of about 150 bytes through decode, two dictionaries and JSON, one thread, CPU time
per event; and the fixed cost of small batches.
"""

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from topology import formats
from topology.enrich.dictionary import Dictionary
from topology.northbound import SERIALIZERS

USERS, ADDRESSES, ASSETS = 500, 250, 1000
OPERATIONS = {
    "fs_read_data": 30,
    "fs_write_data": 22,
    "fs_open": 15,
    "fs_read_metadata": 10,
    "fs_create_file": 8,
    "fs_list_directory": 5,
    "fs_rename": 4,
    "fs_delete": 3,
    "fs_write_metadata": 2,
    "smb_login": 1,
}
FOLDERS = ("projects", "finance", "r\u00e4ume", "hr data", "archive, old", "home", 'the "new" one')
EXTENSIONS = ("docx", "xlsx", "pdf", "txt", "dwg", "jpg")


def lines(count: int, seed: int = 1) -> Iterator[bytes]:
    """Lines of one cluster of four nodes, 20,000 a second."""
    draw = random.Random(seed)
    addresses = [f"10.{n >> 8}.{n & 255}.{draw.randrange(1, 255)}" for n in range(ADDRESSES)]
    names, weights = list(OPERATIONS), list(OPERATIONS.values())
    moment = datetime(2026, 1, 27, 14, tzinfo=UTC)
    for number in range(count):
        moment += timedelta(microseconds=draw.randrange(100))
        stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
        operation = draw.choices(names, weights)[0]
        status = "fs_access_denied_error" if draw.random() < 0.04 else "ok"
        folder = draw.choice(FOLDERS if draw.random() < 0.1 else FOLDERS[:-1])
        path = f"/{folder}/f{draw.randrange(100_000)}.{draw.choice(EXTENSIONS)}".replace('"', '""')
        target = f"{path}.bak" if operation == "fs_rename" else ""
        yield (
            f"<14>1 {stamp}Z q144-{draw.randrange(1, 5)} qumulo - - - {draw.choice(addresses)},"
            f'"CORP\\user{draw.randrange(USERS):03}",smb2,{operation},{status},'
            f'{1406247518306263450800 + number},"{path}","{target}"'
        ).encode()


def dictionaries() -> list[Dictionary]:
    """Assets by address and departments by user."""
    assets = [
        {"ip": f"10.{n >> 8}.{n & 255}.{host}", "asset": f"ws-{n:04}", "owner": f"team {n % 20}"}
        for n in range(ADDRESSES)
        for host in range(1, 1 + ASSETS // ADDRESSES)
    ]
    users = [{"user": f"user{n:03}", "department": f"department {n % 12}"} for n in range(USERS)]
    return [
        Dictionary("asset", "ip", "src_endpoint.ip", assets),
        Dictionary("department", "user", "actor.user.name", users),
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

    def timed(self, name: str, work: Callable[..., pl.DataFrame]) -> Callable[..., pl.DataFrame]:
        def timed(*arguments: object) -> pl.DataFrame:
            with self.stage(name):
                return work(*arguments)

        return timed


def run(batches: list[list[bytes]], watch: Stopwatch) -> int:
    """All batches through all stages; the bytes of the events."""
    found = dictionaries()
    encode = SERIALIZERS["ocsf-json"]
    size = 0
    for batch in batches:
        with watch.stage("frame"):
            raw = pl.DataFrame(
                {"row": range(len(batch)), "raw": batch},
                schema={"row": pl.UInt32, "raw": pl.Binary},
            )
        with watch.stage("parse, normalize"):
            events = formats.decode("qumulo", raw, {}).events
        with watch.stage("uid"):
            events = events.with_columns(
                pl.concat_str(pl.lit("AbCdEfGhIjK-3-"), "row").alias("metadata.uid")
            )
        with watch.stage("two dictionaries"):
            for dictionary in found:
                events = dictionary.apply(events)
        with watch.stage("json"):
            texts = encode(events, without=frozenset({"raw_data"}))
        with watch.stage("json with raw_data"):
            encode(events)
        with watch.stage("to bytes objects"):
            values = texts.to_list()
        size += sum(map(len, values))
    return size


def main() -> None:
    """Print microseconds of CPU per event for each stage."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=20_000)
    arguments = parser.parse_args()
    some = list(lines(min(arguments.lines, 200_000)))
    print(f"{sum(map(len, some)) / len(some):.0f} bytes a line on average")
    print(f"{'batch':>8} {'stage':<24} {'us per event':>12} {'us per batch':>12}")
    for size in (10, 100, 1000, arguments.batch):
        batches = [some[at : at + size] for at in range(0, len(some), size)][:500]
        rounds = max(1, arguments.lines // len(some)) if size == arguments.batch else 1
        run(batches[:2], Stopwatch())
        watch = Stopwatch()
        for _ in range(rounds):
            run(batches, watch)
        events = rounds * sum(map(len, batches))
        for name, seconds in watch.spent.items():
            each = seconds / events * 1e6
            print(f"{size:>8} {name:<24} {each:>12.3f} {each * size:>12.0f}")
        total = sum(
            seconds
            for name, seconds in watch.spent.items()
            if name in ("parse, normalize", "two dictionaries", "json")
        )
        print(f"{size:>8} {'total without raw_data':<24} {total / events * 1e6:>12.3f}\n")


if __name__ == "__main__":
    main()

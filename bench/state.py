"""State of a million entries: restored fresh, after many updates, and from local disk; its memory.

NORTHBOUND_ENTRIES and NORTHBOUND_UPDATES set how many entries there are and how often they are
written (1,000,000 and 10,000,000). The changelog is the product's own topic on an embedded broker;
the process that is measured runs the product's engine and sub-topology 2 on it.
"""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterable
from itertools import repeat
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from rich.console import Console

from app.broker import admin
from app.broker.server import EmbeddedKafka
from bench.measure import Measurement, show, write
from bench.options import Options
from bench.state_worker import RULE, TENANT
from topology.correlate import chunks
from topology.keys import group_key
from topology.topics import Names, StoreTopic, declare
from topology.uid import origin, record_uid

CASE = "state"
ENTRIES = int(os.environ.get("NORTHBOUND_ENTRIES", "1000000"))
UPDATES = int(os.environ.get("NORTHBOUND_UPDATES", "10000000"))
RATE = int(os.environ.get("NORTHBOUND_RATE", "150000"))
"""Updates a second, more than two workers make on two cores: what the broker's cleaner has not come
to yet is read by a restore, too, so without a pace the figure tells how busy the machine is."""
TAIL = 10_000
"""Updates that a restart from local disk has to read."""
PARTITIONS = 4
CHECKPOINTS = (4, 2, 1)
"""Restores after so many parts of the updates."""
FRESH_S, UPDATED_S, BYTES = 4.0, 15.0, 700.0
"""What issue 4 asks of the store in memory."""
STEP = 10_000
console = Console(highlight=False, soft_wrap=True)


def run(options: Options) -> int:
    """The whole case: 0 when the store in memory is within the limits and both kept all entries."""
    console.print(f"state: {ENTRIES:,} entries, {UPDATES:,} updates of them")
    Path("build").mkdir(exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="state-", dir="build")).absolute()
    try:
        with EmbeddedKafka(scratch / "broker", listen="127.0.0.1:0", advertise="localhost:0") as on:
            figures = _Bench(on.bootstrap, scratch, options.seed).measure()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    measurements = [
        Measurement(CASE, system, metric, value)
        for system, values in figures.items()
        for metric, value in values.items()
    ]
    show(CASE, measurements)
    failed = _check(figures)
    for line in failed:
        console.print(line)
    if not failed and (ENTRIES, UPDATES) == (1_000_000, 10_000_000):
        write(measurements)
    return 1 if failed else 0


def _check(figures: dict[str, dict[str, float]]) -> list[str]:
    memory = figures["memory"]
    limits = {
        "fresh_s": FRESH_S * max(1.0, ENTRIES / 1e6),
        "updated_s": UPDATED_S * max(1.0, ENTRIES / 1e6),
        "bytes_per_entry": BYTES,
    }
    failed = [
        f"memory: {metric} is {memory[metric]:,.1f}, expected at most {limit:,.1f}"
        for metric, limit in limits.items()
        if memory[metric] > limit
    ]
    failed += [
        f"{system}: {values['entries']:,.0f} entries, expected {ENTRIES:,}"
        for system, values in figures.items()
        if abs(values["entries"] - ENTRIES) > (0 if system == "memory" else ENTRIES / 20)
    ]
    return failed


class _Bench:
    """Writes a changelog as workers do, and starts processes on it."""

    def __init__(self, bootstrap: str, scratch: Path, seed: int) -> None:
        self._client = {"bootstrap.servers": bootstrap}
        self._scratch = scratch
        self._names = Names("state-")
        topics = declare(
            self._names,
            [],
            [],
            [StoreTopic("alerts"), StoreTopic("empty")],
            matches_partitions=PARTITIONS,
        )
        admin.ensure(admin.connect(self._client), topics, 1)
        # Not in the order of their names: batches of neighbours compress as no real ones do.
        order = random.Random(seed)
        self._parts = []
        for part in range(PARTITIONS):
            numbers = list(range(part, ENTRIES, PARTITIONS))
            order.shuffle(numbers)
            self._parts.append(entries(numbers))
        self._producer = Producer(
            {
                **self._client,
                "compression.type": "lz4",
                "linger.ms": 20,
                "queue.buffering.max.messages": 1_000_000,
                "log_level": 3,
            }
        )

    def measure(self) -> dict[str, dict[str, float]]:
        empty = self._worker("memory", "empty", "empty")
        self._write(ENTRIES)
        size = self._log_bytes()
        memory = self._figures(self._worker("memory", "fresh"), empty, "fresh_s")
        memory["log_bytes_per_entry"] = size / ENTRIES
        disk = self._figures(self._worker("disk", "local"), empty, "fresh_s")
        self._write(min(TAIL, ENTRIES))
        tail = self._worker("disk", "local")
        disk |= {"tail_restart_s": tail["seconds"], "tail_records": tail["records"]}
        done = 0
        for parts in CHECKPOINTS:
            started = time.monotonic()
            written = UPDATES // parts - done
            self._write(written, RATE)
            rate = written / max(1e-9, time.monotonic() - started)
            done += written
            found = self._worker("memory", "updated")
            memory["log_mib"] = self._log_bytes() / (1 << 20)
            console.print(
                f"after {done:,} updates (the last at {rate:,.0f}/s): {found['records']:,} records "
                f"read in {found['seconds']:.2f} s, {memory['log_mib']:.0f} MiB on the broker"
            )
            memory[f"records_read_after_1/{parts}"] = found["records"]
            memory["updated_s"] = found["seconds"]
        disk["updated_s"] = self._worker("disk", "anew")["seconds"]
        return {"memory": memory, "disk": disk}

    def _figures(
        self, found: dict[str, Any], empty: dict[str, Any], metric: str
    ) -> dict[str, float]:
        return {
            "entries": found["entries"],
            metric: found["seconds"],
            "of_it_changelog_s": found["restore"],
            "bytes_per_entry": (found["resident"] - empty["resident"]) / ENTRIES,
        }

    def _log_bytes(self) -> int:
        """What the changelog takes on the broker's disk."""
        pattern = f"**/{self._names.changelog('alerts')}-*/*.log"
        return sum(file.stat().st_size for file in (self._scratch / "broker").glob(pattern))

    def _write(self, count: int, rate: float = 1e9) -> None:
        """Write the entries one after the other, from the first again after the last."""
        topic = self._names.changelog("alerts")
        start, due = 0, time.monotonic()
        while count > 0:
            for part, (keys, values) in enumerate(self._parts):
                chosen = slice(start, start + min(STEP, -(-count // PARTITIONS)))
                deque(
                    map(
                        self._producer.produce,
                        repeat(topic),
                        values[chosen],
                        keys[chosen],
                        repeat(part),
                    ),
                    maxlen=0,
                )
            count -= PARTITIONS * STEP
            start = (start + STEP) % len(self._parts[0][0])
            while len(self._producer) > 500_000:
                self._producer.poll(0.05)
            self._producer.poll(0)
            due += PARTITIONS * STEP / rate
            time.sleep(max(0.0, due - time.monotonic()))
        if self._producer.flush(120):
            raise TimeoutError(f"{topic}: the broker did not take all records within 120 s")

    def _worker(self, store: str, name: str, changelog: str = "alerts") -> dict[str, Any]:
        """A process that takes over all partitions and tells what it cost."""
        options = {
            "client": self._client,
            "group": f"state-{name}",
            "topic": self._names.matches,
            "changelog": self._names.changelog(changelog),
            "store": store,
            "state": str(self._scratch / name),
        }
        done = subprocess.run(
            [sys.executable, "-m", "bench.state_worker", json.dumps(options)],
            stdout=subprocess.PIPE,
            check=True,
            timeout=200,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        console.print(f"{store}, {name}: {found}")
        return found


def entries(numbers: Iterable[int]) -> tuple[list[bytes], list[bytes]]:
    """Keys and values of groups that had one match each."""
    stem = origin("Sx1vQ2mXTk6cO3bH0pJ5Zg", "m9TzK2bVRd2r8h1Qe7uWxA")
    keys, values = [], []
    for number in numbers:
        uid = record_uid(stem, number % PARTITIONS, number).encode()
        times = struct.pack("<q", 1_790_000_000_000 + number)
        keys.append(group_key(TENANT, RULE, (f"user{number:08}",)) + chunks.FIRST)
        values.append(chunks.VERSION + chunks.piece(times, uid, b""))
    return keys, values

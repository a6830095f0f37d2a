"""What a commit costs with the number of partitions written to: `make bench CASE=commit`.

The engine's own transaction on the embedded broker: one record of 200 bytes to each partition of
one topic, the next offset of one input partition, commit, and then the rest of the engine's commit
interval: a transaction that comes at once waits for the markers of the one before. CPU is that of
the worker's process, the broker's is not counted. With each commit the broker writes a marker to
every partition that has a record in it. The time-out is the engine's own for so many partitions;
what it aborts is counted, the first transactions on a cold broker included.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from rich.console import Console

from app.broker import admin
from app.broker.server import EmbeddedKafka
from app.runtime.clients import KafkaClients
from app.runtime.errors import TransactionAborted
from app.runtime.settings import EngineSettings, transaction_timeout
from app.runtime.transaction import Transactions
from app.runtime.watchdog import Watchdog
from bench.measure import Measurement, show, write
from bench.options import Options
from topology.records import Output
from topology.topics import Topic

CASE = "commit"
PARTITIONS = (10, 100, 1_000)
COMMITS = 100
LONGEST_S = 25.0
"""Measured, after WARM_UP of them: so many, or for so long."""
INTERVAL_S = 0.1
WARM_UP = 5
RECORD = b"x" * 200
console = Console(highlight=False, soft_wrap=True)


def run(options: Options) -> int:
    """Measure each number of partitions; the best of so many runs counts."""
    found: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        kafka = EmbeddedKafka(Path(folder) / "kafka", listen="127.0.0.1:0", advertise="localhost:0")
        with kafka:
            for number in range(options.runs):
                for partitions in PARTITIONS:
                    name = f"commit-{partitions}-{number}"
                    figures = _measure(kafka.bootstrap, name, partitions)
                    best = found.get(partitions, figures)
                    found[partitions] = {key: min(best[key], figures[key]) for key in figures}
    measurements = [
        Measurement(CASE, f"{partitions} partitions", metric, round(value, 3))
        for partitions, figures in found.items()
        for metric, value in figures.items()
    ]
    show("a commit with a record to each partition", measurements)
    write(measurements)
    return 0


def _measure(bootstrap: str, name: str, partitions: int) -> dict[str, float]:
    """Milliseconds of a commit from its first record to its answer, and CPU of the process."""
    client = {"bootstrap.servers": bootstrap}
    topics = [Topic(name, "", "", partitions), Topic(f"{name}-input", "", "", 1)]
    admin.ensure(admin.connect(client), topics, replication=1)
    settings = EngineSettings(
        name=name,
        group=name,
        topics=(f"{name}-input",),
        instance=name,
        client=client,
        transaction_timeout=transaction_timeout(partitions),
    )
    watchdog = Watchdog()
    transactions = Transactions(settings, KafkaClients(), watchdog)
    transactions.start()
    consumer = Consumer({**client, "group.id": name})
    outputs = [Output(name, [RECORD], [b"key"], number) for number in range(partitions)]
    walls: list[float] = []
    spent, aborted = 0.0, 0
    try:
        until = time.monotonic() + LONGEST_S
        for number in range(WARM_UP + COMMITS):
            if len(walls) > 1 and time.monotonic() > until:
                break
            wall, cpu = time.monotonic(), time.process_time()
            offset = TopicPartition(f"{name}-input", 0, number + 1)
            try:
                transactions.produce(outputs)
                transactions.commit([offset], consumer.consumer_group_metadata())
            except TransactionAborted as reason:
                console.print(f"{partitions} partitions: {reason}")
                aborted += 1
                transactions.abort()
            taken = time.monotonic() - wall
            if number >= WARM_UP:
                walls.append(taken)
                spent += time.process_time() - cpu
            time.sleep(max(0.0, INTERVAL_S - taken))
    finally:
        consumer.close()
    p50, p99 = np.percentile(walls, [50, 99]) * 1e3
    console.print(f"{partitions} partitions: {len(walls)} commits, p50 {p50:.1f} ms")
    return {
        "p50_ms": float(p50),
        "p99_ms": float(p99),
        "cpu_ms": spent / len(walls) * 1e3,
        "aborted": aborted,
    }

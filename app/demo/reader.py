"""A consumer outside: reads a tenant's feed with nothing but its bundle, and keeps the books.

`python -m app.demo.reader BUNDLE FEED OUT` writes OUT/progress.json about four times a second and,
when it gets SIGTERM, OUT/outcomes.txt with one line `uid digest` for each record.
"""

import hashlib
import json
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaException

from app.broker.bundle import client_configuration

WINDOW = 20_000
"""Latest latencies that the percentiles are made of."""


def digest(raw: bytes) -> str:
    """Short hash of raw bytes, to see whether they arrived unaltered."""
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


class Books:
    """What was received so far."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._latencies: deque[int] = deque(maxlen=WINDOW)

    def add(self, event: dict[str, Any], received: int) -> None:
        """Take note of one event, received at `received` ms."""
        metadata = event["metadata"]
        raw = event.get("raw_data", "").encode()
        self.lines.append(f"{metadata['uid']} {digest(raw)}")
        self._latencies.append(received - metadata["logged_time"])

    def progress(self) -> dict[str, float]:
        """Count and latency percentiles in ms."""
        ordered = sorted(self._latencies) or [0]
        return {
            "count": len(self.lines),
            "p50": ordered[len(ordered) // 2],
            "p99": ordered[len(ordered) * 99 // 100],
        }


def main(bundle: Path, feed: str, out: Path) -> None:
    """Consume until SIGTERM."""
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stopping.append(number))
    configuration, topics = client_configuration(bundle)
    consumer = Consumer(configuration)
    consumer.subscribe([topics[feed]])
    books, written = Books(), 0.0
    while not stopping:
        for message in consumer.consume(10_000, timeout=0.1):
            if message.error():
                raise KafkaException(message.error())
            books.add(orjson.loads(message.value()), time.time_ns() // 1_000_000)
        if time.monotonic() - written > 0.25:
            written = time.monotonic()
            _write(out / "progress.json", json.dumps(books.progress()))
    _write(out / "outcomes.txt", "\n".join(books.lines))
    consumer.close()


def _write(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(file)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))

"""A read_committed consumer beside the run: when events of each raw partition came out."""

import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from app.reading import SILENT


@dataclass(slots=True)
class Fault:
    """Something that was done to the deployment at `time` (seconds since the epoch)."""

    what: str
    time: float
    recovered: bool = True
    """Whether the time until all partitions flow again counts as a recovery."""


@dataclass(slots=True)
class Arrivals:
    """Events in the order in which they came: received by the agent, and read here."""

    logged: list[float] = field(default_factory=list)
    read: list[float] = field(default_factory=list)


class Observer(threading.Thread):
    """Follows a tenant's events from outside any group."""

    def __init__(self, client: Mapping[str, Any], topic: str, partitions: Sequence[int]) -> None:
        super().__init__(daemon=True, name="observer")
        self._consumer = Consumer(
            {
                **client,
                "group.id": "chaos-observer",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "reconnect.backoff.max.ms": 200,
                "topic.metadata.refresh.interval.ms": 2_000,
                "fetch.error.backoff.ms": 50,
            },
            logger=SILENT,
        )
        self._consumer.assign(
            [TopicPartition(topic, number, OFFSET_BEGINNING) for number in partitions]
        )
        self._ended = threading.Event()
        self.arrivals: defaultdict[str, Arrivals] = defaultdict(Arrivals)
        self.count = 0

    def run(self) -> None:
        """Until `finish`."""
        while not self._ended.is_set():
            messages = self._consumer.consume(5_000, timeout=0.1)
            now = time.time()
            for message in messages:
                if message.error() is None:
                    metadata = orjson.loads(message.value() or b"{}")["metadata"]
                    partition = metadata["uid"].rsplit("-", 2)[1]
                    arrivals = self.arrivals[partition]
                    arrivals.logged.append(metadata["logged_time"] / 1000)
                    arrivals.read.append(now)
                    self.count += 1
        self._consumer.close()

    def finish(self) -> None:
        """Stop reading."""
        self._ended.set()
        self.join()

    def recovery(self, faults: Sequence[Fault]) -> float:
        """Longest time from a fault until an event received after it was out, on any partition."""
        longest = 0.0
        for fault in faults:
            if not fault.recovered:
                continue
            for arrivals in self.arrivals.values():
                after = [
                    read
                    for logged, read in zip(arrivals.logged, arrivals.read, strict=True)
                    if logged >= fault.time
                ]
                if after:
                    longest = max(longest, min(after) - fault.time)
        return longest

    def gap(self, start: float, end: float) -> float:
        """Longest time without any event between two moments."""
        moments = sorted({read for each in self.arrivals.values() for read in each.read})
        inside = [start, *(each for each in moments if start <= each <= end), end]
        return max(b - a for a, b in pairwise(inside))

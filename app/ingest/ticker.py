"""Time passing on quiet partitions, as records: a tick is a null value stamped with the present.

Watermarks advance by records alone, so that a replay gives the same alerts. Where no lines come,
ticks let windows close.

Several tickers may run. Each takes another's tick for a record and leaves that partition alone for
one interval, so together they tick no more often than one; a random phase keeps them apart.
"""

import asyncio
import logging
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final

from confluent_kafka import KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.ingest.complaints import quietly
from topology.topics import Partition

log = logging.getLogger(__name__)

TICK_KEY: Final = b"tick"
REQUEST_S: Final = 10.0
PROBE_S: Final = 5.0
"""Kafka is asked at least so often, so that `reachable` is fresh."""
LOOK_S: Final = 0.2
PARTITIONS_S: Final = 60.0
"""How often the partitions of a topic are read anew."""


class Quiet:
    """Which partitions are quiet, judged by their end offsets at two checks in a row."""

    def __init__(self) -> None:
        self._ends: dict[Partition, int] = {}

    def check(self, ends: Mapping[Partition, int]) -> list[Partition]:
        """Partitions without a new record since the last check.

        Partitions that never had a record, or are met for the first time, are not among them.
        """
        due = [part for part, end in ends.items() if end > 0 and self._ends.get(part) == end]
        self._ends.update(ends)
        return due

    def ticked(self, part: Partition) -> None:
        """Its end will move by one on our own account."""
        self._ends[part] += 1


class Ticker:
    """Ticks for the raw topics in `intervals` (topic -> seconds of quiet).

    `busy` says whether lines for a topic wait in this process: then it is not quiet, however
    still its partitions are.
    """

    def __init__(
        self, client: Mapping[str, Any], intervals: Mapping[str, float], busy: Callable[[str], bool]
    ) -> None:
        self.written: Counter[str] = Counter()
        """Ticks written so far, by topic."""
        self.reachable_at = -math.inf
        self._intervals = dict(intervals)
        self._busy = busy
        self._quiet = Quiet()
        self._counts: dict[str, int] = {}
        self._counts_at = -PARTITIONS_S
        self._ended = False
        common = {**client, **quietly(), "reconnect.backoff.max.ms": 1_000}
        self._client = common
        self._admin = AdminClient(common)
        # A tick that cannot be written now has no use later.
        self._producer = Producer(
            {
                **common,
                "acks": "all",
                "linger.ms": 0,
                "message.timeout.ms": 5_000,
                "on_delivery": self._delivered,
            }
        )

    @property
    def reachable(self) -> bool:
        """Whether Kafka has answered lately."""
        return time.monotonic() - self.reachable_at < PROBE_S + REQUEST_S

    async def run(self) -> None:
        """Until cancelled."""
        try:
            await self._run()
        finally:
            self._ended = True

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        phase = random.random()  # noqa: S311  # nothing secret
        due = {topic: loop.time() + phase * each for topic, each in self._intervals.items()}
        while True:
            now = loop.time()
            topics = {topic for topic, at in due.items() if at <= now}
            due.update({topic: now + self._intervals[topic] for topic in topics})
            try:
                ends = await asyncio.to_thread(self.ends)
                self.write({part: end for part, end in ends.items() if part[0] in topics})
            except (KafkaException, FutureTimeoutError) as error:
                # What it knows of leaders may be older than a broker's crash.
                self._admin = AdminClient(self._client)
                log.warning("Kafka does not say where its raw topics end. error=%s", error)
            except Exception:  # no thread to be had, say: windows would never close again
                log.exception("No ticks are written for now.")
            wait = min([now + PROBE_S, *due.values()]) - loop.time()
            await asyncio.sleep(max(0.0, wait))

    def ends(self) -> dict[Partition, int]:
        """End offsets of all partitions of all topics, in one request. Blocks."""
        if time.monotonic() - self._counts_at > PARTITIONS_S:
            found = self._admin.list_topics(timeout=REQUEST_S).topics
            self._counts = {
                topic: len(found[topic].partitions) for topic in self._intervals if topic in found
            }
            self._counts_at = time.monotonic()
        wanted = {
            TopicPartition(topic, number): OffsetSpec.latest()
            for topic, count in self._counts.items()
            for number in range(count)
        }
        if not wanted:
            self._counts_at = -PARTITIONS_S
            return {}
        futures = self._admin.list_offsets(wanted, request_timeout=REQUEST_S)
        until = time.monotonic() + 2 * REQUEST_S
        ends = {
            (part.topic, part.partition): self._result(found, until).offset
            for part, found in futures.items()
        }
        self.reachable_at = time.monotonic()
        if any(end < 0 for end in ends.values()):
            self._counts_at = -PARTITIONS_S  # a leader went away; asking anew tells who leads now
        return ends

    def _result(self, found: Any, until: float) -> Any:
        """Of a future; who stops while Kafka is away need not wait for it."""
        while True:
            try:
                return found.result(LOOK_S)
            except FutureTimeoutError:
                if self._ended or time.monotonic() > until:
                    raise

    def write(self, ends: Mapping[Partition, int]) -> None:
        """A tick on every quiet partition."""
        for part in self._quiet.check(ends):
            topic, number = part
            if self._busy(topic):
                continue
            try:
                self._producer.produce(topic, None, TICK_KEY, number)
            except (BufferError, KafkaException) as error:
                log.warning("No tick was written. topic=%s error=%s", topic, error)
            else:
                self._quiet.ticked(part)
        self._producer.poll(0)
        self._admin.poll(0)

    def _delivered(self, error: object, message: Message) -> None:
        self.written[message.topic()] += error is None

"""At which offsets an engine starts: where its group has committed, or behind records that Kafka
does not have any more.

Behind the metadata of each committed offset stands the time stamp of the record before it: by that
an engine goes on in a topic that ends before what was read of it.
"""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from app.offsets import Begin, begin_at
from app.runtime.batch import latest
from app.runtime.changelog import Offsets
from app.runtime.errors import EngineError
from app.runtime.settings import EngineSettings
from app.runtime.statistics import EngineStatistics
from app.runtime.watchdog import Watchdog
from topology.records import Batch, Position
from topology.topics import Partition

log = logging.getLogger("northbound.runtime")

STAMP = "\n@"
"""Behind the metadata of a committed offset: the time stamp of the record before it, in ms."""
SLICE = 5.0


class StartOffsets:
    """Of the partitions that an engine owns. Raises EngineError."""

    def __init__(
        self,
        settings: EngineSettings,
        offsets: Offsets,
        watchdog: Watchdog,
        statistics: EngineStatistics,
    ) -> None:
        self._settings = settings
        self._offsets = offsets
        self._watchdog = watchdog
        self._statistics = statistics
        self._stamps: dict[Partition, int] = {}
        self.cut: set[Partition] = set()
        """Whose committed offset lies beyond the end. The new one is committed at once: after a
        restart, behind what is written meanwhile, nothing would show that there was a gap."""

    def note(self, done: Batch) -> None:
        """These records are done."""
        self._stamps |= latest(done)

    def to_commit(self, where: Partition, position: Position) -> TopicPartition:
        """The position with what is to be known of it at the next start."""
        stamp = self._stamps.get(where)
        text = position.metadata if stamp is None else f"{position.metadata}{STAMP}{stamp}"
        return TopicPartition(*where, position.offset, text)

    def clear(self) -> None:
        """No partition is owned any more."""
        self._stamps = {}
        self.cut = set()

    def positions(
        self,
        consumer: Any,
        partitions: Sequence[Partition],
        cut_off: Collection[Partition] = (),
    ) -> dict[Partition, Position]:
        """Where to go on in these partitions, with the metadata of that offset. `cut_off`: those
        that may have lost their end, although they reach further by now."""
        found = self._read_committed(consumer, partitions)
        bounds = self._offsets.bounds(partitions)
        positions = {}
        anew: set[str] = set()
        for where, committed in found.items():
            low, high = bounds[where]
            offset = committed.offset
            metadata, _, stamp = (committed.metadata or "").partition(STAMP)
            if stamp:
                self._stamps[where] = int(stamp)
            begin, cut = self._begin(consumer, where, offset, (low, high), lost=where in cut_off)
            if offset < 0:  # never committed
                metadata = ""
            elif cut:
                self.cut.add(where)
                log.error(
                    "The topic is shorter than what was read of it: its end was cut off, or it was "
                    "made anew. Reading goes on with what is newer than the record read last. "
                    "topic=%s partition=%d committed=%d end=%d begin=%d",
                    *where,
                    offset,
                    high,
                    begin,
                )
                metadata = metadata if begin > low else ""
            elif offset < begin:
                self._statistics.skipped += begin - offset
                log.error(
                    "Records were removed before they were read; raise the topic's retention. "
                    "topic=%s partition=%d first=%d count=%d",
                    *where,
                    offset,
                    begin - offset,
                )
            if begin != offset:
                anew.add(where[0])
            positions[where] = Position(begin, metadata)
        for topic in sorted(anew):
            self._settings.on_new_topic(topic)
        return positions

    def _begin(
        self,
        consumer: Any,
        where: Partition,
        offset: int,
        bounds: tuple[int, int],
        *,
        lost: bool,
    ) -> Begin:
        stamp = self._stamps.get(where)
        limit = self._settings.call_timeout
        with self._watchdog.guard(f"{self._settings.name}: offsets for times", limit + 2):
            try:
                return begin_at(consumer, where, offset, stamp, bounds, limit, lost=lost)
            except KafkaException as error:
                raise EngineError(
                    f"Offsets could not be listed within {limit:g} s: {error}"
                ) from error

    def _read_committed(
        self, consumer: Any, partitions: Sequence[Partition]
    ) -> dict[Partition, TopicPartition]:
        if not partitions:
            return {}
        wanted = [TopicPartition(topic, number) for topic, number in partitions]
        limit = self._settings.start_timeout
        deadline = time.monotonic() + limit
        with self._watchdog.guard(f"{self._settings.name}: committed", limit + SLICE):
            while True:
                try:
                    answer = consumer.committed(wanted, SLICE)
                    for one in answer:
                        if one.error is not None:
                            raise KafkaException(one.error)
                    return {(one.topic, one.partition): one for one in answer}
                except KafkaException as error:
                    if time.monotonic() > deadline:
                        raise EngineError(
                            f"Committed offsets of group {self._settings.group} were not to be "
                            f"had within {limit:g} s: {error.args[0].str()}"
                        ) from error

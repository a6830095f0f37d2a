"""The topics of another cluster: which partitions they have, and where reading them goes on."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import (
    OFFSET_BEGINNING,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    Message,
    TopicPartition,
)

from app.ingest.complaints import quietly
from app.ingest.connectors.copy_error import CopyError
from app.ingest.connectors.source_offsets import AT_ONCE, CALL_S, Place, Position
from app.offsets import begin_at

log = logging.getLogger(__name__)

GATHER_S: Final = 0.1
PARTITIONS_S: Final = 30.0
"""How often it is looked whether a topic has new partitions."""


class SourceTopics:
    """Read by one consumer from `open` to `close`, in which nothing is committed. Raises
    KafkaException and CopyError.

    `theirs`: librdkafka configuration of the other cluster.
    """

    def __init__(self, theirs: Mapping[str, Any], topics: Sequence[str], copy: str) -> None:
        self.positions: dict[Place, Position] = {}
        """Of the partitions that are read, behind what was copied of them."""
        self.cluster = ""
        """Its id."""
        self._theirs, self._topics, self._copy = theirs, topics, copy
        self._consumer: Any = None
        self._looked = 0.0

    def open(self) -> None:
        """Connect; no partition is read yet."""
        self.positions = {}
        self._looked = time.monotonic() - PARTITIONS_S
        self._consumer = Consumer(
            {
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                **self._theirs,
                "group.id": self._copy,  # is asked for by librdkafka; nothing is committed there
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                **quietly(),
            }
        )

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def find(self, saved: Mapping[tuple[str, Place], Position], *, at_end: bool) -> bool:
        """Read partitions that are new, too, if it is time to look for them; whether there are any.

        Each begins where it was `saved`, else at its beginning, or all of them at their ends.
        """
        if time.monotonic() - self._looked < PARTITIONS_S:
            return False
        self._looked = time.monotonic()
        new = self._new()
        for place in new:
            begin = saved.get((self.cluster, place), Position(OFFSET_BEGINNING))
            self.positions[place] = Position(self._bounds(place)[1]) if at_end else begin
        if new:
            self._assign()
        return bool(new)

    def read(self) -> list[Message]:
        """What comes within a moment: records, and events that are for `look_at`."""
        return list(self._consumer.consume(AT_ONCE, GATHER_S))

    def look_at(self, message: Message) -> tuple[str, dict[Place, Position]] | None:
        """An event that is no record. Where the next record of a partition is not there, reading
        goes on elsewhere: which fault that is, and the new position."""
        error = message.error()
        if error.code() != KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001  # their public code
            log.warning("The other cluster: %s. copy=%s", error.str(), self._copy)
            return None
        place = message.topic(), message.partition()
        low, high = self._bounds(place)
        wanted, stamp = self.positions.get(place, Position(low))
        if wanted < low:
            fault, begin = "gone", low
            log.error(
                "Records are gone from the other cluster before they were copied; copying goes on "
                "at the first that is there. copy=%s topic=%s partition=%d wanted=%d first=%d",
                self._copy,
                *place,
                wanted,
                low,
            )
        else:
            fault, bounds = "cut_off", (low, high)
            begin, _ = begin_at(self._consumer, place, wanted, stamp, bounds, CALL_S, lost=True)
            log.error(
                "The topic on the other cluster is shorter than what was copied of it: its end was "
                "cut off, or it was made anew. Copying goes on with what is newer than the record "
                "copied last. copy=%s topic=%s partition=%d wanted=%d end=%d begin=%d",
                self._copy,
                *place,
                wanted,
                high,
                begin,
            )
        self.positions[place] = Position(begin, stamp)
        self._assign()
        return fault, {place: self.positions[place]}

    def _new(self) -> list[Place]:
        found = self._consumer.list_topics(timeout=CALL_S)
        if not found.cluster_id or self.cluster not in ("", found.cluster_id):
            # Offsets are kept by cluster: with a wrong one records would come twice, or not at all.
            before, self.cluster = self.cluster, ""
            raise CopyError(f"the other cluster has the id {found.cluster_id!r}, had {before!r}")
        self.cluster = found.cluster_id
        places = []
        for topic in self._topics:
            metadata = found.topics.get(topic)
            if metadata is None or metadata.error is not None:
                log.warning("The other cluster shows no topic %s. copy=%s", topic, self._copy)
                continue
            places += [(topic, number) for number in metadata.partitions]
        return sorted(set(places) - set(self.positions))

    def _bounds(self, place: Place) -> tuple[int, int]:
        """First and next offset."""
        found = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=CALL_S)
        if found is None:
            raise CopyError(f"the other cluster does not say where {place[0]} [{place[1]}] ends")
        return int(found[0]), int(found[1])

    def _assign(self) -> None:
        self._consumer.assign(
            [TopicPartition(*place, at.offset) for place, at in self.positions.items()]
        )


def reached(messages: Sequence[Message]) -> dict[Place, Position]:
    """Where the partitions of these records stand behind them."""
    found: dict[Place, Position] = {}
    for message in reversed(messages):
        place = message.topic(), message.partition()
        if place not in found:
            kind, stamp = message.timestamp()
            known = kind != TIMESTAMP_NOT_AVAILABLE
            found[place] = Position(message.offset() + 1, stamp if known else None)
    return found

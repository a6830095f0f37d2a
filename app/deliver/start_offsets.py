"""At which offset a lane starts in a partition: where its group has committed, at the end that the
delivery is to begin at, or behind records that Kafka does not have any more.

With each committed offset goes the time stamp of the record that was read last, in ms, as metadata:
by that a lane goes on in a feed that is shorter than what was delivered of it.
"""

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from app.deliver.positions import Place
from app.deliver.settings import DeliverySettings
from app.deliver.totals import Totals
from app.offsets import begin_at

log = logging.getLogger(__name__)

CALL_S: Final = 15.0


class StartOffsets:
    """Asks the lane's consumer. Raises KafkaException."""

    def __init__(self, settings: DeliverySettings, totals: Totals) -> None:
        self._settings = settings
        self._totals = totals
        self._stamps: dict[Place, int] = {}
        """Time stamp of the record that was read last, in ms."""
        self._known: dict[str, int] = {}
        """With `from_end`, the partitions that a feed had when the delivery began with it."""

    def note(self, messages: Sequence[Message], places: Collection[Place]) -> None:
        """The time stamps of the last records; looks at no more of them than it has to."""
        noted: set[Place] = set()
        for message in reversed(messages):
            place = message.topic(), message.partition()
            if place not in noted:
                noted.add(place)
                self._stamps[place] = message.timestamp()[1]
                if len(noted) == len(places):
                    return

    def to_commit(self, offsets: Mapping[Place, int]) -> list[TopicPartition]:
        """These offsets, each with what is to be known of it at the next start."""
        return [
            TopicPartition(*place, offset, str(self._stamps.get(place, "")))
            for place, offset in offsets.items()
        ]

    def assigned(
        self, consumer: Any, partitions: list[TopicPartition]
    ) -> tuple[dict[Place, int], dict[Place, int]]:
        """Where partitions begin that are new to the lane; and, of these, those that the group has
        never committed."""
        begin: dict[Place, int] = {}
        fresh: dict[Place, int] = {}
        for each in _committed(consumer, partitions):
            place, offset = (each.topic, each.partition), each.offset
            if _stamped(each):
                self._stamps[place] = int(each.metadata)
            at_end = self._settings.from_end and not self._added(consumer, place)
            if offset < 0:
                low, high = self._bounds(consumer, each)
                offset = fresh[place] = high if at_end else low
            begin[place] = offset
        return begin, fresh

    def _added(self, consumer: Any, place: Place) -> bool:
        """Whether a partition came to a feed after the delivery had begun with it. Its records are
        newer than that, also those that came before anybody knew of it."""
        topic, number = place
        if topic not in self._known:
            found = consumer.list_topics(topic, timeout=CALL_S).topics[topic]
            if found.error is not None or not found.partitions:
                unknown = KafkaError(KafkaError.LEADER_NOT_AVAILABLE)
                raise KafkaException(found.error or unknown)
            every = [TopicPartition(topic, each) for each in found.partitions]
            # Another lane may have begun just now; one that has delivered something did so before.
            begun = any(map(_stamped, _committed(consumer, every)))
            self._known[topic] = 0 if begun else len(every)
        return number >= self._known[topic]

    def behind(self, consumer: Any, place: Place, wanted: int) -> int:
        """Where to go on when the record `wanted` next is not there: retention took it, or the end
        of the feed is gone."""
        low, high = bounds = self._bounds(consumer, TopicPartition(*place))
        stamp = self._stamps.get(place)
        begin, _ = begin_at(consumer, place, wanted, stamp, bounds, CALL_S, lost=True)
        if wanted < low:
            log.error(
                "Records were removed by retention before they were delivered. "
                "delivery=%s topic=%s partition=%d offsets=%d",
                self._settings.name,
                *place,
                low - wanted,
            )
            self._totals.expired += low - wanted
            return begin
        log.error(
            "The feed is shorter than what was delivered of it: its end was cut off, or it was "
            "made anew. Delivering goes on with what is newer than the record read last. "
            "delivery=%s topic=%s partition=%d delivered=%d end=%d begin=%d",
            self._settings.name,
            *place,
            wanted,
            high,
            begin,
        )
        return begin

    def _bounds(self, consumer: Any, partition: TopicPartition) -> tuple[int, int]:
        """First and next offset; a topic that is new may have no leaders yet."""
        until = time.monotonic() + CALL_S
        while True:
            try:
                found = consumer.get_watermark_offsets(partition, timeout=CALL_S)
                if found is not None:
                    return found[0], found[1]
            except KafkaException:
                if time.monotonic() > until:
                    raise
            if time.monotonic() > until:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001
            time.sleep(0.1)


def _committed(consumer: Any, partitions: list[TopicPartition]) -> list[TopicPartition]:
    """What the group has committed of each. An error is no sign that it is nothing."""
    found: list[TopicPartition] = consumer.committed(partitions, timeout=CALL_S)
    for each in found:
        if each.error is not None:
            raise KafkaException(each.error)
    return found


def _stamped(committed: TopicPartition) -> bool:
    """Whether a time stamp is there; other tools that set an offset leave it out."""
    return (committed.metadata or "").isdecimal()

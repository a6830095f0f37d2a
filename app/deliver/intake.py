"""A lane's records from Kafka: committed ones only, from where the receiver has everything.

Blocks. It is a member of the delivery's consumer group from `open` to `close`; with nothing read
for a while it has to be `held` so that Kafka sees it alive.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from app.deliver.pauses import Held
from app.deliver.positions import Place, Positions
from app.deliver.settings import DeliverySettings
from app.deliver.start_offsets import StartOffsets
from app.deliver.totals import Totals
from app.ingest.complaints import Seldom, quietly

log = logging.getLogger(__name__)

LOOK_S: Final = 10.0
"""How often Kafka is asked how far behind a lane is that fetches nothing."""
ASK_S: Final = 2.0

CONSUMER: Final[Mapping[str, Any]] = {
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "error",  # what retention has removed is said, not skipped in silence
    "partition.assignment.strategy": "cooperative-sticky",
    "session.timeout.ms": 6000,
    "max.poll.interval.ms": 300_000,
    "queued.max.messages.kbytes": 16_384,  # many deliveries may wait for their receivers
    "fetch.wait.max.ms": 100,
    "enable.partition.eof": True,  # tells where a partition ends behind the marks of transactions
    "allow.auto.create.topics": False,
    "topic.metadata.refresh.interval.ms": 30_000,  # partitions that a feed gets are read soon
}


class Intake:
    """`leaving` is called before partitions go to another lane; `held` says which topics are to be
    left alone for now, and the lane keeps its partitions of them. Raises KafkaException."""

    def __init__(
        self,
        settings: DeliverySettings,
        client: Mapping[str, Any],
        totals: Totals,
        leaving: Callable[[], None],
        held: Held,
    ) -> None:
        self.positions = Positions()
        self.polled = 0.0
        """When Kafka last saw it alive (time.monotonic())."""
        self._settings = settings
        own = {"group.id": settings.group, "on_commit": self._answered}
        self._client = {**CONSUMER, **client, **own, **quietly()}
        self._seldom = Seldom()
        self._totals = totals
        self._leaving = leaving
        self._held = held
        self._consumer: Any = None
        self._trouble: KafkaException | None = None
        self._holding = False
        self._stopped: set[Place] = set()
        self._looked = 0.0
        self._ends: dict[Place, int] = {}
        self._moved: dict[Place, int] = {}
        """Where partitions go on whose next record was not there."""
        self._starts = StartOffsets(settings, totals)

    def open(self) -> None:
        """Join the group."""
        self.positions = Positions()
        self._holding, self._trouble = False, None
        self._stopped.clear()
        self._ends.clear()
        self._moved.clear()
        self._consumer = Consumer(self._client)
        self._consumer.subscribe(
            [feed.topic for feed in self._settings.feeds],
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._gone,
        )

    def close(self) -> None:
        """Leave it."""
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None
            self._totals.lag = None

    @property
    def is_open(self) -> bool:
        """Whether it is a member."""
        return self._consumer is not None

    @property
    def news(self) -> bool:
        """Whether offsets without records have been passed."""
        return bool(self._ends or self._moved)

    def read(self, most: int, seconds: float) -> list[Message]:
        """Records, in the order of their partitions; waits so long for the first."""
        self._holding = False
        self._stop_or_go()
        first = self._poll(seconds)
        if first is None:
            return []
        messages = [first]
        if most > 1:
            messages += self._consumer.consume(most - 1, 0)
        if any(error is not None for error in map(Message.error, messages)):
            for message in messages:
                if message.error() is not None:
                    self._look_at(message)
            messages = [message for message in messages if message.error() is None]
        self._starts.note(messages, self.positions.places)
        return self._without_stopped(messages) if self._stopped else messages

    def reached(self) -> dict[Place, int]:
        """Where the partitions stand behind all that was read."""
        found = {
            (each.topic, each.partition): each.offset
            for each in self._consumer.position(_partitions(self.positions.places))
            if each.offset >= 0
        }
        for place, end in self._ends.items():
            found[place] = max(end, found.get(place, end))
        self._ends.clear()
        for place in self._stopped:
            found.pop(place, None)
        for place, begin in self._moved.items():
            found.setdefault(place, begin)
        self._moved.clear()
        return found

    def rewind(self) -> None:
        """Read again what the receiver does not have."""
        self._ends.clear()
        self._moved.clear()
        for place, offset in self.positions.done.items():
            self._consumer.seek(TopicPartition(*place, offset))

    def hold(self) -> None:
        """Read nothing, but be seen."""
        self._holding = True
        self._stop_or_go()
        message = self._poll(0)
        if message is not None and message.error() is None:
            self._without_stopped([message])
        elif message is not None:
            self._look_at(message)
        if self.polled - self._looked >= LOOK_S:
            self.look(ask=True)

    def commit(self, *, wait: bool = False) -> None:
        """How far the receiver has everything."""
        offsets = self.positions.due()
        if not offsets:
            return
        try:
            self._consumer.commit(offsets=self._starts.to_commit(offsets), asynchronous=not wait)
        except KafkaException as error:
            self._refused(offsets, error.args[0])

    def _answered(self, error: KafkaError | None, partitions: Iterable[TopicPartition]) -> None:
        """What became of a commit that was not waited for."""
        for each in partitions:
            why = error if each.error is None else each.error
            if why is not None:
                self._refused([(each.topic, each.partition)], why)

    def _refused(self, places: Iterable[Place], why: KafkaError) -> None:
        """Committed again, also where nothing more comes: a restart would else repeat it all."""
        if self._seldom.due(why.code()):
            log.warning("Offsets not committed. delivery=%s %s", self._settings.name, why)
        self.positions.again(places)

    def look(self, *, ask: bool = False) -> None:
        """How far behind the lane is, as the consumer knows by what it fetched last, or Kafka."""
        self._looked = time.monotonic()
        lag = 0
        for place, done in self.positions.done.items():
            where = TopicPartition(*place)
            try:
                found = self._consumer.get_watermark_offsets(where, timeout=ASK_S, cached=not ask)
            except KafkaException:
                return  # asked again
            if found is None or found[1] < done:
                return
            lag += found[1] - done
        self._totals.lag = lag if self.positions.done else None

    def _stop_or_go(self) -> None:
        """Fetch from no partition that is to be left alone, and from every other."""
        wanted = {each for each in self.positions.places if self._holding or self._held(each[0])}
        if stop := wanted - self._stopped:
            self._consumer.pause(_partitions(stop))
        if go := self._stopped - wanted:
            self._consumer.resume(_partitions(go))
        self._stopped = wanted

    def _without_stopped(self, messages: list[Message]) -> list[Message]:
        """Records that came nevertheless are read again later."""
        kept = []
        again: dict[Place, int] = {}
        for message in messages:
            place = message.topic(), message.partition()
            if place in self._stopped:
                again.setdefault(place, message.offset())
            else:
                kept.append(message)
        for place, offset in again.items():
            self._consumer.seek(TopicPartition(*place, offset))
        return kept

    def _poll(self, seconds: float) -> Message | None:
        """One record, after what became of the group. Raises what went wrong with that: an error
        that leaves a callback comes out of confluent-kafka as something that is no exception."""
        message = self._consumer.poll(seconds)
        self.polled = time.monotonic()
        if self._trouble is not None:
            raise self._trouble
        return message

    def _look_at(self, message: Message) -> None:
        """What comes from the consumer and is no record."""
        error = message.error()
        place = message.topic(), message.partition()
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # their public codes
            self._ends[place] = message.offset()
        elif error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            self._begin_anew(place)
        else:
            log.warning("Kafka: %s. delivery=%s", error.str(), self._settings.name)

    def _begin_anew(self, place: Place) -> None:
        """The next record is not there.

        That the lane has moved is noted behind what is under way, which is read again if it is
        lost, and is committed then: after a restart, behind what is written meanwhile, nothing
        would show that there was a gap.
        """
        if place not in self.positions.places:
            return
        wanted = self._moved.get(place, self.positions.read(place))
        begin = self._starts.behind(self._consumer, place, wanted)
        self._consumer.incremental_unassign([TopicPartition(*place)])
        self._consumer.incremental_assign([TopicPartition(*place, begin)])
        self._stopped.discard(place)
        self._ends.pop(place, None)
        self._moved[place] = begin

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Begin each where it was committed, or where the delivery is to begin."""
        if not partitions:
            return
        try:
            self._begin(consumer, partitions)
        except KafkaException as error:
            self._trouble = error

    def _begin(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        begin, fresh = self._starts.assigned(consumer, partitions)
        consumer.incremental_assign([TopicPartition(*where, at) for where, at in begin.items()])
        self.positions.assign(begin)
        # librdkafka remembers that a partition was paused when it was last here.
        consumer.resume(_partitions(begin))
        self._stop_or_go()
        if self._settings.from_end and fresh:
            # Else a restart before the first record would begin at an end further on.
            chosen = [TopicPartition(*where, at) for where, at in fresh.items()]
            consumer.commit(offsets=chosen, asynchronous=False)

    def _revoked(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Another lane gets these."""
        self._leaving()
        self.commit(wait=True)
        self._gone(consumer, partitions)

    def _gone(self, _consumer: Any, partitions: list[TopicPartition]) -> None:
        """Another lane may have these already."""
        gone = {(each.topic, each.partition) for each in partitions}
        self.positions.revoke(gone)
        self._stopped -= gone
        for place in gone:
            self._ends.pop(place, None)
            self._moved.pop(place, None)


def _partitions(places: Iterable[Place]) -> list[TopicPartition]:
    return [TopicPartition(*place) for place in places]

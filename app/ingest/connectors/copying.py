"""Records of topics on another cluster into a raw topic here, each exactly once. Blocks.

One transaction on our cluster holds the records and, in a compacted topic, how far they reach on
the other one: the offsets of another cluster's group cannot be part of a transaction here. After a
failure of any kind a new producer with the same transactional id first ends what the last one left,
then reads the offsets that were committed, and goes on there.
"""

import logging
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress, repeat
from operator import length_hint
from typing import Any, Final, TypeAlias

import orjson
from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from app.ingest.complaints import quietly
from app.ingest.publisher import MAX_MESSAGE, PERMANENT

log = logging.getLogger(__name__)

MOST: Final = 10_000
"""Records of one transaction."""
GATHER_S: Final = 0.1
CALL_S: Final = 30.0
TURN_S: Final = 1.0
PARTITIONS_S: Final = 30.0
"""How often it is looked whether a topic has new partitions."""
RETRY_S: Final = 2.0
FENCED_S: Final = 30.0
STALLED_S: Final = 5.0
TRANSACTION_MS: Final = 60_000

Place: TypeAlias = tuple[str, int]
"""A topic of the other cluster and a partition of it."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was copied so far. Replaced as a whole, so that a reader never sees half of it."""

    copied: int = 0
    bytes: int = 0
    empty: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    transaction_s: float = 0.0


class CopyError(Exception):
    """This session cannot go on; the next one begins with what was committed."""


class Copy:
    """One copy in a thread of its own. `ours` and `theirs`: librdkafka configuration."""

    def __init__(
        self,
        ours: dict[str, Any],
        theirs: dict[str, Any],
        topics: Sequence[str],
        raw: str,
        *,
        name: str,
        offsets_topic: str,
        from_end: bool,
    ) -> None:
        self.totals = Totals()
        self._ours, self._theirs = ours, theirs
        self._topics, self._raw = list(topics), raw
        self._name, self._offsets_topic = name, offsets_topic
        self._from_end = from_end
        self._cluster = ""
        self._never: set[bytes] = set()  # values that our broker has refused
        self._turned_down = False  # our broker has refused something of this transaction
        self._one_by_one = False  # what the next session does
        self._alone = False  # what this one does
        self._waiting_since: float | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after the transaction in hand; one that does not end is aborted by the broker."""
        self._stop.set()
        self._thread.join(seconds)

    @property
    def stalled(self) -> bool:
        """Whether our cluster has kept a transaction waiting."""
        since = self._waiting_since
        return since is not None and time.monotonic() - since > STALLED_S

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = RETRY_S
            try:
                self._session()
            except (KafkaException, CopyError, BufferError) as error:
                cause = error.args[0]
                fenced = isinstance(cause, KafkaError) and cause.code() in (
                    KafkaError._FENCED,  # noqa: SLF001  # the names of librdkafka's own codes
                    KafkaError.PRODUCER_FENCED,
                    KafkaError.INVALID_PRODUCER_EPOCH,
                )
                if fenced:
                    wait = FENCED_S
                    log.error("Another agent copies this too. copy=%s", self._name)  # noqa: TRY400
                else:
                    log.warning("Copying begins anew. copy=%s error=%s", self._name, error)
                self._count(faults=Counter({"fenced" if fenced else "session": 1}))
            except Exception:
                log.exception("Copying failed. copy=%s", self._name)
            self._stop.wait(wait)

    def _session(self) -> None:
        self._waiting_since = self._waiting_since or time.monotonic()
        self._alone = self._one_by_one
        producer = Producer(
            {
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "delivery.report.only.error": True,
                **self._ours,
                "transactional.id": self._name,
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.max.bytes": MAX_MESSAGE,
                "linger.ms": 5,
                "batch.num.messages": 1 if self._alone else 10_000,
                "queue.buffering.max.messages": 10 * MOST,
                "on_delivery": self._refused,
                **quietly(),
            }
        )
        producer.init_transactions(CALL_S)
        saved = self._saved(producer)
        self._waiting_since = None
        consumer = Consumer(
            {
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 100,
                **self._theirs,
                "group.id": self._name,  # is asked for by librdkafka; nothing is committed there
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                **quietly(),
            }
        )
        try:
            self._follow(producer, consumer, saved)
        finally:
            consumer.close()

    def _saved(self, producer: Producer) -> dict[bytes, int]:
        """Offsets as committed. A mark of our own, committed first, tells when all were read."""
        mark = uuid.uuid4().hex.encode()
        key = orjson.dumps([self._name])
        producer.begin_transaction()
        producer.produce(self._offsets_topic, mark, key)
        producer.commit_transaction(CALL_S)
        consumer = Consumer(
            {
                "fetch.wait.max.ms": 50,
                **self._ours,
                "group.id": self._name,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                **quietly(),
            }
        )
        found: dict[bytes, int] = {}
        try:
            consumer.assign([TopicPartition(self._offsets_topic, 0, OFFSET_BEGINNING)])
            deadline = time.monotonic() + 2 * CALL_S
            while time.monotonic() < deadline and not self._stop.is_set():
                for message in consumer.consume(MOST, 0.5):
                    if message.error() is not None:
                        continue
                    if message.value() == mark:
                        return found
                    if message.key() != key and self._mine(message.key()):
                        found[message.key()] = int(message.value())
        finally:
            consumer.close()
        raise CopyError(f"{self._offsets_topic} could not be read to its end")

    def _follow(self, producer: Producer, consumer: Consumer, saved: dict[bytes, int]) -> None:
        first = self._from_end and not saved
        positions: dict[Place, int] = {}
        looked = -PARTITIONS_S
        while not self._stop.is_set():
            if time.monotonic() - looked > PARTITIONS_S:
                looked = time.monotonic()
                if new := self._new_partitions(consumer, positions):
                    for place in new:
                        positions[place] = saved.get(self._key(place), OFFSET_BEGINNING)
                        if first:
                            positions[place] = consumer.get_watermark_offsets(
                                TopicPartition(*place), timeout=CALL_S
                            )[1]
                    if first:
                        self._commit(producer, [], positions)
                        first = False
                    _assign(consumer, positions)
            messages = consumer.consume(MOST, GATHER_S)
            good = [each for each in messages if each.error() is None]
            if good:
                reached = {(each.topic(), each.partition()): each.offset() + 1 for each in good}
                self._commit(producer, good, reached)
                positions.update(reached)
                if self._alone:
                    self._one_by_one = False
                    raise CopyError("a record that Kafka never takes was left out")
            for message in messages:
                self._look_at(message, consumer, positions)

    def _new_partitions(self, consumer: Consumer, known: Iterable[Place]) -> list[Place]:
        found = consumer.list_topics(timeout=CALL_S)
        if not found.cluster_id or self._cluster not in ("", found.cluster_id):
            # Offsets are kept by cluster: with a wrong one records would come twice, or not at all.
            before, self._cluster = self._cluster, ""
            raise CopyError(f"the other cluster has the id {found.cluster_id!r}, had {before!r}")
        self._cluster = found.cluster_id
        places = []
        for topic in self._topics:
            metadata = found.topics.get(topic)
            if metadata is None or metadata.error is not None:
                log.warning("The other cluster shows no topic %s. copy=%s", topic, self._name)
                continue
            places += [(topic, number) for number in metadata.partitions]
        return sorted(set(places) - set(known))

    def _look_at(self, message: Message, consumer: Consumer, positions: dict[Place, int]) -> None:
        """An event of the consumer that is no record."""
        error = message.error()
        if error is None:
            return
        if error.code() != KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001
            log.warning("The other cluster: %s. copy=%s", error.str(), self._name)
            return
        place = message.topic(), message.partition()
        low, high = consumer.get_watermark_offsets(TopicPartition(*place), timeout=CALL_S)
        log.error(
            "Records are gone from the other cluster before they were copied, or the topic was "
            "made anew; copying goes on at its beginning. topic=%s partition=%d wanted=%s "
            "first=%d next=%d",
            *place,
            positions.get(place),
            low,
            high,
        )
        self._count(faults=Counter({"gone": 1}))
        positions[place] = low
        _assign(consumer, positions)

    def _commit(
        self, producer: Producer, messages: Sequence[Message], reached: dict[Place, int]
    ) -> None:
        """Records, and how far they reach, in one transaction."""
        started = time.monotonic()
        self._waiting_since = self._waiting_since or started
        values = list(map(Message.value, messages))
        wanted = [value is not None and value not in self._never for value in values]
        empty = values.count(None)  # a tombstone; here it would be a tick
        refused = Counter({"MSG_SIZE_TOO_LARGE": len(wanted) - sum(wanted) - empty})
        keys = list(map(Message.key, messages))
        times = [moment for _, moment in map(Message.timestamp, messages)]
        lines = list(compress(values, wanted))
        self._turned_down = False
        producer.begin_transaction()
        refused += self._produce(
            producer, lines, list(compress(keys, wanted)), list(compress(times, wanted))
        )
        for place, offset in reached.items():
            producer.produce(self._offsets_topic, b"%d" % offset, self._key(place))
        self._end(producer)
        self._waiting_since = None
        self._never.clear()
        self._count(
            copied=len(messages) - empty - refused.total(),
            bytes=sum(map(len, lines)),
            empty=empty,
            refused=refused,
            transactions=1,
            transaction_s=time.monotonic() - started,
        )

    def _end(self, producer: Producer) -> None:
        """Commit. What is behind a refused record librdkafka does not send, but waits for."""
        until = time.monotonic() + CALL_S
        while True:
            try:
                producer.commit_transaction(TURN_S)  # goes on where the last call ended
            except KafkaException as error:
                if self._turned_down:
                    raise CopyError("our cluster refuses a record for good") from None
                timed_out = error.args[0].code() == KafkaError._TIMED_OUT  # noqa: SLF001
                if not timed_out or time.monotonic() > until:
                    raise
            else:
                return

    def _produce(
        self,
        producer: Producer,
        lines: list[bytes],
        keys: list[bytes | None],
        times: list[int],
    ) -> Counter[str]:
        """Hand over all records; those that are never taken, by reason."""
        refused: Counter[str] = Counter()
        topic, partition, report = repeat(self._raw), repeat(-1), repeat(self._refused)
        while lines:
            rest = iter(lines)
            try:
                # `callback` and `on_delivery` are two positions before `timestamp`.
                sent = map(producer.produce, topic, rest, keys, partition, report, report, times)
                deque(sent, maxlen=0)
            except BufferError:
                done = len(lines) - length_hint(rest) - 1
                producer.poll(GATHER_S)
                if self.stalled and self._stop.is_set():
                    raise
            except KafkaException as error:
                if error.args[0].code() not in PERMANENT:
                    raise
                done = len(lines) - length_hint(rest)
                refused[error.args[0].name()] += 1
                log.error("Kafka does not take a record. bytes=%d", len(lines[done - 1]))  # noqa: TRY400
            else:
                return refused
            lines, keys, times = lines[done:], keys[done:], times[done:]
        return refused

    def _refused(self, error: KafkaError | None, message: Message) -> None:
        """Our broker has refused a record for good: the next session leaves it out.

        It refuses a whole batch for one record; so that is first tried again one by one.
        """
        if error is None or error.code() not in PERMANENT:
            return
        self._turned_down = True
        if self._alone:
            self._never.add(message.value())
            log.error("Kafka does not take a record. bytes=%d", len(message.value()))
        self._one_by_one = True

    def _key(self, place: Place) -> bytes:
        return orjson.dumps([self._name, self._cluster, *place])

    def _mine(self, key: bytes) -> bool:
        return bool(orjson.loads(key)[0] == self._name)

    def _count(self, **more: Any) -> None:
        now = self.totals
        self.totals = replace(now, **{name: getattr(now, name) + more[name] for name in more})


def _assign(consumer: Consumer, positions: dict[Place, int]) -> None:
    consumer.assign([TopicPartition(*place, offset) for place, offset in positions.items()])

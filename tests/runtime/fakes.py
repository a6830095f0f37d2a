"""Kafka clients in memory, with faults on demand: enough of Kafka for one engine."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka.admin import OffsetSpec

from app.runtime.start_offsets import STAMP
from topology.topics import Partition

TIME = 1_700_000_000_000
"""Time stamp of a record at offset 0; of the next ones a millisecond more each."""
EPOCH = 7
"""Of every leader."""


def abortable(text: str = "abort me") -> KafkaException:
    return KafkaException(KafkaError(KafkaError.INVALID_TXN_STATE, text, False, False, True))


def fatal(text: str = "fenced") -> KafkaException:
    return KafkaException(KafkaError(KafkaError._FENCED, text, True))


def retriable() -> KafkaException:
    return KafkaException(KafkaError(KafkaError._TIMED_OUT, "later", False, True))


class FakeKafka:
    """The brokers: logs with offsets that may have gaps, committed offsets, one open transaction.

    `log[topic, partition]` is a list of (offset, key, value). `calls` lists transaction calls.
    `faults[name]` is a queue of exceptions that the calls of that name raise, None for none.
    """

    def __init__(self) -> None:
        self.log: dict[Partition, list[tuple[int, bytes | None, bytes | None]]] = defaultdict(list)
        self.low: dict[Partition, int] = defaultdict(int)
        self.offsets: dict[Partition, tuple[int, str]] = {}
        """The metadata is without the stamp."""
        self.stamps: dict[Partition, str] = {}
        self.times: dict[tuple[str, int, int], int] = {}
        """Time stamps of records that have another one than `record` gives."""
        self.calls: list[str] = []
        self.faults: dict[str, deque[Exception | None]] = defaultdict(deque)
        self.events: deque[tuple[str, list[Partition]]] = deque()
        """Rebalances that the consumer sees at its next polls."""
        self.consumers: list[FakeConsumer] = []
        self.producers: list[FakeProducer] = []

    def write(self, topic: str, partition: int, *values: bytes, gap: int = 0) -> None:
        """Append records; `gap` offsets are left out before them."""
        log = self.log[topic, partition]
        for value in values:
            log.append((self.end((topic, partition)) + gap, b"k" + value, value))
            gap = 0

    def time(self, where: Partition, offset: int) -> int:
        """The time stamp of a record."""
        return self.times.get((*where, offset), TIME + offset)

    def end(self, where: Partition) -> int:
        log = self.log[where]
        return log[-1][0] + 1 if log else self.low[where]

    def values(self, topic: str) -> list[bytes | None]:
        """Committed values of all partitions, in order within each."""
        return [
            value
            for (name, _), log in sorted(self.log.items())
            if name == topic
            for _, _, value in log
        ]

    def fault(self, name: str) -> None:
        self.calls.append(name)
        if self.faults[name]:
            error = self.faults[name].popleft()
            if error is not None:
                raise error

    def consumer(self, config: Mapping[str, Any]) -> "FakeConsumer":
        self.consumers.append(FakeConsumer(self, config))
        return self.consumers[-1]

    def producer(self, _: Mapping[str, Any], on_delivery: Any) -> "FakeProducer":
        self.producers.append(FakeProducer(self, on_delivery))
        return self.producers[-1]

    def admin(self, _: Mapping[str, Any]) -> "FakeKafka":
        return self

    def describe_cluster(self, **_: Any) -> Any:
        return _done(SimpleNamespace(cluster_id="fake"))

    def describe_topics(self, topics: Any, **_: Any) -> Any:
        return {name: _done(SimpleNamespace(topic_id=name)) for name in topics.topic_names}

    def list_offsets(self, wanted: Mapping[TopicPartition, OffsetSpec], **_: Any) -> Any:
        answer = {}
        for one, spec in wanted.items():
            where = (one.topic, one.partition)
            earliest = spec._value == OffsetSpec.earliest()._value
            answer[one] = Future()
            answer[one].set_result(
                SimpleNamespace(offset=self.low[where] if earliest else self.end(where))
            )
        return answer


def _done(result: Any) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(result)
    return future


class FakeConsumer:
    """A member whose rebalances come from `FakeKafka.events`."""

    def __init__(self, kafka: FakeKafka, config: Mapping[str, Any]) -> None:
        self.kafka = kafka
        self.config = config
        self.positions: dict[Partition, int] = {}
        self.epochs: dict[Partition, int | None] = {}
        """What the last assignment has with each partition."""
        self.closed = False
        self.extra: list[Message] = []
        """Returned with the next poll, before its records: errors, records of before."""
        self.callbacks: dict[str, Callable[..., None]] = {}

    def subscribe(self, topics: Sequence[str], **callbacks: Callable[..., None]) -> None:
        self.topics = topics
        self.callbacks = callbacks

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.positions = {(one.topic, one.partition): one.offset for one in partitions}
        self.epochs = {(one.topic, one.partition): one.leader_epoch for one in partitions}

    def position(self, partitions: Sequence[TopicPartition]) -> list[TopicPartition]:
        return [
            TopicPartition(one.topic, one.partition, at, leader_epoch=EPOCH if at else -1)
            for one in partitions
            for at in [self.positions.get((one.topic, one.partition), -1001)]
        ]

    def consume(self, count: int, _: float) -> list[Message]:
        messages, self.extra = self.extra, []
        if self.kafka.events and self.callbacks:
            # Real ones return what was fetched before the rebalance together with it.
            messages += self._fetch(count)
            kind, partitions = self.kafka.events.popleft()
            self.callbacks[f"on_{kind}"](self, [TopicPartition(*one) for one in partitions])
            if kind != "assign":
                self.positions = {}
            return messages
        return messages + self._fetch(count)

    def _fetch(self, count: int) -> list[Message]:
        messages = []
        ends = {where: self.kafka.end(where) for where in self.positions}
        for where, position in self.positions.items():
            for offset, key, value in self.kafka.log[where]:
                if offset >= position and len(messages) < count:
                    at = self.kafka.time(where, offset)
                    messages.append(record(where, offset, value, key, at))
                    self.positions[where] = offset + 1
        if not messages and self.config.get("enable.partition.eof"):
            messages = [
                Message(
                    topic=where[0],
                    partition=where[1],
                    offset=max(position, ends[where]),
                    error=KafkaError(KafkaError._PARTITION_EOF),
                )
                for where, position in self.positions.items()
            ]
        return messages

    def committed(self, wanted: Sequence[TopicPartition], _: float) -> list[TopicPartition]:
        self.kafka.fault("committed")
        return [
            TopicPartition(
                one.topic,
                one.partition,
                *self._committed((one.topic, one.partition)),
            )
            for one in wanted
        ]

    def _committed(self, where: Partition) -> tuple[int, str]:
        offset, metadata = self.kafka.offsets.get(where, (-1001, ""))
        return offset, metadata + self.kafka.stamps.get(where, "")

    def offsets_for_times(
        self,
        wanted: Sequence[TopicPartition],
        timeout: float,  # noqa: ARG002  # librdkafka's name
    ) -> list[TopicPartition]:
        found = []
        for one in wanted:
            where = one.topic, one.partition
            newer = [
                n for n, *_ in self.kafka.log[where] if self.kafka.time(where, n) >= one.offset
            ]
            found.append(TopicPartition(*where, newer[0] if newer else -1))
        return found

    def consumer_group_metadata(self) -> str:
        return "metadata"

    def get_watermark_offsets(self, one: TopicPartition, **_: Any) -> tuple[int, int]:
        where = (one.topic, one.partition)
        return self.kafka.low[where], self.kafka.end(where)

    def close(self) -> None:
        if self.positions and "on_revoke" in self.callbacks:
            self.callbacks["on_revoke"](self, [TopicPartition(*one) for one in self.positions])
        self.closed = True


class FakeProducer:
    """A transactional producer whose queue may be full and whose deliveries may fail."""

    def __init__(self, kafka: FakeKafka, on_delivery: Any) -> None:
        self.kafka = kafka
        self.on_delivery = on_delivery
        self.limit = 1 << 60
        self.queue: list[Any] = []
        self.pending: list[tuple[str, int, bytes | None, bytes | None]] = []
        self.offsets: dict[Partition, tuple[int, str]] = {}
        self.stamps: dict[Partition, str] = {}
        self.open = False
        self.failed: str | None = None

    def __len__(self) -> int:
        return len(self.queue)

    def init_transactions(self, _: float) -> None:
        self.kafka.fault("init")

    def begin_transaction(self) -> None:
        self.kafka.fault("begin")
        assert not self.open
        self.open, self.failed = True, None

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None = None,
        partition: int = -1,
        **_: Any,
    ) -> None:
        if len(self.queue) >= self.limit:
            raise BufferError("Local: Queue full")
        self.kafka.fault("produce")
        self.queue.append((topic, max(0, partition), key, value))

    def poll(self, _: float) -> None:
        for one in self.queue[:3]:
            self.deliver(one)
        del self.queue[:3]

    def flush(self, _: float) -> int:
        while self.queue:
            self.poll(0)
        return 0

    def deliver(self, one: Any) -> None:
        if one[3] == b"undeliverable":
            self.failed = "undeliverable"
            error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)
            self.on_delivery(error, Message(topic=one[0]))
        else:
            self.pending.append(one)

    def send_offsets_to_transaction(
        self, offsets: Sequence[TopicPartition], group: str, _: float
    ) -> None:
        self.kafka.fault("offsets")
        assert self.open
        assert group == "metadata"
        self.offsets = {(o.topic, o.partition): (o.offset, o.metadata) for o in offsets}
        self.stamps = {}
        for where, (offset, text) in self.offsets.items():
            metadata, sign, stamp = text.partition(STAMP)
            self.offsets[where], self.stamps[where] = (offset, metadata), sign + stamp

    def commit_transaction(self, _: float) -> None:
        self.flush(0)
        if self.failed:
            raise abortable("1 message(s) failed delivery")
        self.kafka.fault("commit")
        for topic, partition, key, value in self.pending:
            where = (topic, partition)
            self.kafka.log[where].append((self.kafka.end(where), key, value))
        self.kafka.offsets.update(self.offsets)
        self.kafka.stamps.update(self.stamps)
        self.forget()

    def abort_transaction(self, _: float) -> None:
        self.kafka.fault("abort")
        assert self.open
        self.forget()

    def forget(self) -> None:
        self.queue, self.pending, self.offsets, self.open = [], [], {}, False
        self.stamps = {}


def record(
    where: Partition,
    offset: int,
    value: bytes | None,
    key: bytes | None = None,
    time: int | None = None,
) -> Message:
    """A consumed record."""
    return Message(
        topic=where[0],
        partition=where[1],
        offset=offset,
        key=key,
        value=value,
        timestamp=(1, TIME + offset if time is None else time),
    )

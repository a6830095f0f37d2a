"""A sub-topology whose results can be checked, and the check: nothing lost, nothing doubled.

Input: keys `k0`.., values `<sequence number>`. Output: every value once. Store `totals`: records
per key. Offset metadata: records per input partition so far.
"""

import os
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker.admin import wait_known
from topology.records import Batch, KeyValueStore, Outcome, Output, Position
from topology.topics import Partition

KEYS = 50
ANSWER_S = 5.0


class Counting:
    """Counts records per key and passes them on; sleeps to be killed in the middle of its work."""

    def __init__(
        self,
        output: str,
        *,
        sleep: float = 0.0,
        poison: bytes | None = None,
        deadly: bool = False,
    ) -> None:
        self.name = "counting"
        self.stores: Sequence[str] = ("totals",)
        self._output = output
        self._sleep = sleep
        self._poison = poison
        self._deadly = deadly
        self._stores: Mapping[tuple[str, int], KeyValueStore] = {}
        self._seen: dict[Partition, int] = {}

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        self._stores = stores
        self._seen = {where: int(p.metadata or 0) for where, p in positions.items()}
        for (_, number), seen in self._seen.items():
            total = sum(int(value) for _, value in stores["totals", number].items())
            assert total == seen, f"partition {number}: store has {total}, metadata says {seen}"

    def revoke(self, partitions: Sequence[Partition]) -> None:
        for where in partitions:
            del self._seen[where]

    def process(self, batch: Batch) -> Outcome:
        where = (batch.topic, int(batch.partitions[0]))
        assert all(a < b for a, b in pairwise(batch.offsets.tolist()))
        store = self._stores["totals", where[1]]
        half = len(batch) // 2
        for key in batch.keys[:half]:
            store.put(key, str(int(store.get(key) or 0) + 1).encode())
        time.sleep(self._sleep)
        if self._poison is not None and self._poison in batch.values:
            if self._deadly:
                os._exit(9)
            raise ValueError("poison")
        for key in batch.keys[half:]:
            store.put(key, str(int(store.get(key) or 0) + 1).encode())
        self._seen[where] += len(batch)
        return Outcome(
            [Output(self._output, batch.values[:half]), Output(self._output, batch.values[half:])],
            counts={"passed": len(batch)},
        )

    def reject(self, batch: Batch, reason: str) -> Outcome:
        """Counts and passes on what is not to be processed, so that the check still holds."""
        self._poison = None
        return replace(self.process(batch), counts={f"rejected: {reason}": len(batch)})

    def before_commit(self) -> Outcome:
        return Outcome(metadata={where: str(seen) for where, seen in self._seen.items()})


def changelog_of(topic: str) -> str:
    """The verification store's changelog beside an input topic."""
    return f"{topic}-totals-changelog"


def create_topics(bootstrap: str, **partitions: int) -> None:
    """Create topics with their numbers of partitions; dashes are written as underscores."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic(name.replace("_", "-"), number) for name, number in partitions.items()]
    for future in admin.create_topics(topics).values():
        future.result(60)
    wait_known(admin, {topic.topic: topic.num_partitions for topic in topics})


def fill(bootstrap: str, topic: str, numbers: range, partitions: int) -> None:
    """Write the sequence numbers; the key decides the partition."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
    for number in numbers:
        key = number % KEYS
        producer.produce(topic, b"%d" % number, b"k%d" % key, partition=key % partitions)
        producer.poll(0)
    assert producer.flush(60) == 0


def read_all(
    bootstrap: str, topic: str, isolation: str = "read_committed", timeout: float = 120.0
) -> list[tuple[int, bytes | None, bytes | None]]:
    """(partition, key, value) of every record up to the high watermark of now."""
    uncommitted = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bounds",
            "isolation.level": "read_uncommitted",
        }
    )
    found = uncommitted.list_topics(topic, 60).topics[topic].partitions
    bounds = {
        number: uncommitted.get_watermark_offsets(TopicPartition(topic, number), 60)
        for number in found
    }
    uncommitted.close()
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "isolation.level": isolation,
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
        }
    )
    waiting = {number: high for number, (low, high) in bounds.items() if high > low}
    consumer.assign([TopicPartition(topic, number, bounds[number][0]) for number in waiting])
    records = []
    deadline = time.monotonic() + timeout
    while waiting:
        assert time.monotonic() < deadline, f"{topic} was not read to its end: {waiting}"
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is None:
                records.append((message.partition(), message.key(), message.value()))
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                if message.offset() >= waiting.get(message.partition(), 1 << 62):
                    del waiting[message.partition()]
    consumer.close()
    return records


def lag(bootstrap: str, group: str, topic: str) -> int | None:
    """Records of a topic that a group has not committed; None while Kafka does not say.

    Committed offsets wait for transactions that are being decided, and the caller has workers to
    look after meanwhile.
    """
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group, "log_level": 0})
    try:
        found = consumer.list_topics(topic, ANSWER_S).topics[topic].partitions
        if not found:  # a broker that has just started may not know the topic yet
            return None
        behind = 0
        for position in consumer.committed([TopicPartition(topic, n) for n in found], ANSWER_S):
            _, high = consumer.get_watermark_offsets(position, ANSWER_S)
            behind += high - max(0, position.offset)
    except KafkaException:
        return None
    else:
        return behind
    finally:
        consumer.close()


@dataclass
class Verdict:
    """What is wrong with an output topic and a store; all empty when nothing is."""

    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    misplaced: int = 0
    wrong_totals: dict[bytes, tuple[int, int]] = field(default_factory=dict)
    uncommitted_doubles: int = 0
    """What a read_uncommitted consumer sees twice; not an error, but proof that kills hit."""

    @property
    def right(self) -> bool:
        return not (
            self.lost or self.doubled or self.foreign or self.misplaced or self.wrong_totals
        )


def judge(
    bootstrap: str, *, output: str, numbers: range, changelog: str | None, partitions: int
) -> Verdict:
    """Compare outputs and changelog, read_committed, with the truth."""
    seen = Counter(value for _, _, value in read_all(bootstrap, output))
    truth = {b"%d" % number for number in numbers}
    everything = Counter(value for _, _, value in read_all(bootstrap, output, "read_uncommitted"))
    verdict = Verdict(
        lost=len(truth - set(seen)),
        doubled=sum(count - 1 for count in seen.values()),
        foreign=len(set(seen) - truth),
        uncommitted_doubles=sum(count - 1 for count in everything.values()),
    )
    if changelog is not None:
        totals: dict[bytes | None, int] = {}
        for partition, key, value in read_all(bootstrap, changelog):
            verdict.misplaced += int((key or b"k-1")[1:]) % partitions != partition
            totals[key] = int(value or 0)
        expected = Counter(b"k%d" % (number % KEYS) for number in numbers)
        verdict.wrong_totals = {
            key: (count, totals.get(key, 0))
            for key, count in expected.items()
            if totals.get(key, 0) != count
        }
    return verdict

"""The broker of a benchmark: raw lines loaded, progress asked for, topics removed."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat

from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from app.broker import admin

CHUNK = 20_000
SETTLE_S = 30.0
NOT_YET = (
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.NOT_COORDINATOR,
)
"""What a broker answers about a group while its coordinator starts."""


class Cluster:
    """What a benchmark asks of a broker."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._admin = admin.connect({"bootstrap.servers": bootstrap})

    def remove(self, prefix: str) -> None:
        """Delete every topic under a prefix, to free the disk."""
        found = admin.existing(self._admin)
        admin.delete(self._admin, [topic for topic in found if topic.startswith(prefix)])

    def load(self, topic: str, passes: Iterable[Sequence[bytes]], partitions: int) -> int:
        """Write lines, line i of a pass to partition i modulo `partitions`: how many."""
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "compression.type": "lz4",
                "linger.ms": 50,
                "batch.size": 1_000_000,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": 1_000_000,
                "acks": "all",
                "log_level": 3,
            }
        )
        total = 0
        for lines in passes:
            for start in range(0, len(lines), CHUNK):
                while len(producer) > 500_000:
                    producer.poll(0.05)
                for partition in range(partitions):
                    chosen = lines[start + partition : start + CHUNK : partitions]
                    made = map(
                        producer.produce, repeat(topic), chosen, repeat(None), repeat(partition)
                    )
                    deque(made, maxlen=0)
                producer.poll(0)
            total += len(lines)
        if producer.flush(60):
            raise TimeoutError(f"{topic}: the broker did not take all lines within 60 s")
        return total

    def ends(self, topic: str, partitions: int) -> list[int]:
        """The end offset of each partition."""
        wanted = {TopicPartition(topic, p): OffsetSpec.latest() for p in range(partitions)}
        answers = self._admin.list_offsets(wanted)
        return [
            future.result(SETTLE_S).offset
            for _, future in sorted(answers.items(), key=lambda item: item[0].partition)
        ]

    def committed(self, group: str, topic: str, ends: Sequence[int]) -> int:
        """How many of the first `ends` records of each partition the group has committed."""
        request = ConsumerGroupTopicPartitions(
            group, [TopicPartition(topic, p) for p in range(len(ends))]
        )
        try:
            answer = self._admin.list_consumer_group_offsets([request])[group].result(SETTLE_S)
        except KafkaException as error:
            if error.args[0].code() in NOT_YET:
                return 0
            raise
        return sum(max(0, min(p.offset, ends[p.partition])) for p in answer.topic_partitions)

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has."""
        return len(self._admin.list_topics(topic, timeout=10).topics[topic].partitions)


def wait(condition: str, deadline_s: float, seconds: float = 0.25) -> Iterable[None]:
    """Look again every `seconds`; raises TimeoutError, naming the condition, at the deadline."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        yield
        time.sleep(seconds)
    raise TimeoutError(f"{condition}: not within {deadline_s:g} s")

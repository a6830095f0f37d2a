"""The broker of a benchmark: raw lines loaded, progress asked for, topics removed."""

import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
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


class Progress:
    """How far a consumer group is on a topic without transactions.

    By a consumer that never joins the group: librdkafka 2.16's admin call for a group's offsets
    ends the process (SIGSEGV in rd_kafka_cgrp_op) when the group's coordinator is not up yet.
    """

    def __init__(self, bootstrap: str, group: str, topic: str, ends: Sequence[int]) -> None:
        """`ends`: the end offset of each partition; what comes after it is not counted."""
        self._ends = ends
        self._partitions = [TopicPartition(topic, number) for number in range(len(ends))]
        self._consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_uncommitted",
                "log_level": 3,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def done(self) -> int:
        """Records that the group has committed."""
        try:
            committed = self._consumer.committed(self._partitions, timeout=SETTLE_S)
        except KafkaException as error:
            if error.args[0].code() in NOT_YET:
                return 0
            raise
        return sum(max(0, min(at.offset, self._ends[at.partition])) for at in committed)


def wait(condition: str, deadline_s: float, seconds: float = 0.25) -> Iterable[None]:
    """Look again every `seconds`; raises TimeoutError, naming the condition, at the deadline."""
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        yield
        time.sleep(seconds)
    raise TimeoutError(f"{condition}: not within {deadline_s:g} s")

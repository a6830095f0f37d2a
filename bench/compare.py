"""Whether two systems wrote the same events: one digest of a topic, independent of order."""

import hashlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from typing import NamedTuple

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

IGNORED = ("uid", "processed_time", "logged_time")
"""Attributes of `metadata` that say which system wrote the event and when, not what happened."""
MASK = (1 << 128) - 1
QUIET_S = 60.0


class Digest(NamedTuple):
    """How many records and the sum of their hashes, modulo 2^128."""

    records: int
    total: int


def digest(bootstrap: str, topic: str, partitions: int) -> Digest:
    """The digest of all committed (key, canonical JSON) pairs of a topic."""
    # Fresh processes: a fork would copy this one's librdkafka threads half alive.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(partitions, context) as pool:
        parts = list(pool.map(_part, repeat(bootstrap), repeat(topic), range(partitions)))
    return Digest(sum(p.records for p in parts), sum(p.total for p in parts) & MASK)


def differences(bootstrap: str, topics: tuple[str, str], partitions: int, limit: int) -> list[str]:
    """Up to three events that two topics tell differently, among `limit` of each partition."""
    first, second = (
        {
            (event.get("time"), event.get("file", {}).get("uid")): (key, canonical(value))
            for partition in range(partitions)
            for _, (key, value) in zip(
                range(limit), read(bootstrap, topic, partition), strict=False
            )
            for event in [orjson.loads(value)]
        }
        for topic in topics
    )
    unequal = [at for at in first.keys() & second.keys() if first[at] != second[at]]
    return [
        f"{topic}: {event[0]!r} {event[1].decode()}"
        for at in unequal[:3]
        for topic, event in zip(topics, (first[at], second[at]), strict=True)
    ]


def canonical(value: bytes) -> bytes:
    """The event without IGNORED, its keys sorted."""
    event = orjson.loads(value)
    metadata = event.get("metadata", {})
    for name in IGNORED:
        metadata.pop(name, None)
    return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)


def read(bootstrap: str, topic: str, partition: int) -> Iterator[tuple[bytes | None, bytes]]:
    """All committed records of a partition up to its present end: (key, value)."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bench-reader",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
        heard = time.monotonic()
        while time.monotonic() < heard + QUIET_S:
            # Returns when it has so many or the time is up, so the time has to be short.
            messages = consumer.consume(2_000, 0.1)
            if messages:
                heard = time.monotonic()
            for message in messages:
                error = message.error()
                if error is None:
                    yield message.key(), message.value()
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # has no public name
                    return
                elif not error.retriable():
                    raise KafkaException(error)
        raise TimeoutError(f"{topic}-{partition} gave nothing for {QUIET_S:g} s")
    finally:
        consumer.close()


def _part(bootstrap: str, topic: str, partition: int) -> Digest:
    count = total = 0
    for key, value in read(bootstrap, topic, partition):
        made = hashlib.blake2b(canonical(value), digest_size=16, key=(key or b"")[:64])
        total += int.from_bytes(made.digest(), "little")
        count += 1
    return Digest(count, total & MASK)

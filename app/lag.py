"""How much stands on each topic, and how far the sub-topologies are behind."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.config import Config
from app.offsets import OffsetReader
from app.reading import IS_IT_UP, SILENT, TIMEOUT, ReadingError, open_reader
from topology.topics import Partition

LEADER_S = 5.0
"""Seconds that a partition may be without a leader, as while leadership changes."""
SHORT = 50
"""Offsets left over that are worth reading."""


@dataclass(slots=True)
class Level:
    """A topic: partitions, offsets between begin and end, and records not yet committed as read.

    Each transaction leaves a marker, which has an offset too, in every partition that it wrote to,
    and aborted records keep theirs: a topic holds at most as many records as offsets. `lag` is None
    where no sub-topology reads the topic.
    """

    partitions: int = 0
    offsets: int = 0
    lag: int | None = None


def lags(config: Config) -> dict[str, Level]:
    """Every topic of the deployment, in flow order.

    Raises ReadingError when Kafka is away or does not know where a partition ends.
    """
    names = config.names
    raw = [names.raw(source) for source in config.sources]
    normalized = [names.normalized(source) for source in config.sources]
    read_by = dict.fromkeys(raw, names.group("events")) | {names.matches: names.group("alerts")}
    read_by |= dict.fromkeys(normalized, names.group("normalized"))
    outputs = [
        topic
        for tenant, found in config.tenants.items()
        for feed, topic in (("events", names.events(tenant)), ("alerts", names.alerts(tenant)))
        if feed in found.feeds
    ]
    wanted = [*raw, *normalized, names.matches, *outputs, names.dead_letters]
    offsets = OffsetReader(lambda: AdminClient({**config.client(), "logger": SILENT}))
    try:
        known = offsets.admin.list_topics(timeout=TIMEOUT).topics
        partitions = [
            (topic, number)
            for topic in wanted
            if topic in known
            for number in known[topic].partitions
        ]
        begin = offsets.list(partitions, OffsetSpec.earliest(), LEADER_S)
        end = offsets.list(partitions, OffsetSpec.latest(), LEADER_S)
        committed = {
            (group, item.topic, item.partition): item.offset
            for group in {read_by[topic] for topic in read_by if topic in known}
            for item in _committed(
                config, group, [where for where in partitions if read_by.get(where[0]) == group]
            )
        }
    except KafkaException as error:
        cause = error.args[0]
        if cause.code() == KafkaError.LEADER_NOT_AVAILABLE:
            raise ReadingError(f"Kafka is not complete: {cause.str()}; is a broker down?") from None
        raise ReadingError(f"Kafka cannot be reached: {cause.str()}; {IS_IT_UP}") from None
    levels: defaultdict[str, Level] = defaultdict(Level)
    short: list[TopicPartition] = []
    for (topic, number), last in end.items():
        level = levels[topic]
        level.partitions += 1
        level.offsets += last - begin[topic, number]
        if topic in read_by:
            done = committed.get((read_by[topic], topic, number), -1)
            first = max(done, begin[topic, number])
            if 0 < last - first <= SHORT:
                short.append(TopicPartition(topic, number, first))
            level.lag = (level.lag or 0) + (last - first if last - first > SHORT else 0)
    for topic in _unread(config, short):
        levels[topic].lag = (levels[topic].lag or 0) + 1
    return {topic: levels[topic] for topic in wanted if topic in levels}


def _unread(config: Config, positions: list[TopicPartition]) -> Iterator[str]:
    """The topic of each record from the positions on; transaction markers are none.

    An offset that is left at the end of a partition is often only the marker of the transaction
    before it, so short rests are read to tell.
    """
    consumer = open_reader(config.client())
    try:
        consumer.assign(positions)
        open_ends = {(item.topic, item.partition) for item in positions}
        deadline = time.monotonic() + TIMEOUT
        while open_ends and time.monotonic() < deadline:
            for message in consumer.consume(SHORT, timeout=0.1):
                if message.error() is None:
                    yield str(message.topic())
                elif message.error().code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
                    open_ends.discard((message.topic(), message.partition()))
    finally:
        consumer.close()


def _committed(config: Config, group: str, partitions: list[Partition]) -> list[TopicPartition]:
    """Committed offsets, negative where there is none.

    By a consumer that joins nothing: librdkafka 2.16's AdminClient ends the process (SIGSEGV in
    rd_kafka_cgrp_op) when the group's coordinator is just changing.
    """
    consumer = open_reader(config.client(), group)
    try:
        wanted = [TopicPartition(*where) for where in partitions]
        found: list[TopicPartition] = consumer.committed(wanted, timeout=TIMEOUT)
    finally:
        consumer.close()
    return found

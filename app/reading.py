"""Reads topics from outside any group: for tail, dead-letters and the demo's bookkeeping."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message
from confluent_kafka import TopicPartition as Assignment

TIMEOUT = 15.0
"""Seconds to wait for the cluster before saying that it cannot be reached."""


IS_IT_UP = "is it up? `northbound up` starts the embedded one."
SILENT = logging.getLogger("northbound.librdkafka")
"""librdkafka's own lines about lost connections; ReadingError says what matters of them."""
SILENT.addHandler(logging.NullHandler())
SILENT.propagate = False


class ReadingError(RuntimeError):
    """A topic cannot be read; the message says why and what to do."""


def open_reader(client: Mapping[str, Any], group: str = "northbound-reader") -> Consumer:
    """A consumer that joins no group by itself and sees only committed transactions."""
    return Consumer(
        {
            **client,
            "group.id": group,
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        },
        logger=SILENT,
    )


def partitions(consumer: Consumer, topics: Sequence[str]) -> list[Assignment]:
    """Every partition of the topics, from its beginning. Raises ReadingError if one is missing."""
    try:
        known = consumer.list_topics(timeout=TIMEOUT).topics
    except KafkaException as error:
        raise ReadingError(f"Kafka cannot be reached: {error.args[0].str()}; {IS_IT_UP}") from None
    missing = [topic for topic in topics if topic not in known]
    if missing:
        raise ReadingError(
            f"no topic {', '.join(missing)}; `northbound topics list` shows what is there"
        )
    return [
        Assignment(topic, number, OFFSET_BEGINNING)
        for topic in topics
        for number in known[topic].partitions
    ]


def read(
    client: Mapping[str, Any],
    topics: Sequence[str],
    *,
    from_start: bool = True,
    follow: bool = False,
    batch: int = 10_000,
) -> Iterator[Message]:
    """Records of the topics, to their present end, or for ever with `follow`.

    Raises ReadingError when Kafka is away or a topic is missing.
    """
    for messages in read_batches(client, topics, from_start=from_start, follow=follow, batch=batch):
        yield from messages


def read_batches(
    client: Mapping[str, Any],
    topics: Sequence[str],
    *,
    from_start: bool = True,
    follow: bool = False,
    batch: int = 10_000,
) -> Iterator[list[Message]]:
    """The same, as they come together; at most `batch` at once."""
    consumer = open_reader(client)
    try:
        assigned = partitions(consumer, topics)
        if not from_start:
            for item in assigned:
                _, item.offset = consumer.get_watermark_offsets(item, timeout=TIMEOUT)
        consumer.assign(assigned)
        open_ends = {(item.topic, item.partition) for item in assigned}
        heard = time.monotonic()
        while open_ends or follow:
            found, ended = take(consumer, batch)
            if found or ended:
                heard = time.monotonic()
            open_ends -= ended
            if found:
                yield found
            if not follow and time.monotonic() - heard > TIMEOUT:
                raise ReadingError(f"nothing came from Kafka for {TIMEOUT:.0f} s; {IS_IT_UP}")
    finally:
        consumer.close()


def take(consumer: Consumer, batch: int) -> tuple[list[Message], set[tuple[str, int]]]:
    """Up to `batch` records, and the partitions that have no more at present.

    Raises ReadingError.
    """
    found: list[Message] = []
    ended = set()
    for message in consumer.consume(batch, timeout=0.2):
        error = message.error()
        if error is None:
            found.append(message)
        elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public code
            ended.add((message.topic(), message.partition()))
        elif not error.retriable():
            raise ReadingError(f"{message.topic()}: {error.str()}")
    return found, ended

"""Sends dead letters to their raw topics again, each once: their bytes, their uid.

Sending and the mark of how far it went are one Kafka transaction, so that a run that is cut short
sends nothing twice. The uid travels in the record's key (topology/uid.py), so that an event made
now has the uid that it would have had. A record of `matches` goes with its own key to its own
partition, where the state of its group is.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from app.reading import SILENT, TIMEOUT, ReadingError, open_reader, partitions
from schemas.codec import decode
from topology.topics import Names
from topology.uid import REPLAY

BATCH = 5_000


def send_again(
    client: Mapping[str, Any], names: Names, *, source: str | None, everything: bool
) -> Counter[str]:
    """Dead letters sent again, counted by source.

    `source` limits it to one; `everything` begins at the oldest kept instead of where the last
    run ended. Runs for one source and for all know of each other. Raises ReadingError when Kafka is
    away.
    """
    everyone = names.group("dead-letters-replay")
    group = f"{everyone}-{source}" if source else everyone
    consumer = open_reader(client, group)
    producer = Producer(
        {**client, "transactional.id": group, "transaction.timeout.ms": 60_000}, logger=SILENT
    )
    sent: Counter[str] = Counter()
    try:
        producer.init_transactions(TIMEOUT)
        assigned = partitions(consumer, [names.dead_letters])
        if not everything:
            assigned = consumer.committed(assigned, timeout=TIMEOUT)
        known = None
        if not everything:
            known = Sent(
                lambda of: _reached(client, everyone if source else f"{everyone}-{of}", names)
            )
        consumer.assign(assigned)
        ends = {item.partition: _end(consumer, item) for item in assigned}
        while _behind(consumer, ends):
            messages = consumer.consume(BATCH, timeout=1.0)
            producer.begin_transaction()
            for message in messages:
                error = message.error()
                if error is None:
                    place = message.partition(), message.offset()
                    sent.update(_send(producer, names, message.value(), source, place, known))
                elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001  # its public code
                    raise ReadingError(f"{message.topic()}: {error.str()}")
            producer.send_offsets_to_transaction(
                consumer.position(assigned), consumer.consumer_group_metadata(), TIMEOUT
            )
            producer.commit_transaction(TIMEOUT)
    except KafkaException as error:
        raise ReadingError(f"Kafka refused it: {error.args[0].str()}") from None
    finally:
        consumer.close()
    return sent


class Sent:
    """What the other kind of run has sent: for all sources, or for one. `reached`: where it ended,
    by partition, for a source."""

    def __init__(self, reached: Callable[[str], Mapping[int, int]]) -> None:
        self._reached = reached
        self._known: dict[str, Mapping[int, int]] = {}

    def has(self, source: str, place: tuple[int, int]) -> bool:
        """Whether it has sent the letter of a source at a partition and an offset."""
        if source not in self._known:
            self._known[source] = self._reached(source)
        partition, offset = place
        return offset < self._known[source].get(partition, -1)


def _reached(client: Mapping[str, Any], group: str, names: Names) -> dict[int, int]:
    consumer = open_reader(client, group)
    try:
        wanted = partitions(consumer, [names.dead_letters])
        return {each.partition: each.offset for each in consumer.committed(wanted, timeout=TIMEOUT)}
    finally:
        consumer.close()


def _end(consumer: Consumer, item: TopicPartition) -> int:
    return int(consumer.get_watermark_offsets(item, timeout=TIMEOUT)[1])


def _behind(consumer: Consumer, ends: Mapping[int, int]) -> bool:
    positions = consumer.position(consumer.assignment())
    return any(
        item.offset < ends[item.partition] and ends[item.partition] > 0 for item in positions
    )


def _send(
    producer: Producer,
    names: Names,
    value: bytes,
    source: str | None,
    at: tuple[int, int] = (0, 0),
    known: Sent | None = None,
) -> list[str]:
    """`at`: partition and offset of the dead letter."""
    _, letter = decode(value)
    if source not in {None, letter["source"]}:
        return []
    if known is not None and known.has(letter["source"], at):
        return []
    key, place = REPLAY + letter["uid"].encode(), {}
    if letter["topic"] == names.matches:
        key, place = letter["key"], {"partition": letter["partition"]}
    while True:
        try:
            producer.produce(
                letter["topic"], letter["raw"], key, timestamp=letter["timestamp"], **place
            )
        except BufferError:
            producer.poll(0.1)
        else:
            return [letter["source"]]

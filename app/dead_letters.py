"""Sends dead letters to their raw topics again, each once: their bytes, their uid.

Sending and the mark of how far it went are one Kafka transaction, so that a run that is cut short
sends nothing twice. The uid travels in the record's key (topology/uid.py), so that an event made
now has the uid that it would have had. A record of `matches` goes with its own key to its own
partition, where the state of its group is.
"""

from collections import Counter
from collections.abc import Mapping
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
    run ended. Raises ReadingError when Kafka is away.
    """
    group = f"{names.group('dead-letters-replay')}{f'-{source}' if source else ''}"
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
        consumer.assign(assigned)
        ends = {item.partition: _end(consumer, item) for item in assigned}
        while _behind(consumer, ends):
            messages = consumer.consume(BATCH, timeout=1.0)
            producer.begin_transaction()
            for message in messages:
                error = message.error()
                if error is None:
                    sent.update(_send(producer, names, message.value(), source))
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


def _end(consumer: Consumer, item: TopicPartition) -> int:
    return int(consumer.get_watermark_offsets(item, timeout=TIMEOUT)[1])


def _behind(consumer: Consumer, ends: Mapping[int, int]) -> bool:
    positions = consumer.position(consumer.assignment())
    return any(
        item.offset < ends[item.partition] and ends[item.partition] > 0 for item in positions
    )


def _send(producer: Producer, names: Names, value: bytes, source: str | None) -> list[str]:
    _, letter = decode(value)
    if source not in {None, letter["source"]}:
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

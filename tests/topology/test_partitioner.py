"""Keys belong to the partitions that Kafka's producers put them in."""

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from app.broker.server import EmbeddedKafka
from app.runtime.clients import KafkaClients
from app.runtime.settings import EngineSettings
from app.runtime.transaction import Transactions
from app.runtime.watchdog import Watchdog
from topology.partitioner import partitions
from topology.records import Output

COUNT = 7


def _murmur2(data: bytes) -> int:
    """org.apache.kafka.common.utils.Utils.murmur2 as it is written there, made positive."""
    mix, mask = 0x5BD1E995, 0xFFFFFFFF
    value = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little") * mix & mask
        word = (word ^ word >> 24) * mix & mask
        value = value * mix & mask ^ word
    if rest := data[whole:]:
        value = (value ^ int.from_bytes(rest, "little")) * mix & mask
    value = (value ^ value >> 13) * mix & mask
    return (value ^ value >> 15) & 0x7FFFFFFF


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 300), st.binary(max_size=20))
def test_hashes_are_kafkas(keys: list[bytes], count: int, beginning: bytes) -> None:
    """Keys of any lengths, many at once, and such as begin alike."""
    assert partitions(keys, count).tolist() == [_murmur2(key) % count for key in keys]
    alike = [beginning + key for key in keys]
    found = partitions(alike, count, len(beginning)).tolist()
    assert found == [_murmur2(key) % count for key in alike]


@pytest.mark.broker
def test_a_producer_puts_keys_there(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], unique: Callable[[str], str]
) -> None:
    """What the engine's producer writes by key lies where a PartialBatch of these keys would."""
    topic = create_topic("partitioner", partitions=COUNT)
    settings = EngineSettings(
        name="partitioner",
        group=unique("partitioner"),
        topics=("unused",),
        instance=unique("partitioner"),
        client={"bootstrap.servers": kafka.bootstrap},
    )
    keys = [f"acme\0rule\0{'x' * (number % 9)}{number}".encode() for number in range(300)]
    transactions = Transactions(settings, KafkaClients(), Watchdog(60))
    transactions.start()
    transactions.produce([Output(topic, keys, keys)])
    transactions.commit([], None)
    transactions.close()
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": unique("partitioner")})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(COUNT)])
    found: dict[bytes, int] = {}
    deadline = time.monotonic() + 120
    while len(found) < len(keys) and time.monotonic() < deadline:
        messages = [each for each in consumer.consume(1_000, 0.1) if each.error() is None]
        found |= {message.key(): message.partition() for message in messages}
    consumer.close()
    assert set(found) == set(keys)
    assert [found[key] for key in keys] == partitions(keys, COUNT).tolist()

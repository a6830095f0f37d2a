"""The embedded broker starts, resumes and says what is wrong."""

from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, Producer

from app.broker.errors import BrokerError
from app.broker.ownership import running
from app.broker.server import EmbeddedKafka

pytestmark = pytest.mark.broker


def produce(kafka: EmbeddedKafka, topic: str, values: list[bytes]) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "acks": "all"})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(20) == 0


def consume(kafka: EmbeddedKafka, topic: str, group: str, count: int) -> list[bytes]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        return [message.value() for message in consumer.consume(count, timeout=20)]
    finally:
        consumer.close()


def test_records_round_trip(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], unique: Callable[[str], str]
) -> None:
    """A record produced on the internal listener can be consumed."""
    topic = create_topic("round-trip")
    produce(kafka, topic, [b"a", b"b"])
    assert consume(kafka, topic, unique("group"), 2) == [b"a", b"b"]


def test_a_second_northbound_on_the_same_data_is_refused(kafka: EmbeddedKafka) -> None:
    """Two parents never share a data folder; the message names the one that runs."""
    with pytest.raises(BrokerError, match=r"already runs in .*northbound down"):
        EmbeddedKafka(kafka.data).start()
    found = running(kafka.data)
    assert found is not None
    assert found.pids == kafka.pids

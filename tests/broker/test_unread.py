"""What workers have not read of a topic, against the cluster that librdkafka brings along."""

from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from app.broker import unread
from tests.mock_kafka import mock_kafka
from topology.topics import Names

NAMES = Names("p.")
OLD = NAMES.raw("old")


@pytest.fixture
def client() -> Iterator[dict[str, Any]]:
    """How to connect to a cluster whose topic has five records in partition 0 and two in 1."""
    with mock_kafka(OLD) as bootstrap:
        client = {"bootstrap.servers": bootstrap}
        producer = Producer(client)
        for number, count in ((0, 5), (1, 2)):
            for _ in range(count):
                producer.produce(OLD, b"<13>line", partition=number)
        assert producer.flush(60) == 0
        yield client


def test_a_backlog_is_counted(client: dict[str, Any]) -> None:
    """All of what no worker has ever read, then what is behind what they have committed."""
    assert unread.unread(client, NAMES, [OLD]) == {OLD: 7}
    workers = Consumer({**client, "group.id": NAMES.group("events")})
    for offset, left in ((3, {OLD: 4}), (5, {OLD: 2})):
        workers.commit(offsets=[TopicPartition(OLD, 0, offset)], asynchronous=False)
        assert unread.unread(client, NAMES, [OLD]) == left
    workers.commit(offsets=[TopicPartition(OLD, 1, 2)], asynchronous=False)
    workers.close()
    assert unread.unread(client, NAMES, [OLD]) == {}
    assert unread.unread({}, NAMES, []) == {}


def test_what_may_not_be_seen_is_left_out(
    client: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan is made all the same."""

    class Blind:
        def list_topics(self, *_: Any, **__: Any) -> Any:
            raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))

        def close(self) -> None: ...

    monkeypatch.setattr(unread, "open_reader", lambda *_: Blind())
    assert unread.unread(client, NAMES, [OLD]) == {}

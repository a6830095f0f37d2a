"""What exactly-once stands on: a transaction is whole or not there, whatever happens to brokers."""

import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker.server import EmbeddedKafka
from app.reading import read
from tests.runtime.processes import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]


def test_a_partition_without_a_leader_gets_the_commits_marker_when_it_is_back(
    make_kafka: Callable[..., EmbeddedKafka],
) -> None:
    """A commit while one of its partitions has no leader waits for it. Kafka 4.3.0, 4.3.1 and 4.4.0
    call the transaction complete without it: its consumers then wait for ever."""
    kafka = make_kafka(brokers=3, heap="384m")
    client = {"bootstrap.servers": kafka.bootstrap, "log_level": 0}
    admin = AdminClient(client)
    topic = NewTopic("alone", 1, replica_assignment=[[2]], config={"min.insync.replicas": "1"})
    admin.create_topics([topic])["alone"].result(60)
    producer = Producer({**client, "transactional.id": "t", "transaction.timeout.ms": 300_000})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce("alone", b"committed")
    assert producer.flush(60) == 0
    kafka.kill(2)

    def leaderless() -> bool:
        with suppress(KafkaException):  # the broker that was asked may be the one that is gone
            return bool(
                admin.list_topics("alone", timeout=5).topics["alone"].partitions[0].leader < 0
            )
        return False

    wait_for(leaderless, "the partition has no leader")
    committed = threading.Event()

    def commit() -> None:
        while not committed.is_set():
            try:
                producer.commit_transaction(5)
                committed.set()
            except KafkaException:
                continue  # it has not been decided yet; calling again is how librdkafka goes on

    thread = threading.Thread(target=commit, daemon=True)
    thread.start()
    thread.join(3)
    kafka.start()
    assert committed.wait(180)
    values = [message.value() for message in read(client, ["alone"])]
    assert values == [b"committed"]

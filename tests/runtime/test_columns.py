"""Columns go to Kafka as lists of bytes do; what librdkafka refuses is explained on the way."""

import ctypes
import time
from collections.abc import Callable
from dataclasses import replace

import polars as pl
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.broker.server import EmbeddedKafka
from app.runtime.clients import KafkaClients
from app.runtime.columns import QUEUE_FULL, _pointers, column_writer, writable
from app.runtime.errors import RecordRefusedError, TransactionAborted
from app.runtime.settings import EngineSettings
from app.runtime.transaction import Transactions
from app.runtime.watchdog import Watchdog
from tests.runtime.fakes import FakeKafka
from topology.records import Output

VALUES = st.lists(st.binary(max_size=40), min_size=1, max_size=50)


def read(kafka: EmbeddedKafka, topic: str, count: int) -> list[tuple[int, bytes, bytes | None]]:
    """Partition, key and value of committed records, in the order of each partition."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "columns"})
    numbers = consumer.list_topics(topic, 60).topics[topic].partitions
    consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
    found = []
    deadline = time.monotonic() + 120
    while len(found) < count and time.monotonic() < deadline:
        messages = [m for m in consumer.consume(1_000, 0.1) if m.error() is None]
        found += [(m.partition(), m.key(), m.value()) for m in messages]
    consumer.close()
    return sorted(found, key=lambda record: record[0])


@pytest.fixture
def transactions(kafka: EmbeddedKafka, unique: Callable[[str], str]) -> Transactions:
    """Started on the real broker."""
    settings = EngineSettings(
        name="columns",
        group=unique("columns"),
        topics=("unused",),
        instance=unique("columns"),
        client={"bootstrap.servers": kafka.bootstrap},
    )
    made = Transactions(settings, KafkaClients(), Watchdog(60))
    made.start()
    return made


@given(values=VALUES, cut=st.integers(0, 49), chunks=st.integers(1, 3))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pointers_are_those_of_the_values(values: list[bytes], cut: int, chunks: int) -> None:
    """Short and long values, sliced and chunked columns: address and length give each value."""
    column = pl.concat([pl.Series(values)] * chunks, rechunk=False)
    start = min(cut, len(column))
    with _pointers(column, start) as (addresses, lengths):
        found = [
            ctypes.string_at(address, length)
            for address, length in zip(addresses.tolist(), lengths.tolist(), strict=True)
        ]
    assert found == column.to_list()[start:]


def test_the_handle_is_the_clients() -> None:
    """The layout of confluent-kafka's Producer is the one this relies on."""
    producer = Producer({"bootstrap.servers": "127.0.0.1:9", "client.id": "who", "log_level": 0})
    writer = column_writer(producer)
    assert writer is not None, "confluent-kafka was renewed: look into app/runtime/columns.py"
    assert writer.client.startswith("who#producer-")


def test_other_producers_and_columns_go_record_by_record() -> None:
    """A producer of another class and other types are not for this path."""
    assert column_writer(FakeKafka()) is None
    assert writable(pl.Series([b"a", None]))
    assert not writable(pl.Series(["a"]))
    assert not writable([b"a"])


@pytest.mark.broker
def test_columns_and_lists_give_equal_records(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], transactions: Transactions
) -> None:
    """The same values, keys, partitions and order, in one transaction with other records.

    A null is a tombstone and an empty value is none, as columns, as a list and one by one.
    """
    values = [None if n % 11 == 0 else b"%d" % n * (n % 30) for n in range(3_000)]
    keys = [b"" if n % 7 == 0 else b"user %d" % (n % 50) for n in range(3_000)]
    found = []
    columns = pl.Series(values), pl.Series(keys)
    single = [Output("", [value], [key]) for value, key in zip(values, keys, strict=True)]
    for outputs in ([Output("", *columns)], [Output("", values, keys)], single):
        topic = create_topic("columns", partitions=4)
        given = [*outputs, Output("", [b"last"], [b"user 1"], 3)]
        assert transactions.produce(replace(output, topic=topic) for output in given) == 3_001
        transactions.commit([], None)
        found.append(read(kafka, topic, 3_001))
    assert found[0] == found[1] == found[2]
    assert len(found[0]) == 3_001
    assert sum(value is None for _, _, value in found[0]) == 273
    assert sum(value == b"" for _, _, value in found[0]) > 50


@pytest.mark.broker
def test_a_full_queue_is_waited_for(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], unique: Callable[[str], str]
) -> None:
    """What does not fit goes in later, once each and in order."""
    topic = create_topic("columns", partitions=1)
    settings = EngineSettings(
        name="small",
        group="small",
        topics=("unused",),
        instance=unique("small"),
        client={"bootstrap.servers": kafka.bootstrap},
        producer={"queue.buffering.max.messages": 100},
    )
    transactions = Transactions(settings, KafkaClients(), Watchdog(60))
    transactions.start()
    values = [b"%d" % n for n in range(5_000)]
    transactions.produce([Output(topic, pl.Series(values))])
    transactions.commit([], None)
    assert [value for _, _, value in read(kafka, topic, 5_000)] == values


@pytest.mark.broker
def test_a_refused_record_is_named_by_the_second_attempt(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], transactions: Transactions
) -> None:
    """A record too large ends the transaction; once more, record by record, it is refused."""
    topic = create_topic("columns", partitions=1)
    output = Output(topic, pl.Series([b"before", b"x" * 5_000_000, b"behind"]))
    with pytest.raises(TransactionAborted):
        transactions.produce([output])
    transactions.abort()
    with pytest.raises(RecordRefusedError, match="5000000 bytes"):
        transactions.produce([output])
    transactions.abort()
    transactions.produce([Output(topic, pl.Series([b"next"]))])
    transactions.commit([], None)
    assert [value for _, _, value in read(kafka, topic, 1)] == [b"next"]


def test_errors_of_the_library_are_the_known_ones() -> None:
    """The numbers used here are those of librdkafka."""
    assert KafkaError(QUEUE_FULL).name() == "_QUEUE_FULL"


def test_columns_outside_of_a_transaction_are_refused() -> None:
    """As single records are."""
    producer = Producer(
        {"bootstrap.servers": "127.0.0.1:9", "transactional.id": "t", "log_level": 0}
    )
    writer = column_writer(producer)
    assert writer is not None
    done, error = writer.write("topic", pl.Series([b"a", b"b"]), None, -1, 0)
    assert (done, KafkaError(error).name()) == (0, "_STATE")

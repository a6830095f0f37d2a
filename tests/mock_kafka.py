"""A Kafka in this process, which librdkafka brings along: for tests that only need one to be there.

It knows no settings of topics, no rights, no limits, and keeps nothing: no promise is tried on it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import Producer


@contextmanager
def mock_kafka(*topics: str) -> Iterator[str]:
    """The address of its one broker. Topics have four partitions."""
    home = Producer({"test.mock.num.brokers": 1, "log_level": 2})
    (broker,) = home.list_topics(timeout=60).brokers.values()
    for topic in topics:
        assert home.list_topics(topic, timeout=60).topics[topic].partitions
    yield f"{broker.host}:{broker.port}"
    home.flush(0)  # it lives as long as this

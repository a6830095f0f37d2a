"""The publisher alone, on a real broker."""

from collections.abc import Callable

import pytest

from app.broker.server import EmbeddedKafka
from app.ingest.publisher import Publisher
from tests.ingest.rig import read_topic, values

pytestmark = pytest.mark.broker


def test_lines_of_a_spool_keep_their_time(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """What waited on disk is stamped with its reception, not with the moment Kafka came back."""
    topic = create_topic("raw.times", retention_ms="-1")
    publisher = Publisher({"bootstrap.servers": kafka.bootstrap}, topic)
    publisher.publish([b"one", b"two"], b"key", timestamp=1_700_000_000_000)
    assert publisher.flush(60) == 0
    found = read_topic(kafka.bootstrap, topic, 2)
    assert values(found) == [b"one", b"two"]
    assert [message.timestamp()[1] for message in found] == [1_700_000_000_000] * 2
    assert (publisher.published, publisher.refused.total()) == (2, 0)

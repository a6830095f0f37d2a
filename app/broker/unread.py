"""Raw topics that belong to no source any more: how much of them no worker has read."""

import logging
from collections.abc import Collection, Mapping
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from app.reading import TIMEOUT, open_reader
from topology.topics import Names

log = logging.getLogger(__name__)


def unread(client: Mapping[str, Any], names: Names, topics: Collection[str]) -> dict[str, int]:
    """Records of raw topics behind what the workers' group has committed, at most; topics without
    any, and those of which Kafka does not say it, are left out.

    `client`: librdkafka's configuration.
    """
    if not topics:
        return {}
    consumer = open_reader(client, names.group("events"))
    try:
        counts = {topic: _behind(consumer, topic) for topic in sorted(topics)}
    finally:
        consumer.close()
    return {topic: count for topic, count in counts.items() if count}


def _behind(consumer: Any, topic: str) -> int:
    try:
        found = consumer.list_topics(topic, timeout=TIMEOUT).topics[topic]
        parts = [TopicPartition(topic, number) for number in found.partitions]
        count = 0
        for done in consumer.committed(parts, timeout=TIMEOUT):
            if done.error is not None:
                raise KafkaException(done.error)
            low, high = consumer.get_watermark_offsets(done, timeout=TIMEOUT)
            count += max(0, high - max(low, done.offset))
    except KafkaException as error:  # no right to see it, say
        log.info("Kafka does not say what is unread. topic=%s error=%s", topic, error)
        return 0
    return count

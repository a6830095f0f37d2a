"""Partitions of a topic as the cluster has them: who leads them, and which offsets they hold."""

from typing import Any

from confluent_kafka import TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.broker.admin import TIMEOUT_S
from app.broker.cluster_error import cluster_error


def described(admin: AdminClient, topic: str) -> list[dict[str, Any]]:
    """Partitions of a topic that exists: `partition`, `leader`, `replicas`, `in_sync` (broker
    ids), `first` and `next` (offset of the oldest record and of the next one; None while nobody
    leads the partition)."""
    with cluster_error(f"describe topic {topic}"):
        futures = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)
        found = futures[topic].result().partitions
        first, after = (
            {
                where.partition: _known(future.result().offset)
                for where, future in admin.list_offsets(
                    {TopicPartition(topic, each.id): spec for each in found},
                    request_timeout=TIMEOUT_S,
                ).items()
            }
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        )
    return [
        {
            "partition": each.id,
            "leader": None if each.leader is None else each.leader.id,
            "replicas": [node.id for node in each.replicas],
            "in_sync": [node.id for node in each.isr],
            "first": first[each.id],
            "next": after[each.id],
        }
        for each in found
    ]


def _known(offset: int) -> int | None:
    """librdkafka says -1001, and no error, where a leader is dead."""
    return offset if offset >= 0 else None

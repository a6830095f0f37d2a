"""Brings a cluster's topics in line with the declaration: creates, grows, sets; never shrinks.

Works with any client configuration: the embedded broker or an existing, secured cluster.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from app.broker.cluster_error import ClusterError, cluster_error
from topology.topics import Topic

TIMEOUT_S = 30.0
POLL_S = 0.05

Action: TypeAlias = Literal["create", "grow", "set"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do: create a topic, grow it to `partitions`, or set `config` entries.

    `was` holds the entries' present values; empty for a topic that is created.
    """

    action: Action
    topic: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    was: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.action == "grow":
            return f"grow {self.topic} to {self.partitions} partitions"
        if self.action == "set":
            changes = [f"{key}={self.was.get(key)} -> {new}" for key, new in self.config.items()]
            return f"set {self.topic} {' '.join(changes)}"
        entries = " ".join(f"{key}={value}" for key, value in self.config.items())
        return f"create {self.topic} with {self.partitions} partitions {entries}"


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is in the cluster."""

    name: str
    topic_id: str
    partitions: int
    replication: int


def connect(client: Mapping[str, Any]) -> AdminClient:
    """An admin client; librdkafka's own log lines stay off the terminal."""
    return AdminClient({"socket.connection.setup.timeout.ms": 10_000, **client, "log_level": 0})


def existing(admin: AdminClient, topics: Iterable[str] | None = None) -> dict[str, Found]:
    """Topics of the cluster by name: those of `topics` that exist, or all but Kafka's own."""
    with cluster_error("list topics"):
        known = admin.list_topics(timeout=TIMEOUT_S).topics
        wanted = set(known) if topics is None else set(topics) & set(known)
        names = sorted(name for name in wanted if not name.startswith("__"))
        if not names:
            return {}
        futures = admin.describe_topics(TopicCollection(names), request_timeout=TIMEOUT_S)
        described = [topic for each in futures.values() if (topic := _unless_gone(each))]
    return {
        topic.name: Found(
            topic.name,
            str(topic.topic_id),
            len(topic.partitions),
            min((len(partition.replicas) for partition in topic.partitions), default=0),
        )
        for topic in described
    }


def _unless_gone(future: Any) -> Any:
    """A topic's description; None when it was deleted since it was listed."""
    try:
        return future.result()
    except KafkaException as error:
        if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise
        return None


def identity(admin: AdminClient, topics: Iterable[str] | None = None) -> tuple[str, dict[str, str]]:
    """The cluster's id and, for each topic that exists, its topic id (both as Kafka prints them).

    A topic that is deleted and created again has another id.
    """
    with cluster_error("ask for the cluster's id"):
        cluster_id = admin.describe_cluster(request_timeout=TIMEOUT_S).result().cluster_id
    return cluster_id, {name: found.topic_id for name, found in existing(admin, topics).items()}


def settings(admin: AdminClient, topics: Sequence[str]) -> dict[str, dict[str, str]]:
    """All configuration entries of existing topics: topic → entry → value."""
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics]
    with cluster_error("read the configuration of topics"):
        futures = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
        answers = {resource.name: future.result() for resource, future in futures.items()}
    return {
        topic: {name: entry.value for name, entry in entries.items() if entry.value is not None}
        for topic, entries in answers.items()
    }


def partitions(admin: AdminClient, topic: str) -> list[dict[str, Any]]:
    """Partitions of a topic that exists: `partition`, `leader`, `replicas`, `in_sync` (broker
    ids), `first` and `next` (offset of the oldest record and of the next one; None while nobody
    leads the partition)."""
    with cluster_error(f"describe topic {topic}"):
        futures = admin.describe_topics(TopicCollection([topic]), request_timeout=TIMEOUT_S)
        described = futures[topic].result().partitions
        first, after = (
            {
                where.partition: _known(future.result().offset)
                for where, future in admin.list_offsets(
                    {TopicPartition(topic, each.id): spec for each in described},
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
        for each in described
    ]


def _known(offset: int) -> int | None:
    """librdkafka says -1001, and no error, where a leader is dead."""
    return offset if offset >= 0 else None


def plan(admin: AdminClient, declared: Sequence[Topic]) -> list[Change]:
    """What has to change so that every declared topic is as declared; changes nothing.

    More partitions than declared are left alone. Raises ClusterError with every topic whose number
    of partitions may never change and differs.
    """
    found = existing(admin, [topic.name for topic in declared])
    present = settings(admin, sorted(found))
    changes: list[Change] = []
    problems: list[str] = []
    for topic in declared:
        wanted = topic.settings()
        if topic.name not in found:
            changes.append(Change("create", topic.name, _wanted(topic, found), wanted))
            continue
        partitions = found[topic.name].partitions
        if topic.fixed and partitions != topic.partitions:
            problems.append(
                f"{topic.name} has {partitions} partitions, the configuration says "
                f"{topic.partitions}. State depends on this number, so it never changes: set "
                f"kafka.matches_partitions to {partitions}."
            )
        elif partitions < _wanted(topic, found):
            changes.append(Change("grow", topic.name, _wanted(topic, found)))
        now = present[topic.name]
        differs = {key: value for key, value in wanted.items() if not _same(now.get(key), value)}
        if differs:
            was = {key: now.get(key, "") for key in differs}
            changes.append(Change("set", topic.name, partitions, differs, was))
    if problems:
        raise ClusterError("\n".join(problems))
    return changes


def _wanted(topic: Topic, found: Mapping[str, Found]) -> int:
    """How many partitions a topic has at least: as many as the one that it is like."""
    like = found.get(topic.alike) if topic.alike is not None else None
    return topic.partitions if like is None else max(topic.partitions, like.partitions)


def apply(admin: AdminClient, changes: Sequence[Change], replication: int) -> None:
    """Make the changes of `plan`; new topics get `replication` replicas. Returns when all brokers
    asked know them."""
    new = [
        NewTopic(
            change.topic,
            num_partitions=change.partitions,
            replication_factor=replication,
            config=dict(change.config),
        )
        for change in changes
        if change.action == "create"
    ]
    grown = [
        NewPartitions(change.topic, change.partitions)
        for change in changes
        if change.action == "grow"
    ]
    altered = [
        ConfigResource(
            ConfigResource.Type.TOPIC,
            change.topic,
            incremental_configs=[
                ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
                for key, value in change.config.items()
            ],
        )
        for change in changes
        if change.action == "set"
    ]
    if new:
        for name, future in admin.create_topics(new, request_timeout=TIMEOUT_S).items():
            with cluster_error(f"create topic {name}", ignore=KafkaError.TOPIC_ALREADY_EXISTS):
                future.result()
    if grown:
        for name, future in admin.create_partitions(grown, request_timeout=TIMEOUT_S).items():
            with cluster_error(f"grow topic {name}"):
                future.result()
    if altered:
        futures = admin.incremental_alter_configs(altered, request_timeout=TIMEOUT_S)
        for resource, future in futures.items():
            with cluster_error(f"configure topic {resource.name}"):
                future.result()
    wait_known(
        admin, {change.topic: change.partitions for change in changes if change.action != "set"}
    )


def ensure(admin: AdminClient, declared: Sequence[Topic], replication: int) -> list[Change]:
    """Plan and apply; the changes made."""
    changes = plan(admin, declared)
    apply(admin, changes, replication)
    return changes


def wait_known(admin: AdminClient, topics: Mapping[str, int]) -> None:
    """Wait until the topics have so many partitions, each with a leader."""
    deadline = time.monotonic() + TIMEOUT_S
    waiting = dict(topics)
    while waiting:
        with cluster_error("list topics"):
            known = admin.list_topics(timeout=TIMEOUT_S).topics
        for name in list(waiting):
            partitions = known[name].partitions.values() if name in known else ()
            if sum(partition.leader >= 0 for partition in partitions) >= waiting[name]:
                del waiting[name]
        if waiting and time.monotonic() > deadline:
            raise ClusterError(
                f"{', '.join(waiting)}: no leader for every partition after {TIMEOUT_S:.0f} s. "
                "Are all brokers of the cluster up?"
            )
        if waiting:
            time.sleep(POLL_S)


def delete(admin: AdminClient, topics: Sequence[str]) -> None:
    """Delete topics with everything in them; one that does not exist is no error."""
    if not topics:
        return
    for name, future in admin.delete_topics(list(topics), request_timeout=TIMEOUT_S).items():
        with cluster_error(f"delete topic {name}", ignore=KafkaError.UNKNOWN_TOPIC_OR_PART):
            future.result()


def _same(now: str | None, wanted: str) -> bool:
    """Kafka may print a list in another order: `compact,delete` and `delete,compact`."""
    return now is not None and sorted(now.split(",")) == sorted(wanted.split(","))

"""Brings a cluster's topics in line with the declaration: creates, grows, sets; never shrinks.

Works with any client configuration: the embedded broker or an existing, secured cluster.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from app.broker.cluster_error import ClusterError, RefusedError, cluster_error
from app.broker.settled import wait_settled
from app.broker.topic_changes import Action, Change, Found, Seen, differences
from topology.topics import Topic

TIMEOUT_S = 30.0
POLL_S = 0.05


def connect(client: Mapping[str, Any]) -> AdminClient:
    """An admin client; librdkafka's own log lines stay off the terminal."""
    return AdminClient({"socket.connection.setup.timeout.ms": 10_000, **client, "log_level": 0})


def listed(admin: AdminClient) -> set[str]:
    """Names of all topics that Northbound's user may see, but Kafka's own."""
    with cluster_error("list topics"):
        known = admin.list_topics(timeout=TIMEOUT_S).topics
    return {name for name in known if not name.startswith("__")}


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
    return {topic.name: _found(topic) for topic in described}


def _found(topic: Any) -> Found:
    replicas = (len(partition.replicas) for partition in topic.partitions)
    return Found(topic.name, str(topic.topic_id), len(topic.partitions), min(replicas, default=0))


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
    with cluster_error("read the configuration of topics"):
        return {
            name: _entries(future.result()) for name, future in _ask_settings(admin, topics).items()
        }


def _ask_settings(admin: AdminClient, topics: Sequence[str]) -> dict[str, Any]:
    """Futures by topic."""
    if not topics:
        return {}
    resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics]
    futures = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
    return {resource.name: future for resource, future in futures.items()}


def _entries(answer: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry.value for name, entry in answer.items() if entry.value is not None}


def look(admin: AdminClient, names: Sequence[str]) -> Seen:
    """These topics with their settings, as far as they may be seen. Raises ClusterError."""
    if not names:
        return Seen()
    hidden: dict[str, str] = {}
    found: dict[str, Found] = {}
    with cluster_error("describe topics"):
        futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=TIMEOUT_S)
    for name, future in futures.items():
        with _hidden(name, hidden), cluster_error(f"describe topic {name}"):
            topic = _unless_gone(future)
            if topic is not None:
                found[name] = _found(topic)
    entries: dict[str, dict[str, str]] = {}
    for name, answer in _ask_settings(admin, sorted(found)).items():
        with _hidden(name, hidden), cluster_error(f"read the configuration of topic {name}"):
            entries[name] = _entries(answer.result())
    return Seen(found, entries, hidden)


@contextmanager
def _hidden(name: str, hidden: dict[str, str]) -> Iterator[None]:
    """Keep why a topic may not be seen."""
    try:
        yield
    except RefusedError as error:
        hidden[name] = str(error)


def plan(admin: AdminClient, declared: Sequence[Topic]) -> list[Change]:
    """What has to change so that every declared topic is as declared; changes nothing.

    More partitions than declared are left alone. Raises ClusterError with every topic whose number
    of partitions may never change and differs, and RefusedError where one may not be seen.
    """
    seen = look(admin, [topic.name for topic in declared])
    for why in seen.hidden.values():
        raise RefusedError(why)
    changes, problems = differences(declared, seen)
    if problems:
        raise ClusterError("\n".join(problems))
    return changes


def apply(
    admin: AdminClient,
    changes: Sequence[Change],
    replication: int,
    done: Callable[[Change], None] = lambda _: None,
) -> None:
    """Make the changes of `plan`; new topics get `replication` replicas. Returns when all brokers
    asked know them. `done` hears of each that is made, also when another is refused."""
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
    futures: list[tuple[Action, str, str, Any]] = []
    if new:
        futures += [
            ("create", name, f"create topic {name}", each)
            for name, each in admin.create_topics(new, request_timeout=TIMEOUT_S).items()
        ]
    if grown:
        futures += [
            ("grow", name, f"grow topic {name}", each)
            for name, each in admin.create_partitions(grown, request_timeout=TIMEOUT_S).items()
        ]
    if altered:
        answers = admin.incremental_alter_configs(altered, request_timeout=TIMEOUT_S)
        futures += [
            ("set", resource.name, f"configure topic {resource.name}", each)
            for resource, each in answers.items()
        ]
    asked = {(change.action, change.topic): change for change in changes}
    refused: list[ClusterError] = []
    for action, name, doing, future in futures:
        try:
            with cluster_error(doing, ignore=_there_already(action)):
                future.result()
            done(asked[action, name])
        except ClusterError as error:
            refused.append(error)
    if refused:
        raise refused[0]
    wait_known(
        admin, {change.topic: change.partitions for change in changes if change.action != "set"}
    )
    if altered:
        wait_settled(lambda: _shows(admin, changes), "the settings of topics")


def _shows(admin: AdminClient, changes: Sequence[Change]) -> bool:
    """Whether a broker shows the settings that were changed, whatever the order of lists."""
    wanted = {change.topic: change.config for change in changes if change.action == "set"}
    found = settings(admin, list(wanted))
    return all(
        sorted(found[topic].get(key, "").split(",")) == sorted(value.split(","))
        for topic, config in wanted.items()
        for key, value in config.items()
    )


def _there_already(action: Action) -> int | None:
    """What a topic that somebody else has created meanwhile is answered with."""
    code: int = KafkaError.TOPIC_ALREADY_EXISTS
    return code if action == "create" else None


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
    """Delete topics with everything in them; one that does not exist is no error. Returns when a
    broker shows none of them."""
    if not topics:
        return
    for name, future in admin.delete_topics(list(topics), request_timeout=TIMEOUT_S).items():
        with cluster_error(f"delete topic {name}", ignore=KafkaError.UNKNOWN_TOPIC_OR_PART):
            future.result()

    def gone() -> bool:
        with cluster_error("list topics"):
            return not admin.list_topics(timeout=TIMEOUT_S).topics.keys() & set(topics)

    wait_settled(gone, ", ".join(topics))

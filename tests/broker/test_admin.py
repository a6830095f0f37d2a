"""The declaration of topics, applied to a real cluster."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from app.broker import admin as topics
from app.broker.cluster_error import ClusterError
from app.broker.server import EmbeddedKafka
from topology.topics import DAY_MS, Feeds, Names, RawTopic, StoreTopic, declare

pytestmark = pytest.mark.broker

AHEAD_MS = 4_102_444_800_000
"""The year 2100."""


@pytest.fixture
def admin(kafka: EmbeddedKafka) -> AdminClient:
    return topics.connect({"bootstrap.servers": kafka.bootstrap})


def test_declared_topics(admin: AdminClient, unique: Callable[[str], str]) -> None:
    """All kinds of topics are created as declared; a second run finds nothing to do."""
    names = Names(f"{unique('p')}.")
    declared = declare(
        names,
        [RawTopic("qumulo", 2, 7 * DAY_MS)],
        [Feeds("acme")],
        [StoreTopic("windows"), StoreTopic("lists")],
        matches_partitions=3,
    )
    planned = topics.plan(admin, declared)
    assert [change.action for change in planned] == ["create"] * len(declared)
    assert topics.ensure(admin, declared, 1) == planned
    assert topics.plan(admin, declared) == []
    found = topics.existing(admin, [topic.name for topic in declared])
    assert {name: topic.partitions for name, topic in found.items()} == {
        topic.name: topic.partitions for topic in declared
    }
    config = topics.settings(admin, [names.changelog("windows")])[names.changelog("windows")]
    assert config["cleanup.policy"] == "compact"


def test_a_change_is_applied(admin: AdminClient, unique: Callable[[str], str]) -> None:
    """More partitions grow, fewer are left alone, other settings are set."""
    names = Names(f"{unique('p')}.")
    (raw,) = (t for t in declare(names, [RawTopic("a", 2)], [], []) if t.name == names.raw("a"))
    topics.ensure(admin, [raw], 1)
    wanted = replace(raw, partitions=3, retention_ms=DAY_MS)
    changes = topics.ensure(admin, [wanted], 1)
    assert [(change.action, change.partitions) for change in changes] == [("grow", 3), ("set", 2)]
    assert changes[1].was == {"retention.ms": str(7 * DAY_MS)}
    assert "retention.ms=604800000 -> 86400000" in str(changes[1])
    assert topics.plan(admin, [wanted]) == []
    assert topics.plan(admin, [replace(wanted, partitions=1)]) == []


def test_a_source_may_have_the_brokers_time_stamps(
    kafka: EmbeddedKafka, admin: AdminClient, unique: Callable[[str], str]
) -> None:
    """A producer whose clock is years ahead moves event time no further than the broker's."""
    names = Names(f"{unique('p')}.")
    (raw, *_) = declare(names, [RawTopic("a", 1, appended=True)], [], [])
    topics.ensure(admin, [raw], 1)
    assert topics.plan(admin, [raw]) == []
    taken: list[Message] = []
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(raw.name, b"line", timestamp=AHEAD_MS)
    assert producer.flush(60) == 0
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": unique("g")})
    consumer.assign([TopicPartition(raw.name, 0, 0)])
    until = time.monotonic() + 60
    while not taken and time.monotonic() < until:
        taken = [each for each in consumer.consume(1, 1) if each.error() is None]
    consumer.close()
    (message,) = taken
    assert 0 < message.timestamp()[1] < AHEAD_MS


def test_an_exposed_boundary_has_the_partitions_of_its_raw_topic(
    admin: AdminClient, unique: Callable[[str], str]
) -> None:
    """Even those that someone added beyond the declaration: each raw partition has its like."""
    names = Names(f"{unique('p')}.")
    topics.ensure(admin, declare(names, [RawTopic("a", 3)], [], []), 1)
    declared = declare(names, [RawTopic("a", 2)], [], [], expose=["normalized"])
    (change,) = topics.ensure(admin, declared, 1)
    assert (change.action, change.topic, change.partitions) == ("create", names.normalized("a"), 3)
    declared = declare(names, [RawTopic("a", 4)], [], [], expose=["normalized"])
    grown = {each.topic: each.partitions for each in topics.ensure(admin, declared, 1)}
    assert grown == {names.raw("a"): 4, names.normalized("a"): 4}


def test_state_keeps_its_partitions(admin: AdminClient, unique: Callable[[str], str]) -> None:
    """matches and changelogs never change their number of partitions, neither up nor down."""
    names = Names(f"{unique('p')}.")
    stores = [StoreTopic("s")]
    topics.ensure(admin, declare(names, [], [], stores, matches_partitions=2), 1)
    for number in (1, 3):
        with pytest.raises(ClusterError, match=r"matches_partitions to 2") as caught:
            topics.plan(admin, declare(names, [], [], stores, matches_partitions=number))
        assert names.matches in str(caught.value)
        assert names.changelog("s") in str(caught.value)


def test_identity(admin: AdminClient, create_topic: Callable[..., str]) -> None:
    """A topic keeps its id until it is made anew."""
    name = create_topic("identity")
    cluster, ids = topics.identity(admin, [name, "no-such-topic"])
    assert len(cluster) == len(ids[name]) == 22
    assert topics.identity(admin)[1][name] == ids[name]
    topics.delete(admin, [name, "no-such-topic"])
    assert topics.identity(admin, [name])[1] == {}


def test_a_topic_that_goes_between_two_requests(
    admin: AdminClient, create_topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A topic that is deleted while topics are listed is left out; the others are there."""
    stays, goes = create_topic("stays"), create_topic("goes")
    listed = admin.list_topics(timeout=60)
    topics.delete(admin, [goes])
    monkeypatch.setattr(admin, "list_topics", lambda **_: listed)
    assert set(topics.existing(admin, [stays, goes])) == {stays}


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that is away is a message, not a traceback."""
    monkeypatch.setattr(topics, "TIMEOUT_S", 1.0)
    away = topics.connect({"bootstrap.servers": "127.0.0.1:1"})
    with pytest.raises(ClusterError, match="is Kafka up"):
        topics.existing(away)

"""Copies of stores: what they hold, when they are handed over, and what they survive. On fakes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import (
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from app.runtime import standby
from app.runtime.disk_store import DiskStore
from app.runtime.settings import EngineSettings
from app.runtime.standby import Standby
from app.runtime.statistics import EngineStatistics
from app.runtime.store import Store
from app.runtime.watchdog import Watchdog
from tests.runtime.fakes import FakeKafka
from tests.runtime.processes import wait_for

CHANGELOG = "seen-changelog"


class Group(FakeKafka):
    """Brokers that also know a group: member → partitions of `in`."""

    def __init__(self, members: Mapping[str, Sequence[int]]) -> None:
        super().__init__()
        self.members = dict(members)
        self.state = ConsumerGroupState.STABLE

    def put(self, partition: int, **entries: bytes | None) -> None:
        """Append changelog records."""
        log = self.log[CHANGELOG, partition]
        for key, value in entries.items():
            log.append((self.end((CHANGELOG, partition)), key.encode(), value))

    def describe_consumer_groups(self, names: Sequence[str], **_: Any) -> dict[str, Future[Any]]:
        answer: Future[Any] = Future()
        try:
            self.fault("describe")
        except KafkaException as error:
            answer.set_exception(error)
        else:
            members = [
                SimpleNamespace(
                    group_instance_id=name,
                    member_id=f"member of {name}",
                    client_id=name,
                    assignment=SimpleNamespace(
                        topic_partitions=[TopicPartition("in", number) for number in numbers]
                    ),
                )
                for name, numbers in self.members.items()
            ]
            answer.set_result(SimpleNamespace(state=self.state, members=members))
        return dict.fromkeys(names, answer)


Started = tuple[Standby, EngineStatistics]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Started]]:
    """Start the copies of member `b`; looks and retries come without a pause."""
    for name in ("LOOK_S", "SOON_S", "RETRY_S"):
        monkeypatch.setattr(standby, name, 0.01)
    started: list[Standby] = []

    def make(kafka: Group, **options: Any) -> Started:
        settings = EngineSettings(
            name="copy",
            group="group",
            topics=("in",),
            instance="b",
            client={"bootstrap.servers": "fake"},
            changelogs={"seen": CHANGELOG},
            standby=1,
            **options,
        )
        statistics = EngineStatistics("copy", "group")
        one = Standby(settings, kafka, Watchdog(), statistics)
        one.start()
        started.append(one)
        return one, statistics

    yield make
    for one in started:
        one.stop()


def caught_up(statistics: EngineStatistics, stores: int, records: int) -> None:
    """Wait until so many copies have read so many records, to the ends."""
    copies = statistics.standby
    wait_for(
        lambda: (copies.stores, copies.caught_up, copies.records) == (stores, stores, records),
        f"{stores} copies of {records} records",
    )


def test_a_copy_is_what_the_changelog_says(start: Callable[..., Started]) -> None:
    """Changed and removed keys too; its position is behind the last record that was delivered."""
    kafka = Group({"a": [0, 1], "b": [2, 3]})
    kafka.put(0, x=b"1", y=b"1")
    kafka.put(0, x=b"2", y=None)
    kafka.put(1, z=b"3")
    kafka.put(2, own=b"4")
    copies, statistics = start(kafka)
    caught_up(statistics, 2, 5)
    kafka.put(0, w=b"5")
    caught_up(statistics, 2, 6)
    found = copies.exchange([("seen", 0), ("seen", 2)], {})
    assert {where: dict(store.items()) for where, store in found.items()} == {
        ("seen", 0): {b"x": b"2", b"w": b"5"}
    }
    assert found["seen", 0].position == 5


def test_a_store_that_was_handed_over_is_left_alone(start: Callable[..., Started]) -> None:
    """Its owner alone writes it, while the other copies go on."""
    kafka = Group({"a": [0, 1], "b": [2, 3]})
    kafka.put(0, x=b"1")
    copies, statistics = start(kafka)
    caught_up(statistics, 2, 1)
    found = copies.exchange([("seen", 0)], {})
    kafka.put(0, x=b"2")
    kafka.put(1, y=b"1")
    caught_up(statistics, 1, 2)
    assert dict(found["seen", 0].items()) == {b"x": b"1"}
    assert found["seen", 0].position == 1


def test_a_store_that_was_given_up_becomes_a_copy(start: Callable[..., Started]) -> None:
    """It goes on from where it was; nothing is read a second time."""
    kafka = Group({"b": [0, 1, 2, 3]})
    copies, statistics = start(kafka)
    kept = Store()
    kept.load([b"x", b"y"], [b"1", b"1"])
    kept.position = 2
    kafka.put(0, x=b"1", y=b"1")
    copies.exchange([("seen", number) for number in range(4)], {})
    copies.exchange([("seen", 2), ("seen", 3)], {("seen", 0): kept})
    kafka.put(0, x=b"2")
    kafka.members = {"a": [0, 1], "b": [2, 3]}
    caught_up(statistics, 2, 1)
    found = copies.exchange([("seen", 0)], {})
    assert found["seen", 0] is kept
    assert dict(kept.items()) == {b"x": b"2", b"y": b"1"}


def test_copies_wait_for_the_end_of_a_rebalance(start: Callable[..., Started]) -> None:
    """Who inherits what is not known before."""
    kafka = Group({"a": [0], "b": [1]})
    kafka.state = ConsumerGroupState.PREPARING_REBALANCING
    _, statistics = start(kafka)
    wait_for(lambda: kafka.calls.count("describe") > 3, "some looks")
    assert statistics.standby.stores == 0
    kafka.state = ConsumerGroupState.STABLE
    caught_up(statistics, 1, 0)


def test_a_group_that_cannot_be_described_costs_no_copy(start: Callable[..., Started]) -> None:
    """Brokers that are away for a while: the copies stay, and go on."""
    kafka = Group({"a": [0], "b": [1]})
    kafka.put(0, x=b"1")
    _, statistics = start(kafka)
    caught_up(statistics, 1, 1)
    kafka.faults["describe"].extend([KafkaException(KafkaError(KafkaError._TIMED_OUT))] * 3)
    wait_for(lambda: not kafka.faults["describe"], "three failed looks")
    kafka.put(0, x=b"2")
    caught_up(statistics, 1, 2)


def test_a_copy_that_cannot_go_on_is_made_anew(start: Callable[..., Started]) -> None:
    """Its position was removed from the changelog: what it held is no beginning of what follows."""
    kafka = Group({"a": [0], "b": [1]})
    kafka.put(0, gone=b"1")
    copies, statistics = start(kafka)
    caught_up(statistics, 1, 1)
    del kafka.log[CHANGELOG, 0][:]
    kafka.low[CHANGELOG, 0] = 7
    kafka.put(0, x=b"1")
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    kafka.consumers[-1].extra.append(Message(topic=CHANGELOG, partition=0, error=error))
    wait_for(lambda: len(kafka.consumers) > 1, "a new beginning")
    wait_for(lambda: statistics.standby.caught_up == 1, "a new copy")
    found = copies.exchange([("seen", 0)], {})
    assert dict(found["seen", 0].items()) == {b"x": b"1"}
    assert found["seen", 0].position == 8


def test_copies_on_disk_outlive_the_process(start: Callable[..., Started], tmp_path: Path) -> None:
    """With stores on disk the copies are there too: the next start reads what came since."""
    kafka = Group({"a": [0, 1], "b": [2, 3]})
    kafka.put(0, x=b"1", y=b"1")
    kafka.put(1, z=b"1")
    copies, statistics = start(kafka, store="disk", state=tmp_path)
    caught_up(statistics, 2, 3)
    found = copies.exchange([("seen", 0)], {})
    assert isinstance(found["seen", 0], DiskStore)
    assert dict(found["seen", 0].items()) == {b"x": b"1", b"y": b"1"}
    found["seen", 0].close()
    copies.stop()
    kafka.put(0, y=None)
    kafka.put(1, z=b"2")
    copies, statistics = start(kafka, store="disk", state=tmp_path)
    caught_up(statistics, 2, 2)
    found = copies.exchange([("seen", 0), ("seen", 1)], {})
    assert {where: dict(store.items()) for where, store in found.items()} == {
        ("seen", 0): {b"x": b"1"},
        ("seen", 1): {b"z": b"2"},
    }
    for store in found.values():
        store.close()


def test_without_copies_there_is_no_thread() -> None:
    """The default costs nothing, and hands nothing over."""
    settings = EngineSettings(
        name="copy",
        group="group",
        topics=("in",),
        instance="b",
        client={"bootstrap.servers": "fake"},
        changelogs={"seen": CHANGELOG},
    )
    kafka = Group({"a": [0], "b": [1]})
    copies = Standby(settings, kafka, Watchdog(), EngineStatistics("copy", "group"))
    copies.start()
    assert copies.exchange([("seen", 0)], {("seen", 1): Store()}) == {}
    copies.stop()
    assert not kafka.calls

"""What librdkafka says while a leader is dead never counts as an offset."""

from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import OffsetSpec

from app import lag, raw_partitions
from app.broker import partitions
from app.config import load
from app.offsets import Begin, OffsetReader, begin_at
from app.reading import ReadingError
from app.runtime.errors import EngineError

NOT_KNOWN = -1001
"""librdkafka's RD_KAFKA_OFFSET_INVALID, given without an error for a leader that went away."""


class Admin:
    """Says where partition 1 ends only after its metadata was read `deaf` times."""

    def __init__(self, deaf: int, topics: tuple[str, ...] = ("raw.nas",)) -> None:
        self._deaf = deaf
        self._topics = topics
        self.asked = 0

    def list_topics(self, timeout: float) -> Any:
        assert timeout > 0
        self.asked += 1
        return SimpleNamespace(
            topics={name: SimpleNamespace(partitions={0: None, 1: None}) for name in self._topics}
        )

    def list_offsets(self, wanted: Mapping[TopicPartition, OffsetSpec], **_: Any) -> Any:
        answer = {}
        for each in wanted:
            known = self.asked > self._deaf or each.partition != 1
            answer[each] = Future()
            answer[each].set_result(SimpleNamespace(offset=7 if known else NOT_KNOWN))
        return answer

    def describe_topics(self, *_: Any, **__: Any) -> Any:
        done: Future[Any] = Future()
        each = [SimpleNamespace(id=n, leader=None, replicas=[], isr=[]) for n in (0, 1)]
        done.set_result(SimpleNamespace(partitions=each))
        return {"raw.nas": done}


PARTITIONS = [("raw.nas", 0), ("raw.nas", 1)]


def test_an_unknown_offset_is_asked_for_again() -> None:
    """Until the client has asked who leads now."""
    found = OffsetReader(lambda: Admin(1)).list(PARTITIONS, OffsetSpec.latest(), 5.0)
    assert found == {("raw.nas", 0): 7, ("raw.nas", 1): 7}


def test_an_offset_that_stays_unknown_is_named() -> None:
    """The error says which partition nobody leads."""
    with pytest.raises(KafkaException, match=r"no broker leads raw\.nas \[1\]"):
        OffsetReader(lambda: Admin(1_000)).list(PARTITIONS, OffsetSpec.latest(), 0.3)


def raw(monkeypatch: pytest.MonkeyPatch, admin: Admin) -> raw_partitions.RawPartitions:
    monkeypatch.setattr(raw_partitions, "AdminClient", lambda _: admin)
    return raw_partitions.RawPartitions({}, ["raw.nas", "raw.fw"])


def test_a_raw_partition_without_a_leader_is_not_taken_for_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Left out, it would not hold windows back, and they would close without its records."""
    assert raw(monkeypatch, Admin(3))() == PARTITIONS


def test_a_worker_does_not_go_on_without_knowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends, and is started again, rather than closing windows too early."""
    monkeypatch.setattr(raw_partitions, "TIMEOUT_S", 0.3)
    with pytest.raises(EngineError, match=r"which raw partitions hold records: .*raw\.nas \[1\]"):
        raw(monkeypatch, Admin(1_000))()


def test_lag_says_that_a_leader_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows no negative counts."""
    monkeypatch.setattr(lag, "AdminClient", lambda _: Admin(1_000))
    monkeypatch.setattr(lag, "LEADER_S", 0.3)
    file = tmp_path / "northbound.yaml"
    file.write_text(
        "version: 1\n"
        "kafka: {external: {bootstrap: 'localhost:9092'}}\n"
        "sources: {nas: {format: qumulo}}\n"
    )
    with pytest.raises(ReadingError, match=r"no broker leads raw\.nas \[1\]"):
        lag.lags(load(file))


def test_topics_describe_shows_no_offset_that_is_none() -> None:
    """A partition that nobody leads has no begin and no end to show."""
    found = partitions.described(Admin(1_000), "raw.nas")
    assert [(each["first"], each["next"]) for each in found] == [(7, 7), (None, None)]


@pytest.mark.parametrize(
    ("wanted", "stamp", "lost", "newer", "begin"),
    [
        (15, 5, False, 12, Begin(15, cut=False)),
        (20, 5, False, 12, Begin(20, cut=False)),
        (3, 5, True, 12, Begin(10, cut=False)),
        (-1001, None, False, 12, Begin(10, cut=False)),
        (30, 5, False, 18, Begin(18, cut=True)),
        (30, 5, False, -1, Begin(20, cut=True)),
        (30, None, False, 18, Begin(10, cut=True)),
        (15, 5, True, 12, Begin(12, cut=True)),
        (15, 5, True, 18, Begin(15, cut=True)),
        (15, 5, True, -1, Begin(15, cut=True)),
        (15, None, True, 12, Begin(15, cut=False)),
    ],
)
def test_where_reading_goes_on(
    wanted: int, stamp: int | None, lost: bool, newer: int, begin: Begin
) -> None:
    """The same for workers, deliveries and copies: of a log from 10 to 20, of which all before an
    offset was read, nothing that was not read is passed over, and little is read again."""

    class Consumer:
        def offsets_for_times(self, wanted: list[TopicPartition], **_: float) -> Any:
            (one,) = wanted
            return [TopicPartition(one.topic, one.partition, newer)]

    where = ("raw.nas", 0)
    found = begin_at(Consumer(), where, wanted, stamp, (10, 20), 1.0, lost=lost)
    assert found == begin

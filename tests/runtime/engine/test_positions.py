"""Where an engine goes on in its partitions, and which of them it shows; on fake clients."""

import time
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from app.runtime.start_offsets import STAMP
from app.runtime.statistics import EngineCollector
from tests.runtime.engine.rig import A, B, engine_on, turn
from tests.runtime.fakes import EPOCH, TIME, FakeKafka, abortable, record
from topology.records import Outcome


def test_owned_partitions_are_shown_from_the_assignment_on(kafka: FakeKafka) -> None:
    """Without traffic too, with where the next read begins; until they are taken away."""
    kafka.offsets = {A: (7, "")}
    kafka.write("in", 0, *[b"x"] * 7)
    engine, _ = engine_on(kafka)
    turn(engine, 1)
    shown = engine.statistics.snapshot()["partitions"]
    assert [(each["partition"], each["next"]) for each in shown] == [(0, 7), (1, 0)]
    kafka.events.append(("revoke", [A, B]))
    turn(engine, 1)
    assert engine.statistics.snapshot()["partitions"] == []


def test_watermarks_are_shown_while_they_are_owned(kafka: FakeKafka) -> None:
    """How far event time is behind the clock is a metric; a partition that left is in none."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    mark = int((time.time() - 5.0) * 1000)
    copy.before_commit = lambda: Outcome(watermarks={("raw.nas", 2): mark})  # type: ignore[method-assign]
    turn(engine)

    def delays() -> list[Any]:
        families = {each.name: each for each in EngineCollector([engine.statistics]).collect()}
        return families["northbound_engine_watermark_delay_seconds"].samples

    (sample,) = delays()
    assert sample.labels == {"engine": "copy", "topic": "raw.nas", "partition": "2"}
    assert 5.0 <= sample.value < 60.0
    kafka.events.append(("lost", [A, B]))
    turn(engine, 1)
    assert delays() == []


def test_foreign_and_old_records_are_dropped(kafka: FakeKafka) -> None:
    """Records before the position or of partitions that are not owned are not delivered."""
    kafka.write("in", 0, b"a", b"b")
    engine, _ = engine_on(kafka)
    turn(engine)
    kafka.consumers[0].extra = [record(A, 1, b"b"), record(("in", 9), 0, b"x"), record(A, 5, b"c")]
    turn(engine)
    assert sorted(kafka.values("out")) == [b"a", b"b", b"c"]
    assert kafka.offsets[A] == (6, "")


def test_retention_that_was_faster_is_told(kafka: FakeKafka) -> None:
    """Records that were removed before they were read are counted and logged, never passed over."""
    kafka.offsets[A] = (3, "mark")
    kafka.low[A] = 10
    kafka.write("in", 0, b"later")
    engine, copy = engine_on(kafka)
    turn(engine)
    assert engine.statistics.skipped == 7
    assert copy.story[0] == ("assign", {A: (10, "mark"), B: (0, "")})
    assert kafka.values("out") == [b"later"]


def test_a_position_out_of_range_is_found_again(kafka: FakeKafka) -> None:
    """Retention that overtakes a running engine leads to the same count."""
    kafka.write("in", 0, b"a")
    engine, _ = engine_on(kafka)
    turn(engine)
    kafka.low[A] = 8
    kafka.log[A].clear()
    kafka.write("in", 0, b"b")
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "out of range")
    kafka.consumers[0].extra = [Message(topic="in", partition=0, error=error)]
    turn(engine, 5)
    assert engine.statistics.skipped == 7
    assert kafka.values("out") == [b"a", b"b"]


def test_a_topic_made_anew_is_read_from_its_beginning(kafka: FakeKafka) -> None:
    """A committed offset beyond the end belongs to a topic that is gone: all records are newer."""
    kafka.offsets[A] = (100, "old")
    kafka.stamps[A] = f"{STAMP}{TIME - 60_000}"
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    turn(engine)
    assert copy.story[0] == ("assign", {A: (0, ""), B: (0, "")})
    assert kafka.values("out") == [b"a"]


def test_a_topic_whose_end_was_cut_off_is_not_read_again(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker whose power failed has lost the newest records: what is left of those that were read
    comes once, what was written since is read, and event time goes on."""
    monkeypatch.setattr("app.offsets.SLACK_MS", 0)
    kafka.write("in", 0, *(b"%d" % number for number in range(100)))
    engine, copy = engine_on(kafka)
    copy.metadata = {A: "mark"}
    turn(engine)
    engine.stop()
    assert kafka.offsets[A] == (100, "mark")
    del kafka.log[A][60:]
    kafka.write("in", 0, b"new", b"newer")
    kafka.times = {("in", 0, 60): TIME + 3_600_000, ("in", 0, 61): TIME + 3_600_001}
    kafka.events.append(("assign", [A, B]))
    engine, copy = engine_on(kafka)
    turn(engine)
    assert copy.story[0] == ("assign", {A: (60, "mark"), B: (0, "")})
    assert kafka.values("out")[100:] == [b"new", b"newer"]
    # And where nothing was written since.
    engine.stop()
    del kafka.log[A][30:]
    kafka.events.append(("assign", [A, B]))
    _, copy = engine_on(kafka)
    turn(_)
    assert copy.story[0] == ("assign", {A: (30, "mark"), B: (0, "")})


def test_a_topic_that_was_cut_off_and_grew_while_no_worker_ran_is_read(kafka: FakeKafka) -> None:
    """Where reading goes on behind the gap is committed though there is nothing to read: else the
    next worker would leave out what lies before the position of the last one."""
    kafka.write("in", 0, *(b"%d" % number for number in range(100)))
    engine, _ = engine_on(kafka)
    turn(engine)
    engine.stop()
    kafka.log[A].clear()
    kafka.events.append(("assign", [A, B]))
    engine, _ = engine_on(kafka)
    turn(engine)
    engine.stop()
    kafka.write("in", 0, *(b"new %d" % number for number in range(200)))
    kafka.events.append(("assign", [A, B]))
    engine, _ = engine_on(kafka)
    turn(engine)
    assert kafka.values("out")[100:] == [b"new %d" % number for number in range(200)]
    assert kafka.offsets[A] == (200, "")


def test_an_end_that_was_cut_off_and_is_passed_again_is_noticed(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The consumer says so, going by the epochs of leaders; that the log is as long as before when
    its end is asked for does not mean that it is the same. The other partition is looked at too."""
    monkeypatch.setattr("app.offsets.SLACK_MS", 0)
    kafka.write("in", 0, *(b"%d" % number for number in range(100)))
    kafka.write("in", 1, b"other")
    engine, _ = engine_on(kafka)
    turn(engine)
    del kafka.log[A][60:]
    kafka.write("in", 0, *(b"new %d" % number for number in range(70)))
    kafka.times = {("in", 0, 60 + number): TIME + 3_600_000 + number for number in range(70)}
    consumer = kafka.consumers[0]
    consumer.positions[A] = 100  # where it stands while it finds out
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "truncation detected")
    consumer.extra = [Message(topic="in", partition=0, error=error)]
    turn(engine, 5)
    expected = [b"%d" % number for number in range(100)]
    expected += [b"new %d" % number for number in range(70)]
    assert sorted(kafka.values("out")) == sorted([*expected, b"other"])
    assert consumer.epochs == {A: None, B: EPOCH}


def test_a_topic_that_may_be_another_is_told_before_its_records(kafka: FakeKafka) -> None:
    """Event uids are made of the topic's id: those of a topic that was made anew must not be those
    of the old one. A position that goes on where it was says nothing of the kind."""
    told: list[str] = []
    kafka.write("in", 0, b"a")
    kafka.write("in", 1, b"b")
    engine, _ = engine_on(kafka, on_new_topic=told.append)
    turn(engine)
    assert told == ["in"]
    kafka.faults["commit"].append(abortable())
    kafka.write("in", 0, b"c")
    turn(engine)
    assert told == ["in"]
    del kafka.offsets[A], kafka.stamps[A]
    kafka.log[A].clear()
    kafka.write("in", 0, b"anew")
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "out of range")
    kafka.consumers[0].extra = [Message(topic="in", partition=0, error=error)]
    turn(engine, 5)
    assert told == ["in", "in"]
    assert kafka.values("out").count(b"anew") == 1

"""Rebalances, and a member that is ended: nothing is lost or doubled; on fake clients."""

import pytest
from confluent_kafka import KafkaError, Message

from app.runtime.errors import EngineError
from app.runtime.intake import REJOINS
from tests.runtime.engine.rig import NEVER, A, B, engine_on, turn
from tests.runtime.fakes import FakeKafka, fatal


def test_revocation_commits_at_the_barrier(kafka: FakeKafka) -> None:
    """What is done when partitions go away is committed before they do."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    turn(engine)
    engine._rhythm.committed(NEVER, NEVER)
    kafka.write("in", 0, b"b")
    delivered = engine.turn()
    assert [d.batch.values for d in delivered] == [[b"b"]]
    delivered[0].work()
    kafka.events.append(("revoke", [A, B]))
    assert engine.turn(delivered) == []
    assert kafka.values("out") == [b"a", b"b"]
    assert kafka.offsets[A] == (2, "")
    assert copy.story[-1] == ("revoke", [A, B])


def test_lost_partitions_are_aborted(kafka: FakeKafka) -> None:
    """Partitions that were taken away already commit nothing more."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    turn(engine, 2)
    kafka.events.append(("lost", [A, B]))
    turn(engine, 1)
    assert kafka.values("out") == []
    assert kafka.offsets == {}
    assert copy.story[-1] == ("revoke", [A, B])


def test_assign_without_revoke_in_an_open_transaction(kafka: FakeKafka) -> None:
    """What the open transaction has processed is aborted, not committed beside its repetition."""
    kafka.write("in", 0, b"a", b"b")
    engine, copy = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    turn(engine, 2)
    assert copy.story[-1] == ("process", [0, 1])
    kafka.events.append(("assign", [A, B]))
    engine.turn()
    engine._rhythm.committed(0.0, 0.0)
    turn(engine)
    assert kafka.values("out") == [b"a", b"b"]
    assert kafka.values("seen-changelog") == [b"1", b"1"]
    assert "abort" in kafka.calls


def test_records_fetched_before_a_rebalance_come_once(kafka: FakeKafka) -> None:
    """A poll that ran a rebalance delivers nothing; the same records come with the next one."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    turn(engine)
    kafka.write("in", 0, b"b")
    kafka.events.extend([("revoke", [A, B]), ("assign", [A, B])])
    turn(engine, 5)
    assert kafka.values("out") == [b"a", b"b"]
    assert [offsets for what, offsets in copy.story if what == "process"] == [[0], [1]]


def end_member(kafka: FakeKafka) -> None:
    """The last consumer is told that it was fenced."""
    error = KafkaError(KafkaError._FATAL, "fenced")
    kafka.consumers[-1].extra = [Message(topic="in", partition=0, error=error)]


@pytest.mark.parametrize("told", ["with its revocation", "by itself"])
def test_a_member_that_is_ended_joins_again(kafka: FakeKafka, told: str) -> None:
    """A new consumer goes on from the last commit: nothing is lost, doubled or left in the store.

    The only word of the end may come in the poll that takes the partitions away.
    """
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    turn(engine)
    end_member(kafka)
    if told == "with its revocation":
        kafka.events.append(("lost", [A, B]))
    engine.turn()
    first, second = kafka.consumers
    assert first.closed
    assert not second.closed
    assert kafka.values("out") == []
    kafka.write("in", 1, b"b")
    kafka.events.append(("assign", [A, B]))
    engine._rhythm.committed(0.0, 0.0)
    turn(engine)
    engine.stop()
    assert sorted(kafka.values("out")) == [b"a", b"b"]
    assert kafka.values("seen-changelog") == [b"1", b"1"]
    assert kafka.offsets == {A: (1, ""), B: (1, "")}
    assert engine.statistics.rejoins == 1
    assert copy.story.count(("revoke", [A, B])) == 2  # of it the last at the stop


def test_a_member_that_is_ended_over_and_over(kafka: FakeKafka) -> None:
    """Two processes with one name do not end each other for ever."""
    engine, _ = engine_on(kafka)
    turn(engine)
    for _ in range(REJOINS[0]):
        end_member(kafka)
        engine.turn()
    end_member(kafka)
    with pytest.raises(EngineError, match=r"was ended: .*its own state directory"):
        engine.turn()


def test_a_member_whose_name_another_process_has(kafka: FakeKafka) -> None:
    """That one has fenced the producer before it joined: this process ends and says so."""
    kafka.write("in", 0, b"a")
    engine, _ = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    turn(engine)
    end_member(kafka)
    kafka.faults["abort"].append(fatal())
    with pytest.raises(EngineError, match="Fenced"):
        engine.turn()
    assert len(kafka.consumers) == 1


def test_a_topic_that_may_not_be_read_ends_the_engine(kafka: FakeKafka) -> None:
    """No retry heals it; the message says what to do."""
    engine, _ = engine_on(kafka)
    turn(engine)
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "no")
    kafka.consumers[0].extra = [Message(topic="in", partition=0, error=error)]
    with pytest.raises(EngineError, match="Grant READ"):
        turn(engine)


def test_other_consumer_errors_lose_nothing(kafka: FakeKafka) -> None:
    """An error event among records is logged, the records are delivered."""
    engine, _ = engine_on(kafka)
    turn(engine)
    kafka.write("in", 0, b"a")
    error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART, "gone")
    kafka.consumers[0].extra = [Message(topic="other", partition=0, error=error)]
    turn(engine)
    assert kafka.values("out") == [b"a"]

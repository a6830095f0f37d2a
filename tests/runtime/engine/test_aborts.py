"""What an engine takes back, tries again or ends with when a transaction fails; on fake clients."""

from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.runtime.aborts import ABORTS
from app.runtime.errors import EngineError
from tests.runtime.engine.rig import A, B, Copy, engine_on, stick, turn
from tests.runtime.fakes import FakeKafka, abortable, fatal, retriable


@pytest.mark.parametrize("store", ["memory", "disk"])
@pytest.mark.parametrize("call", ["offsets", "commit", "produce"])
def test_an_abort_takes_back_everything(
    kafka: FakeKafka, tmp_path: Path, call: str, store: str
) -> None:
    """After an abort, state and positions are those of the last commit, and all comes again."""
    kafka.write("in", 0, b"a", b"b")
    kafka.faults[call].append(abortable())
    engine, copy = engine_on(kafka, state=tmp_path, store=store)
    turn(engine, 5)
    assert dict(copy.held["seen", 0].items()) == {b"a": b"1", b"b": b"1"}
    assert sorted(kafka.values("out")) == [b"a", b"b"]
    assert kafka.values("seen-changelog") == [b"1", b"1"]
    assert [what for what, _ in copy.story] == [
        "assign",
        "process",
        "revoke",
        "assign",
        "process",
    ]
    assert engine.statistics.aborts == 1
    assert engine.statistics.counts == {"copied": 2}


@pytest.mark.parametrize("store", ["memory", "disk"])
def test_what_is_processed_is_not_in_the_store_before_its_commit(
    kafka: FakeKafka, tmp_path: Path, store: str
) -> None:
    """A worker that ends in the middle of a transaction leaves no trace of it on disk."""
    kafka.write("in", 0, b"a")
    engine, _ = engine_on(kafka, state=tmp_path, store=store)
    turn(engine, 5)
    kafka.write("in", 0, b"a", b"b")
    kafka.faults["commit"].append(fatal())
    with pytest.raises(EngineError, match="Fenced"):
        turn(engine, 5)
    engine._assignment.drop()
    kafka.events.append(("assign", [A, B]))
    successor, copy = engine_on(kafka, state=tmp_path, store=store)
    turn(successor, 1)
    assert dict(copy.held["seen", 0].items()) == {b"a": b"1"}


def test_a_retriable_error_is_tried_again(kafka: FakeKafka) -> None:
    """A time-out of a commit is no abort: the call is made again until it is done."""
    kafka.write("in", 0, b"a")
    kafka.faults["commit"].extend([retriable(), retriable()])
    engine, _ = engine_on(kafka)
    turn(engine)
    assert kafka.values("out") == [b"a"]
    assert engine.statistics.aborts == 0


def test_a_call_that_is_never_done_ends_the_engine(kafka: FakeKafka) -> None:
    """Retries have an end; the message names the brokers."""
    kafka.write("in", 0, b"a")
    kafka.faults["commit"].extend(retriable() for _ in range(10_000_000 // 100))
    engine, _ = engine_on(kafka, call_timeout=0.2)
    with pytest.raises(EngineError, match="brokers at fake"):
        turn(engine)


@pytest.mark.parametrize("call", ["begin", "offsets", "commit", "abort"])
def test_fencing_ends_the_engine(kafka: FakeKafka, call: str) -> None:
    """A fenced producer is never used again, whichever call says so."""
    kafka.write("in", 0, b"a")
    if call == "abort":
        kafka.faults["commit"].append(abortable())
    kafka.faults[call].append(fatal())
    engine, _ = engine_on(kafka)
    with pytest.raises(EngineError, match="Fenced: another process has taken over"):
        turn(engine)
    assert kafka.values("out") == []


@pytest.mark.parametrize("call", ["offsets", "commit", "abort"])
def test_a_transaction_that_timed_out_costs_no_process(kafka: FakeKafka, call: str) -> None:
    """The coordinator aborts what is too old and fences its producer: a new one does it again."""
    kafka.write("in", 0, b"a", b"b")
    if call == "abort":
        kafka.faults["commit"].append(abortable())
    kafka.faults[call].append(fatal())
    engine, _ = engine_on(kafka, transaction_timeout=0.0)
    turn(engine, 6)
    assert kafka.values("out") == [b"a", b"b"]
    assert kafka.offsets["in", 0][0] == 2
    assert len(kafka.producers) == 2


@pytest.mark.parametrize(
    "call", ["send_offsets_to_transaction", "commit_transaction", "abort_transaction"]
)
def test_a_call_that_does_not_return_is_left_behind(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """As librdkafka's when a coordinator goes away: a new producer does the work again."""
    kafka.write("in", 0, b"a", b"b")
    if call == "abort_transaction":
        kafka.faults["commit"].append(abortable())
    engine, _ = engine_on(kafka, transaction_timeout=0.0)
    come_back = stick(kafka, monkeypatch, call)
    turn(engine, 6)
    come_back.set()
    assert kafka.values("out") == [b"a", b"b"]
    assert len(kafka.producers) == 2


def test_produce_in_a_broken_transaction_aborts_at_once(kafka: FakeKafka) -> None:
    """When the transaction has failed every record fails: no retry, one abort, then all again."""
    kafka.write("in", 0, *(b"%d" % n for n in range(20)))
    state = KafkaException(KafkaError(KafkaError._STATE, "transaction failed"))
    kafka.faults["produce"].extend([None] * 7 + [state])
    engine, _ = engine_on(kafka, Copy(stores=()))
    turn(engine, 5)
    assert kafka.values("out") == [b"%d" % n for n in range(20)]
    assert engine.statistics.aborts == 1


def test_ten_aborts_in_a_row_end_the_engine(kafka: FakeKafka) -> None:
    """An abort that repeats for ever is a crash, with its reason."""
    kafka.write("in", 0, b"a")
    kafka.faults["commit"].extend(abortable("always") for _ in range(ABORTS + 1))
    engine, _ = engine_on(kafka)
    with pytest.raises(EngineError, match="always"):
        turn(engine, 3 * ABORTS)


def test_few_slow_aborts_in_a_row_end_the_engine(kafka: FakeKafka) -> None:
    """When three took most of the time in which a stall is to be noticed, there is no tenth."""
    kafka.write("in", 0, b"a")
    kafka.faults["commit"].extend(abortable("always") for _ in range(ABORTS + 1))
    engine, _ = engine_on(kafka, stall_timeout=0.0)
    with pytest.raises(EngineError, match=r"3 transactions in a row were aborted: .*always"):
        turn(engine, 3 * ABORTS)

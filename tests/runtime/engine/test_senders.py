"""What timers and web views send beside the batches: once, or they are told; on fake clients."""

from typing import Any

import pytest

from app.runtime.errors import EngineError
from app.runtime.parcel import UNKNOWN, Parcel
from tests.runtime.engine.rig import cycle, engine_on, stick, turn
from tests.runtime.fakes import FakeKafka, abortable, fatal


@pytest.mark.parametrize(("done", "progress"), [(True, True), (False, True), (True, False)])
def test_what_a_timer_sends_goes_out_once_when_its_commit_does_not_answer(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, done: bool, progress: bool
) -> None:
    """The offsets of the transaction tell whether it was committed. Where it had none, the sender
    is told that nobody knows."""
    engine, _ = engine_on(kafka, transaction_timeout=0.0)
    turn(engine)
    if progress:
        kafka.write("in", 0, b"a")
    commit = kafka.producers[0].commit_transaction
    before = (lambda: commit(1.0)) if done else (lambda: None)
    come_back = stick(kafka, monkeypatch, "commit_transaction", before)
    answers: list[Any] = []
    delivered = engine.turn() if progress else []
    for each in delivered:
        each.work()
    engine.post(Parcel("sent", b"once", done=answers.append))
    engine.turn(delivered)
    turn(engine, 4)
    come_back.set()
    assert len(kafka.producers) == 2
    assert kafka.values("sent") == [b"once"]
    assert kafka.values("out") == ([b"a"] if progress else [])
    if progress:
        assert answers == [None]
    else:
        assert [str(each) for each in answers] == [UNKNOWN]


@pytest.mark.parametrize(
    ("call", "told"), [("commit", UNKNOWN), ("offsets", "the worker ended before the record was")]
)
def test_what_a_timer_sends_is_not_said_to_be_lost_where_nobody_knows(
    kafka: FakeKafka, call: str, told: str
) -> None:
    """A commit that ends the process may have been done; whoever sent the record and takes it for
    lost sends it twice. Before the commit is asked for it is lost."""
    answers: list[Any] = []
    engine, _ = engine_on(kafka)
    turn(engine)
    kafka.write("in", 0, b"a")
    delivered = cycle(engine, [])
    engine.post(Parcel("sent", b"once", done=answers.append))
    kafka.faults[call].append(fatal())
    with pytest.raises(EngineError, match="Fenced") as raised:
        engine.turn(delivered)
    engine.fail(raised.value)
    assert [str(each).startswith(told) for each in answers] == [True]


def test_posted_records_survive_an_abort(kafka: FakeKafka) -> None:
    """What a timer sends is answered when it is committed, and is sent again after an abort."""
    answers: list[Any] = []
    kafka.faults["commit"].append(abortable())
    engine, _ = engine_on(kafka)
    engine.post(Parcel("out", b"hello", b"key", 2, done=answers.append))
    engine.turn()
    assert answers == []
    turn(engine, 2)
    assert answers == [None]
    assert kafka.log["out", 2] == [(0, b"key", b"hello")]
    engine.stop()
    engine.post(Parcel("out", b"late", done=answers.append))
    assert isinstance(answers[-1], EngineError)

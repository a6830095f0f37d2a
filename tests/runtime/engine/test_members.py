"""What a commit proves, and what is told to who waits within a batch when the engine ends."""

from pathlib import Path
from typing import Any

import pytest

from app.runtime.errors import RecordRefusedError
from app.runtime.parcel import Parcel
from tests.runtime.engine.rig import A, B, Copy, engine_on, turn
from tests.runtime.fakes import FakeKafka


def test_a_record_that_no_broker_takes_is_told_to_its_sender(kafka: FakeKafka) -> None:
    """An agent that waits for the answer within its batch would wait until the watchdog ends the
    process, and nobody would hear the reason."""
    kafka.write("in", 0, b"a")
    engine, _ = engine_on(kafka)
    delivered: list[Any] = []
    while not delivered:
        delivered = engine.turn()
    answers: list[Any] = []
    engine.send(Parcel("out", b"undeliverable", done=answers.append))
    assert engine.serve()
    assert [type(each) for each in answers] == [RecordRefusedError]
    with pytest.raises(RecordRefusedError):
        engine.turn(delivered)
    assert kafka.offsets == {}


def test_the_place_of_a_store_is_noted_by_members_alone(kafka: FakeKafka, tmp_path: Path) -> None:
    """The changelog's end may stand behind what another member has written since this one lost its
    partitions unawares. Offsets are what its group refuses then, with the whole transaction."""
    engine, _ = engine_on(kafka, Copy(), store="disk", state=tmp_path)
    turn(engine)
    engine.post(Parcel("sent", b"once"))
    engine.turn()
    assert kafka.values("sent") == [b"once"]
    assert kafka.offsets == {A: (0, ""), B: (0, "")}
    engine.stop()


def test_a_store_is_changed_by_members_alone(kafka: FakeKafka) -> None:
    """What taking over has changed goes out with the next commit, maybe with one that is only about
    a sender's record. Who owns the partitions by then would restore changes of somebody else."""

    class Tidying(Copy):
        def assign(self, *arguments: Any) -> None:
            super().assign(*arguments)
            self.held["seen", 0].put(b"tidied", b"1")

    engine, _ = engine_on(kafka, Tidying())
    turn(engine)
    engine.post(Parcel("sent", b"once"))
    engine.turn()
    assert kafka.values("sent") == [b"once"]
    assert kafka.values("seen-changelog") == [b"1"]
    assert kafka.offsets == {A: (0, ""), B: (0, "")}

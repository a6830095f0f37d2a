"""The stores that go with an engine's partitions; on fake clients."""

import time
from typing import Any

import pytest

from app.runtime.disk_store import DiskError
from app.runtime.errors import EngineError
from app.runtime.stores import MAX_AGE
from tests.runtime.engine.rig import A, B, Copy, engine_on, turn
from tests.runtime.fakes import FakeKafka


def test_stores_and_changelogs_must_agree(kafka: FakeKafka) -> None:
    """An engine without a changelog for each store would lose state silently."""
    with pytest.raises(EngineError, match=r"stores .'seen'. need one changelog each"):
        engine_on(kafka, Copy(stores=("seen",)), changelogs={})


def test_a_store_goes_with_its_input_topic(kafka: FakeKafka) -> None:
    """A store of one input topic is opened where that one's partition is owned, not for another's
    of the same number; batches with such a store may span partitions."""
    kafka.events[0] = ("assign", [("in", 0), ("other", 1)])
    engine, copy = engine_on(
        kafka,
        Copy(stores=("seen", "rest")),
        topics=("in", "other"),
        changelogs={"seen": "seen-changelog", "rest": "rest-changelog"},
        inputs={"seen": "in", "rest": "other"},
        coalesce=True,
    )
    assert engine.settings.consumer_config()["partition.assignment.strategy"] == "roundrobin"
    engine.turn()
    assert set(copy.held) == {("seen", 0), ("rest", 1)}


@pytest.mark.parametrize(
    ("away", "back", "kept"),
    [(MAX_AGE - 60, 0, True), (MAX_AGE + 60, 0, False), (MAX_AGE + 60, 7_200, False)],
)
def test_a_kept_store_is_forgotten_when_deletions_may_be_gone(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, away: float, back: float, kept: bool
) -> None:
    """Partitions that come back after long: their changelog may lack deletions, so it is read; also
    where the clock was set back meanwhile."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    turn(engine, 5)
    kafka.events.append(("lost", [A, B]))
    turn(engine, 2)
    # Compaction removed the entry and, in the end, its deletion.
    kafka.log["seen-changelog", 0] = [(7, b"z", b"5")]
    now, steady = time.time(), time.monotonic
    monkeypatch.setattr(time, "time", lambda: now + away - back)
    monkeypatch.setattr(time, "monotonic", lambda: steady() + away)
    kafka.events.append(("assign", [A, B]))
    turn(engine, 2)
    expected = {b"z": b"5"} | ({b"a": b"1"} if kept else {})
    assert dict(copy.held["seen", 0].items()) == expected


def test_state_of_an_unknown_version_is_one_message(kafka: FakeKafka) -> None:
    """Nothing is overwritten, and the message says where the state is and what can be done."""
    kafka.write("in", 0, b"a")

    class Newer(Copy):
        def assign(self, *_: Any) -> None:
            raise ValueError("saw version 9 of a chunk, expected 1")

    engine, _ = engine_on(kafka, Newer())
    with pytest.raises(EngineError, match="seen-changelog cannot be taken over: saw version 9"):
        turn(engine)
    assert kafka.values("seen-changelog") == []
    assert kafka.offsets == {}


def test_a_disk_that_refuses_is_not_taken_for_unreadable_state(kafka: FakeKafka) -> None:
    """Who is told that the state cannot be taken over is told to delete the topic that it is in;
    here some space is all that it takes."""

    class Full(Copy):
        def assign(self, *_: Any) -> None:
            raise DiskError("Free some space.")

    engine, _ = engine_on(kafka, Full())
    with pytest.raises(DiskError, match=r"^Free some space\.$"):
        turn(engine)

"""Another sub-topology in the place of one that runs; on fake clients."""

import pytest

from app.runtime.errors import EngineError
from tests.runtime.engine.rig import NEVER, A, B, Copy, engine_on, turn
from tests.runtime.fakes import FakeKafka, abortable


def test_a_replacement_goes_on_where_the_last_commit_is(kafka: FakeKafka) -> None:
    """What the one before did is committed first; then state, positions and metadata are handed
    over, and the next batch is the other one's."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    turn(engine)
    engine._rhythm.committed(NEVER, NEVER)
    kafka.write("in", 0, b"a")
    delivered = engine.turn()
    copy.metadata = {A: "mark"}
    other = Copy()
    engine.replace(other)
    delivered[0].work()
    kafka.write("in", 0, b"a")
    delivered = engine.turn(delivered)
    assert kafka.offsets[A] == (2, "mark")
    assert copy.story[-2:] == [("process", [1]), ("revoke", [A, B])]
    assert other.story == [("assign", {A: (2, "mark"), B: (0, "")})]
    delivered[0].work()
    engine._rhythm.committed(-NEVER, -NEVER)
    engine.turn(delivered)
    assert kafka.values("seen-changelog") == [b"1", b"2", b"3"]
    assert kafka.values("out") == [b"a", b"a", b"a"]


def test_a_replacement_survives_an_abort(kafka: FakeKafka) -> None:
    """The commit before it is aborted: all comes again, once, and the other one is in use then."""
    engine, copy = engine_on(kafka)
    turn(engine)
    kafka.write("in", 0, b"a")
    engine._rhythm.committed(NEVER, NEVER)
    delivered = engine.turn()
    delivered[0].work()
    kafka.faults["commit"].append(abortable())
    other = Copy()
    engine.replace(other)
    engine.turn(delivered)
    engine._rhythm.committed(-NEVER, -NEVER)
    turn(engine, 5)
    assert engine.sub_topology is other
    assert kafka.values("out") == [b"a"]
    assert kafka.values("seen-changelog") == [b"1"]
    assert ("process", [0]) in copy.story + other.story


def test_a_replacement_has_the_same_stores(kafka: FakeKafka) -> None:
    """Another one would write to a changelog that nobody declared."""
    engine, _ = engine_on(kafka)
    with pytest.raises(EngineError, match=r"saw stores \[\], expected \['seen'\]"):
        engine.replace(Copy(()))

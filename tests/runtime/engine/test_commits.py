"""What an engine commits together, and when; on fake clients."""

import time
from typing import Any

import pytest

from app.runtime.rhythm import BEHIND, SOONEST
from tests.runtime.engine.rig import HOUR, NEVER, A, B, Copy, cycle, engine_on, turn
from tests.runtime.fakes import FakeKafka, abortable
from topology.records import Batch, Outcome, Output


def test_outputs_changes_and_offsets_commit_together(kafka: FakeKafka) -> None:
    """One transaction holds outputs, changelog records by input partition, and delivered + 1."""
    kafka.write("in", 0, b"a", b"b")
    kafka.write("in", 1, b"c", gap=5)
    engine, _ = engine_on(kafka)
    turn(engine)
    assert sorted(kafka.values("out")) == [b"a", b"b", b"c"]
    assert kafka.offsets == {A: (2, ""), B: (6, "")}
    assert [key for _, key, _ in kafka.log["seen-changelog", 0]] == [b"a", b"b"]
    assert [key for _, key, _ in kafka.log["seen-changelog", 1]] == [b"c"]
    assert kafka.calls.count("commit") == 1
    assert engine.statistics.counts == {"copied": 3}


def test_nothing_to_commit_opens_no_transaction(kafka: FakeKafka) -> None:
    """Idle turns cost no transaction."""
    engine, _ = engine_on(kafka)
    turn(engine, 10)
    assert kafka.calls == ["init", "committed"]


def test_a_quiet_engine_commits_long_before_the_interval(kafka: FakeKafka) -> None:
    """With nothing left behind, records are not kept until the interval is over."""
    engine, _ = engine_on(kafka, Copy(stores=()), commit_interval=HOUR)
    done: list[Any] = []
    deadline = time.monotonic() + 60
    for number in range(3):
        kafka.write("in", 0, b"%d" % number)
        while kafka.offsets.get(A, (0, ""))[0] <= number:
            assert time.monotonic() < deadline, f"record {number} was not committed"
            done = cycle(engine, done)
    assert kafka.values("out") == [b"0", b"1", b"2"]
    assert kafka.calls.count("commit") == 3


def test_a_backlog_is_committed_at_the_interval(kafka: FakeKafka) -> None:
    """While much is left behind, the interval decides; once it is not, the rest goes at once."""
    count, size = BEHIND + 500, 50
    kafka.write("in", 0, *(b"%d" % number for number in range(count)))
    engine, copy = engine_on(kafka, Copy(stores=()), commit_interval=HOUR, max_batch=size)
    work = copy.process

    def slow(batch: Batch) -> Outcome:
        """Work for as long as a quiet engine would leave between two commits."""
        time.sleep(SOONEST)
        return work(batch)

    copy.process = slow  # type: ignore[method-assign]
    done: list[Any] = []
    while engine.statistics.records < 400:
        done = cycle(engine, done)
    assert kafka.offsets == {A: (size, "")}, "the first batch ends a silence and is due at once"
    deadline = time.monotonic() + 60
    while kafka.offsets[A][0] < count:
        assert time.monotonic() < deadline, f"committed {kafka.offsets[A]} of {count}"
        done = cycle(engine, done)
    assert kafka.values("out") == [b"%d" % number for number in range(count)]


def test_progress_without_outputs_commits(kafka: FakeKafka) -> None:
    """Input that leads to nothing moves the offsets all the same."""
    kafka.write("in", 0, b"a")
    copy = Copy(stores=())
    copy.process = lambda _: Outcome()  # type: ignore[method-assign]
    engine, _ = engine_on(kafka, copy)
    turn(engine)
    assert kafka.offsets == {A: (1, "")}


def test_metadata_goes_with_the_offset_and_stays(kafka: FakeKafka) -> None:
    """Metadata is committed, kept by later commits, and comes back at the next assignment."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    copy.metadata = {A: "watermark", ("elsewhere", 7): "ignored"}
    turn(engine)
    copy.metadata = {}
    kafka.write("in", 0, b"b")
    turn(engine)
    assert kafka.offsets[A] == (2, "watermark")
    kafka.events.extend([("revoke", [A, B]), ("assign", [A])])
    turn(engine)
    assert copy.story[-1] == ("assign", {A: (2, "watermark")})


def test_late_outputs_go_with_the_commit(kafka: FakeKafka) -> None:
    """What before_commit returns is in the same transaction, by partition."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    copy.late = [Output("out", [b"mark"], partition=3)]
    turn(engine)
    assert kafka.log["out", 3] == [(0, None, b"mark")]


@pytest.mark.parametrize("limit", [1, 2, 7, 19])
def test_a_full_queue_keeps_order_and_count(kafka: FakeKafka, limit: int) -> None:
    """Where the output queue is full, work goes on at exactly that record."""
    values = [b"%d" % n for n in range(50)]
    kafka.write("in", 0, *values)
    engine, _ = engine_on(kafka, Copy(stores=()))
    kafka.producers[0].limit = limit
    turn(engine)
    assert kafka.values("out") == values


def test_keys_and_values_must_match(kafka: FakeKafka) -> None:
    """Fewer keys than values would silently drop records."""
    kafka.write("in", 0, b"a")
    copy = Copy(stores=())
    copy.process = lambda _: Outcome([Output("out", [b"x", b"y"], [b"k"])])  # type: ignore[method-assign]
    engine, _ = engine_on(kafka, copy)
    with pytest.raises(ValueError, match="2 values, 1 keys"):
        turn(engine)


def test_a_raising_stage_commits_nothing(kafka: FakeKafka) -> None:
    """`fail` aborts what earlier batches of the transaction wrote, too."""
    kafka.write("in", 0, b"a")
    engine, _ = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    turn(engine, 2)
    engine.fail()
    assert kafka.calls[-1] == "abort"
    assert kafka.values("out") == []


def test_stop_commits_and_leaves(kafka: FakeKafka) -> None:
    """A stop takes in what is done, commits it before its time and closes the consumer."""
    kafka.write("in", 0, b"a")
    engine, _ = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    engine.turn()
    delivered = engine.turn()
    delivered[0].work()
    engine.stop(delivered)
    assert kafka.values("out") == [b"a"]
    assert kafka.offsets == {A: (1, "")}
    assert kafka.consumers[0].closed


@pytest.mark.parametrize("call", ["offsets", "commit", "produce"])
def test_a_stop_whose_transaction_is_aborted_commits_no_offsets(
    kafka: FakeKafka, call: str
) -> None:
    """Leaving the group does not commit what the aborted transaction had done: the next worker
    does it."""
    kafka.write("in", 0, b"a", b"b")
    engine, _ = engine_on(kafka)
    engine._rhythm.committed(NEVER, NEVER)
    engine.turn()
    delivered = engine.turn()
    delivered[0].work()
    kafka.faults[call].append(abortable())
    engine.stop(delivered)
    assert kafka.consumers[0].closed
    assert (kafka.values("out"), kafka.offsets) == ([], {})
    kafka.events.append(("assign", [A, B]))
    turn(engine_on(kafka)[0], 3)
    assert sorted(kafka.values("out")) == [b"a", b"b"]


def test_coalesced_batches_span_partitions(kafka: FakeKafka) -> None:
    """A stateless engine may get all partitions of a topic as one batch."""
    kafka.write("in", 0, b"a", b"b")
    kafka.write("in", 1, b"c")
    engine, copy = engine_on(kafka, Copy(stores=()), coalesce=True)
    turn(engine)
    assert engine.statistics.batches == 1
    assert kafka.offsets == {A: (2, ""), B: (1, "")}
    assert copy.story[-1] == ("process", [0, 1, 0])

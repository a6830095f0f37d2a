"""The engine's decisions, on fake clients: what is committed, dropped, delivered again."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from app.runtime.assignment import STAMP
from app.runtime.disk_store import DiskError
from app.runtime.engine import ABORTS, Engine
from app.runtime.errors import EngineError, RecordRefusedError
from app.runtime.intake import REJOINS
from app.runtime.parcel import UNKNOWN, Parcel
from app.runtime.rhythm import BEHIND, SOONEST
from app.runtime.settings import EngineSettings
from app.runtime.statistics import EngineCollector
from app.runtime.stores import MAX_AGE
from app.runtime.watchdog import Watchdog
from tests.runtime.fakes import (
    TIME,
    FakeKafka,
    FakeProducer,
    abortable,
    fatal,
    record,
    retriable,
)
from topology.records import Batch, KeyValueStore, Outcome, Output, Position
from topology.topics import Partition

A, B = ("in", 0), ("in", 1)
CHANGELOG = {"seen": "seen-changelog"}
NEVER = 1e12
"""A time of the monotonic clock that no test reaches."""
HOUR = 3600.0


class Copy:
    """Copies values and keeps each in the store; writes down what the engine tells it."""

    def __init__(self, stores: Sequence[str] = ("seen",)) -> None:
        self.name = "copy"
        self.stores = stores
        self.story: list[Any] = []
        self.held: Mapping[tuple[str, int], KeyValueStore] = {}
        self.metadata: dict[Partition, str] = {}
        self.late: list[Output] = []

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        self.held = stores
        self.story.append(("assign", {w: (p.offset, p.metadata) for w, p in positions.items()}))

    def revoke(self, partitions: Sequence[Partition]) -> None:
        self.story.append(("revoke", sorted(partitions)))

    def process(self, batch: Batch) -> Outcome:
        self.story.append(("process", batch.offsets.tolist()))
        if self.stores:
            store = self.held["seen", int(batch.partitions[0])]
            for value in batch.values:
                store.put(value or b"", b"%d" % (int(store.get(value or b"") or 0) + 1))
        return Outcome([Output("out", batch.values)], counts={"copied": len(batch)})

    def before_commit(self) -> Outcome:
        late, self.late = self.late, []
        return Outcome(late, dict(self.metadata))


def engine_on(
    kafka: FakeKafka, sub_topology: Copy | None = None, **options: Any
) -> tuple[Engine, Copy]:
    """A started engine that commits at every turn."""
    sub_topology = sub_topology or Copy()
    changelogs = CHANGELOG if sub_topology.stores else {}
    settings = EngineSettings(
        **{
            "name": "copy",
            "group": "group",
            "topics": ("in",),
            "instance": "copy-0",
            "client": {"bootstrap.servers": "fake"},
            "changelogs": changelogs,
            "commit_interval": 0.0,
            "call_timeout": 60.0,
            **options,
        }
    )
    engine = Engine(settings, sub_topology, watchdog=Watchdog(), clients=kafka)
    engine.start()
    return engine, sub_topology


def turn(engine: Engine, times: int = 3) -> None:
    """Some whole cycles."""
    done: list[Any] = []
    for _ in range(times):
        done = engine.turn(done)
        for delivery in done:
            delivery.work()
    engine.turn(done)


def cycle(engine: Engine, done: Sequence[Any]) -> list[Any]:
    """One cycle: what was done before is taken over, and what is next is worked on."""
    delivered = engine.turn(done)
    for delivery in delivered:
        delivery.work()
    return delivered


@pytest.fixture
def kafka() -> FakeKafka:
    kafka = FakeKafka()
    kafka.events.append(("assign", [A, B]))
    return kafka


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


@pytest.mark.parametrize(("away", "kept"), [(MAX_AGE - 60, True), (MAX_AGE + 60, False)])
def test_a_kept_store_is_forgotten_when_deletions_may_be_gone(
    kafka: FakeKafka, monkeypatch: pytest.MonkeyPatch, away: float, kept: bool
) -> None:
    """Partitions that come back after long: their changelog may lack deletions, so it is read."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka)
    turn(engine, 5)
    kafka.events.append(("lost", [A, B]))
    turn(engine, 2)
    # Compaction removed the entry and, in the end, its deletion.
    kafka.log["seen-changelog", 0] = [(7, b"z", b"5")]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + away)
    kafka.events.append(("assign", [A, B]))
    turn(engine, 2)
    expected = {b"z": b"5"} | ({b"a": b"1"} if kept else {})
    assert dict(copy.held["seen", 0].items()) == expected


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


def stick(
    kafka: FakeKafka,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    before: Callable[[], None] = lambda: None,
) -> threading.Event:
    """A call of the first producer that does not come back before the event is set, when `before`
    was done. All others have as long as a busy machine needs."""
    come_back = threading.Event()
    make = kafka.producer

    def wait(seconds: float) -> None:
        monkeypatch.setattr("app.runtime.transaction.SLICE", seconds)
        monkeypatch.setattr("app.runtime.transaction.GRACE", seconds)

    def stuck(_: FakeProducer) -> Callable[..., object]:
        before()
        wait(0.1)
        return lambda *_: come_back.wait(60)

    def another(config: Mapping[str, Any], on_delivery: Any) -> FakeProducer:
        wait(60.0)
        return make(config, on_delivery)

    kafka.producers[0].__class__ = type("Stuck", (FakeProducer,), {call: property(stuck)})
    monkeypatch.setattr(kafka, "producer", another)
    wait(60.0)
    return come_back


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


def test_a_failed_delivery_is_never_committed_over(kafka: FakeKafka) -> None:
    """Other records of a transaction do not appear when one was not delivered."""
    kafka.write("in", 0, b"a", b"undeliverable")
    engine, _ = engine_on(kafka)
    with pytest.raises(RecordRefusedError, match=r"topic out was not taken: .*too large"):
        turn(engine)
    assert kafka.values("out") == []
    assert kafka.offsets == {}


def test_an_output_that_no_broker_takes_is_isolated(kafka: FakeKafka, tmp_path: Path) -> None:
    """Each start narrows down which input leads to it; in the end that alone is rejected."""
    values = [b"%d" % number for number in range(400)]
    kafka.write("in", 0, *values[:250], b"undeliverable", *values[250:])
    rejected: list[Any] = []
    for _ in range(5):
        engine, copy = engine_on(kafka, Copy(stores=()), state=tmp_path)
        copy.reject = lambda batch, reason: rejected.append((batch.values, reason)) or Outcome()  # type: ignore[attr-defined]
        with pytest.raises(RecordRefusedError):
            turn(engine, 500)
        engine.fail()
        kafka.events.append(("assign", [A, B]))
    engine, copy = engine_on(kafka, Copy(stores=()), state=tmp_path)
    copy.reject = lambda batch, reason: rejected.append((batch.values, reason)) or Outcome()  # type: ignore[attr-defined]
    turn(engine, 500)
    assert rejected == [([b"undeliverable"], "the record ended the worker's process")]
    assert kafka.values("out") == values
    assert engine.statistics.rejected == 1


def test_produce_in_a_broken_transaction_aborts_at_once(kafka: FakeKafka) -> None:
    """When the transaction has failed every record fails: no retry, one abort, then all again."""
    kafka.write("in", 0, *(b"%d" % n for n in range(20)))
    state = KafkaException(KafkaError(KafkaError._STATE, "transaction failed"))
    kafka.faults["produce"].extend([None] * 7 + [state])
    engine, _ = engine_on(kafka, Copy(stores=()))
    turn(engine, 5)
    assert kafka.values("out") == [b"%d" % n for n in range(20)]
    assert engine.statistics.aborts == 1


@pytest.mark.parametrize("limit", [1, 2, 7, 19])
def test_a_full_queue_keeps_order_and_count(kafka: FakeKafka, limit: int) -> None:
    """Where the output queue is full, work goes on at exactly that record."""
    values = [b"%d" % n for n in range(50)]
    kafka.write("in", 0, *values)
    engine, _ = engine_on(kafka, Copy(stores=()))
    kafka.producers[0].limit = limit
    turn(engine)
    assert kafka.values("out") == values


def test_a_record_too_large_ends_the_engine(kafka: FakeKafka) -> None:
    """The size of an output is the stage's business; nothing of the batch is committed."""
    kafka.write("in", 0, b"a")
    large = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    kafka.faults["produce"].append(large)
    engine, _ = engine_on(kafka)
    with pytest.raises(EngineError, match="1 bytes for topic out is larger"):
        turn(engine)
    assert kafka.offsets == {}


def test_keys_and_values_must_match(kafka: FakeKafka) -> None:
    """Fewer keys than values would silently drop records."""
    kafka.write("in", 0, b"a")
    copy = Copy(stores=())
    copy.process = lambda _: Outcome([Output("out", [b"x", b"y"], [b"k"])])  # type: ignore[method-assign]
    engine, _ = engine_on(kafka, copy)
    with pytest.raises(ValueError, match="2 values, 1 keys"):
        turn(engine)


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


def test_foreign_and_old_records_are_dropped(kafka: FakeKafka) -> None:
    """Records before the position or of partitions that are not owned are not delivered."""
    kafka.write("in", 0, b"a", b"b")
    engine, _ = engine_on(kafka)
    turn(engine)
    kafka.consumers[0].extra = [record(A, 1, b"b"), record(("in", 9), 0, b"x"), record(A, 5, b"c")]
    turn(engine)
    assert sorted(kafka.values("out")) == [b"a", b"b", b"c"]
    assert kafka.offsets[A] == (6, "")


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


def test_coalesced_batches_span_partitions(kafka: FakeKafka) -> None:
    """A stateless engine may get all partitions of a topic as one batch."""
    kafka.write("in", 0, b"a", b"b")
    kafka.write("in", 1, b"c")
    engine, copy = engine_on(kafka, Copy(stores=()), coalesce=True)
    turn(engine)
    assert engine.statistics.batches == 1
    assert kafka.offsets == {A: (2, ""), B: (1, "")}
    assert copy.story[-1] == ("process", [0, 1, 0])


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


def test_what_is_wrong_with_kafka_is_no_records_fault(kafka: FakeKafka, tmp_path: Path) -> None:
    """A topic that is missing ends the process as often as it starts; once it is there, the record
    that was in work is worked on, not rejected."""
    kafka.write("in", 0, b"a")
    kafka.events.clear()
    rejected: list[Any] = []
    for start in range(6):
        kafka.events.append(("assign", [A, B]))
        if start < 5:
            missing = KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))
            kafka.faults["produce"].append(missing)
        engine, copy = engine_on(kafka, Copy(stores=()), state=tmp_path)
        copy.reject = lambda batch, reason: rejected.append((batch, reason))  # type: ignore[attr-defined]
        try:
            turn(engine, 20)
        except EngineError:
            engine.fail()
    assert (rejected, kafka.values("out")) == ([], [b"a"])


def test_a_disk_that_refuses_is_no_records_fault(kafka: FakeKafka, tmp_path: Path) -> None:
    """A full disk ends the process while a record is in work, as often as it starts; once there is
    room, the record is worked on, not rejected."""
    kafka.write("in", 0, b"a")
    kafka.events.clear()
    rejected: list[Any] = []
    for start in range(6):
        kafka.events.append(("assign", [A, B]))
        engine, copy = engine_on(kafka, Copy(stores=()), state=tmp_path)
        copy.reject = lambda batch, reason: rejected.append((batch, reason))  # type: ignore[attr-defined]
        if start < 5:
            copy.process = refusing  # type: ignore[method-assign]
        try:
            turn(engine, 20)
        except DiskError as error:
            engine.fail(error)
    assert (rejected, kafka.values("out")) == ([], [b"a"])


def test_a_panic_of_native_code_is_told_at_once(kafka: FakeKafka) -> None:
    """It is no Exception in Python, which would leave the engine waiting for its batch."""
    kafka.write("in", 0, b"a")
    engine, copy = engine_on(kafka, Copy(stores=()))
    copy.process = panicking  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="Polars panicked: out of range"):
        turn(engine)


def panicking(_: Batch) -> Outcome:
    """A stage in which Polars meets what it did not expect."""
    raise pl.exceptions.PanicException("out of range")


def refusing(_: Batch) -> Outcome:
    """A stage whose store is on a full disk."""
    raise DiskError("no room")


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


def test_stores_and_changelogs_must_agree(kafka: FakeKafka) -> None:
    """An engine without a changelog for each store would lose state silently."""
    with pytest.raises(EngineError, match=r"stores .'seen'. need one changelog each"):
        engine_on(kafka, Copy(stores=("seen",)), changelogs={})


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

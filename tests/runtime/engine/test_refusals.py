"""Records that end a process, and what is no record's fault; on fake clients."""

import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka import KafkaError, KafkaException

from app.runtime.disk_store import DiskError
from app.runtime.errors import EngineError, RecordRefusedError
from app.runtime.inflight import InFlight
from tests.runtime.engine.rig import A, B, Copy, engine_on, turn
from tests.runtime.fakes import FakeKafka
from topology.records import Batch, Outcome


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


def test_a_record_too_large_ends_the_engine(kafka: FakeKafka) -> None:
    """The size of an output is the stage's business; nothing of the batch is committed."""
    kafka.write("in", 0, b"a")
    large = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
    kafka.faults["produce"].append(large)
    engine, _ = engine_on(kafka)
    with pytest.raises(EngineError, match="1 bytes for topic out is larger"):
        turn(engine)
    assert kafka.offsets == {}


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


class Late(Copy):
    """What it does with a record breaks in the end, before the commit."""

    def __init__(self, rejected: list[Any]) -> None:
        super().__init__(stores=())
        self.taken: list[bytes | None] = []
        self.rejected = rejected

    def process(self, batch: Batch) -> Outcome:
        self.taken += batch.values
        return super().process(batch)

    def before_commit(self) -> Outcome:
        taken, self.taken = self.taken, []
        if b"deadly" in taken:
            raise pl.exceptions.PanicException("no group of it can be written")
        return Outcome()

    def reject(self, batch: Batch, reason: str) -> Outcome:
        self.rejected.append((batch.values, reason))
        return Outcome()


def test_a_record_that_breaks_the_commit_is_isolated(kafka: FakeKafka, tmp_path: Path) -> None:
    """What a batch leads to may be written only before the commit. A record that ends the process
    there is found as one that ends it at once is, and all others are worked on."""
    values = [b"%d" % number for number in range(400)]
    kafka.write("in", 0, *values[:250], b"deadly", *values[250:])
    rejected: list[Any] = []
    for _ in range(5):
        engine, _ = engine_on(kafka, Late(rejected), state=tmp_path)
        with pytest.raises(RuntimeError, match="Polars panicked") as raised:
            turn(engine, 500)
        engine.fail(raised.value)
        kafka.events.append(("assign", [A, B]))
    engine, _ = engine_on(kafka, Late(rejected), state=tmp_path)
    turn(engine, 500)
    assert rejected == [([b"deadly"], "the record ended the worker's process")]
    assert kafka.values("out") == values


def test_what_others_have_to_find_out_slows_nobody(kafka: FakeKafka, tmp_path: Path) -> None:
    """A worker that ended with records in work may not get their partition back. Its others are
    not worked on one by one, each with a commit of its own, for the rest of its life."""
    InFlight(tmp_path / "copy-0.inflight").begin({("in", 2): (0, 9)})
    kafka.write("in", 0, b"a")
    kafka.write("in", 1, b"b")
    engine, _ = engine_on(kafka, Copy(stores=()), state=tmp_path)
    delivered: list[Any] = []
    deadline = time.monotonic() + 60
    while not delivered:
        assert time.monotonic() < deadline, "nothing was delivered"
        delivered = engine.turn()
    assert [each.values for each in delivered] == [[b"a"], [b"b"]]

"""What comes, closes or breaks while a spool drains loses nothing and ends nobody."""

import os
from pathlib import Path
from typing import Any, get_args

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.ingest.batch import Batch, KeyBy
from app.ingest.listeners import left_over
from app.ingest.publisher import Publisher
from app.ingest.settings import ListenerSettings
from app.ingest.spill import Spill
from app.ingest.spool import Spool

ROOM = 1 << 20


class Kafka:
    """A publisher that takes everything and acknowledges when it is told to."""

    stalled = full = False

    def __init__(self) -> None:
        self.in_flight = 0
        self.got: list[bytes] = []

    def publish(self, lines: list[bytes], *_: Any) -> bool:
        self.in_flight += len(lines)
        self.got += lines
        return True

    def poll(self, _: float) -> None: ...

    def surrender(self) -> list[Batch]:
        self.in_flight = 0
        return []


def spilled(folder: Path, *lines: bytes) -> tuple[Kafka, Spill]:
    """Kafka is back, and these lines are in the spool."""
    kafka = Kafka()
    spill = Spill(kafka, Spool(folder, ROOM))  # type: ignore[arg-type]
    kafka.stalled = True
    spill.take(list(lines), b"peer", "peer")
    kafka.stalled = False
    return kafka, spill


def test_what_comes_behind_what_was_read_stays(tmp_path: Path) -> None:
    """Lines that are written between a read to the end and its acknowledgement are read next."""

    def batch(*lines: bytes) -> Batch:
        return Batch(list(lines), b"peer", "peer", None, 1)

    spool = Spool(tmp_path, ROOM)
    spool.append(batch(b"a", b"b"))
    read, end = spool.read(10_000)
    spool.append(batch(b"c"))
    spool.commit(end, sum(len(each.lines) for each in read))
    assert spool.depth == 1
    left, end = spool.read(10_000)
    assert [each.lines for each in left] == [[b"c"]]
    spool.commit(end, 1)
    assert (spool.depth, spool.size, spool.dropped) == (0, 0, 0)
    spool.append(batch(b"d"))
    spool.close()
    assert [each.lines for each in Spool(tmp_path, ROOM).read(9)[0]] == [[b"d"]]


def test_traffic_during_a_drain_is_not_lost(tmp_path: Path) -> None:
    """Lines that come while the last of the spool is on its way to Kafka follow it."""
    kafka, spill = spilled(tmp_path, b"1", b"2")
    spill.turn(1.0)
    spill.take([b"3"], b"peer", "peer")
    for now in (2.0, 3.0, 4.0):
        kafka.in_flight = 0
        spill.turn(now)
    spill.take([b"4"], b"peer", "peer")
    assert kafka.got == [b"1", b"2", b"3", b"4"]
    assert spill.spool.dropped == 0


@pytest.mark.parametrize("by", get_args(KeyBy))
def test_lines_keep_what_they_are_keyed_by(tmp_path: Path, by: KeyBy) -> None:
    """Those of a host stay in one partition, in order, whether they waited on disk or not."""
    spool = Spool(tmp_path, ROOM)
    spool.append(Batch([b"<13>Oct 11 22:14:15 nas-1 app: a"], b"relay", by, None, 1))
    spool.close()
    ((found,), _) = Spool(tmp_path, ROOM).read(1)
    assert found.by == by
    assert found.key == (None if by == "spread" else b"relay")


def test_spools_of_before_are_read(tmp_path: Path) -> None:
    """Their records do not say what they are keyed by: it is the peer."""
    old = bytes.fromhex(
        "dbe0f519"  # CRC-32
        "0f000000" "02000000" "0400" "0000" "0100000000000000"
        "70656572" "01000000" "02000000" "616262"
    )  # fmt: skip
    (tmp_path / f"{1:020d}.spool").write_bytes(old)
    ((found,), _) = Spool(tmp_path, ROOM).read(1)
    assert found == Batch([b"a", b"bb"], b"peer", "peer", None, 1)


def test_a_closed_one_drains_no_more(tmp_path: Path) -> None:
    """What is kept on disk at a stop is not sent as well, whoever still calls."""
    kafka, spill = spilled(tmp_path, b"1")
    spill.close()
    spill.turn(5.0)
    assert kafka.got == []


def test_a_position_that_cannot_be_saved_ends_nobody(tmp_path: Path) -> None:
    """A disk that is full when the drain begins: lines go on, and are counted as they are."""
    kafka, spill = spilled(tmp_path, b"1")
    (tmp_path / "position.new").mkdir()
    for now in (1.0, 2.0, 3.0):
        spill.turn(now)
        kafka.in_flight = 0
    assert kafka.got == [b"1"]
    assert spill.spool.depth == 0


def test_a_topic_that_is_missing_for_a_while_refuses_no_line() -> None:
    """What librdkafka does not take for a reason that goes away is held, not refused."""

    class Producer:
        def __init__(self) -> None:
            self.got: list[bytes] = []
            self.there = False

        def __len__(self) -> int:
            return 0

        def produce(self, _: str, value: bytes, *__: Any, **___: Any) -> None:
            if not self.there:
                raise KafkaException(KafkaError(KafkaError._UNKNOWN_TOPIC))
            self.got.append(value)

        def poll(self, _: float) -> int:
            return 0

    publisher = Publisher({"bootstrap.servers": "127.0.0.1:1"}, "raw.x")
    producer = publisher._producer = Producer()
    publisher.publish([b"a", b"b"], b"k")
    producer.there = True
    for now in (5.0, 9.0):
        publisher.poll(now)
    assert (producer.got, publisher.refused.total()) == ([b"a", b"b"], 0)


def test_a_position_that_was_not_saved_hides_nothing(tmp_path: Path) -> None:
    """A disk that was full, or a kill between the two steps, leaves the place in a segment that is
    gone: what is spooled after a restart is read from its beginning."""
    spool = Spool(tmp_path, ROOM)
    first, second = (Batch([each * 10], b"peer", "peer", None, 1) for each in (b"a", b"b"))
    spool.append(first)
    spool.append(second)
    _, end = spool.read(1)
    spool.commit(end, 1)
    saved = (tmp_path / "position").read_text()
    _, end = spool.read(1)
    spool.commit(end, 1)
    spool.close()
    (tmp_path / "position").write_text(saved)
    again = Spool(tmp_path, ROOM)
    again.append(Batch([b"new"], b"peer", "peer", None, 1))
    assert [each.lines for each in again.read(10)[0]] == [[b"new"]]


def test_a_segment_shorter_than_what_was_drained_hides_nothing(tmp_path: Path) -> None:
    """A machine without power may have written the position and not the lines before it."""
    spool = Spool(tmp_path, ROOM)
    for each in (b"a", b"b"):
        spool.append(Batch([each * 10], b"peer", "peer", None, 1))
    _, end = spool.read(1)
    spool.commit(end, 1)
    spool.close()
    (segment,) = tmp_path.glob("*.spool")
    os.truncate(segment, 3)
    again = Spool(tmp_path, ROOM)
    assert again.depth == 0
    again.append(Batch([b"new"], b"peer", "peer", None, 1))
    assert [each.lines for each in again.read(10)[0]] == [[b"new"]]


def test_spools_of_listeners_that_are_gone_are_told(tmp_path: Path) -> None:
    """One whose port or number of threads has changed left lines behind; one that is empty, or in
    use, is none of them."""

    def udp(port: int, threads: int = 1) -> ListenerSettings:
        return ListenerSettings(
            source="nas",
            host="0.0.0.0",  # nothing is opened
            port=port,
            protocol="udp",
            spool=tmp_path,
            spool_bytes=ROOM,
            threads=threads,
        )

    for name in ("nas-udp-0.0.0.0-514-0", "nas-udp-0.0.0.0-514-1", "nas-udp-0.0.0.0-5514-0"):
        Spool(tmp_path / name, ROOM).append(Batch([b"line"], b"peer", "peer", None, 1))
    Spool(tmp_path / "nas-udp-0.0.0.0-6514-0", ROOM)
    assert left_over([udp(514, 2), udp(5514)]) == []
    found = left_over([udp(514), udp(6514)])
    assert [each.name for each, _ in found] == ["nas-udp-0.0.0.0-514-1", "nas-udp-0.0.0.0-5514-0"]
    assert all(size > 4 for _, size in found)

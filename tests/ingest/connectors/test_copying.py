"""Where a copy goes on: what it keeps of that, and when the next record is not there. No broker."""

import threading
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from app.ingest.connectors import source_offsets, source_topics
from app.ingest.connectors.copy_error import CopyError
from app.ingest.connectors.source_offsets import Place, Position, SourceOffsets
from app.ingest.connectors.source_topics import SourceTopics, reached

AUDIT: Place = ("audit", 0)
TIME = 1_700_000_000_000
LOST = Message(topic="audit", partition=0, error=KafkaError(KafkaError._AUTO_OFFSET_RESET))


class Theirs:
    """A consumer of `audit`, which has records from `low` to `high`; that at `newest` was written
    an hour after TIME."""

    def __init__(self, low: int, high: int, newest: int = -1) -> None:
        self.bounds, self.newest = (low, high), newest
        self.assigned: dict[Place, int] = {}

    def list_topics(self, **_: Any) -> Any:
        topic = SimpleNamespace(error=None, partitions={0: None})
        return SimpleNamespace(cluster_id="theirs", topics={"audit": topic})

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return self.bounds

    def offsets_for_times(self, wanted: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        (one,) = wanted
        assert one.offset <= TIME < one.offset + 60_000
        return [TopicPartition(*AUDIT, self.newest)]

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.assigned = {(one.topic, one.partition): one.offset for one in partitions}


def reading(monkeypatch: pytest.MonkeyPatch, theirs: Theirs, position: Position) -> SourceTopics:
    """What reads `audit` from there on."""
    monkeypatch.setattr(source_topics, "Consumer", lambda _: theirs)
    source = SourceTopics({}, ["audit"], "copy")
    source.open()
    assert source.find({("theirs", AUDIT): position}, at_end=False)
    assert theirs.assigned == {AUDIT: position.offset}
    return source


@pytest.mark.parametrize(
    ("high", "newest", "stamp", "begin"),
    [(62, 60, TIME, 60), (62, -1, TIME, 62), (62, 60, None, 0), (130, 60, TIME, 60)],
    ids=["written since", "nothing written", "copied by an older version", "longer again"],
)
def test_a_topic_whose_end_was_cut_off_is_not_copied_again(
    monkeypatch: pytest.MonkeyPatch, high: int, newest: int, stamp: int | None, begin: int
) -> None:
    """A broker whose power failed has lost the newest records: what is newer than the record copied
    last is copied; all is where its time is not known."""
    theirs = Theirs(0, high, newest)
    source = reading(monkeypatch, theirs, Position(100, stamp))
    assert source.look_at(LOST) == ("cut_off", {AUDIT: Position(begin, stamp)})
    assert theirs.assigned == {AUDIT: begin}


def test_what_retention_took_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And copying goes on at the first record that there is."""
    source = reading(monkeypatch, Theirs(150, 200), Position(100, TIME))
    assert source.look_at(LOST) == ("gone", {AUDIT: Position(150, TIME)})


def test_the_time_of_the_last_record_is_kept() -> None:
    """Of each partition; none where the record has none."""
    records = [
        Message(topic="audit", partition=number, offset=offset, value=b"x", timestamp=stamp)
        for number, offset, stamp in [(0, 7, (1, TIME)), (1, 3, (0, -1)), (0, 9, (1, TIME + 5))]
    ]
    assert reached(records) == {AUDIT: Position(10, TIME + 5), ("audit", 1): Position(4)}


class Ours:
    """The compacted topic, with a producer's and a consumer's calls on it."""

    def __init__(self) -> None:
        self.log: list[Message] = []

    def produce(
        self,
        topic: str,
        value: bytes | None,
        key: bytes | None,
        headers: Mapping[str, bytes] | None = None,
    ) -> None:
        pairs = list((headers or {}).items())
        self.log.append(Message(topic=topic, partition=0, value=value, key=key, headers=pairs))

    def begin_transaction(self) -> None: ...

    def commit_transaction(self, _: float) -> None: ...

    def assign(self, _: Any) -> None: ...

    def close(self) -> None: ...

    def consume(self, *_: Any) -> list[Message]:
        return self.log


def kept(monkeypatch: pytest.MonkeyPatch) -> tuple[SourceOffsets, Any]:
    """What a copy keeps, and the topic that it is in."""
    ours = Ours()
    monkeypatch.setattr(source_offsets, "Consumer", lambda _: ours)
    return SourceOffsets({}, "connector-offsets", "copy"), ours


def test_positions_are_read_as_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the time of the last record; those of an older version have none. Other copies' records,
    and whatever else is in the topic, are not ours, nor is what somebody has deleted."""
    offsets, ours = kept(monkeypatch)
    offsets.produce(ours, "theirs", {AUDIT: Position(5, TIME), ("gone", 0): Position(9, TIME)})
    offsets.produce(ours, "theirs", {AUDIT: Position(8, TIME + 1)})
    ours.produce("connector-offsets", b"3", b'["copy","theirs","audit",1]')
    ours.produce("connector-offsets", None, b'["copy","theirs","gone",0]')
    ours.produce("connector-offsets", b"1", b'["copy-2","theirs","audit",0]')
    ours.produce("connector-offsets", b"?", None)
    assert offsets.read(ours, threading.Event()) == {
        ("theirs", AUDIT): Position(8, TIME + 1),
        ("theirs", ("audit", 1)): Position(3),
    }


def test_an_offsets_topic_that_cannot_be_read_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that may write it and not read it, for instance."""
    offsets, ours = kept(monkeypatch)
    error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, "Topic authorization failed")
    monkeypatch.setattr(
        ours, "consume", lambda *_: [Message(topic="connector-offsets", error=error)]
    )
    monkeypatch.setattr(source_offsets, "CALL_S", 0.05)
    with pytest.raises(CopyError, match=r"not be read to its end .*authorization failed"):
        offsets.read(ours, threading.Event())


def test_a_stop_while_offsets_are_read_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing was copied, and nothing is to be complained about."""
    offsets, ours = kept(monkeypatch)
    stop = threading.Event()
    stop.set()
    assert offsets.read(ours, stop) is None

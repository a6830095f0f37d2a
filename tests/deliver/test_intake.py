"""Where a lane goes on when Kafka does not have its next record; on a consumer in memory."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from app.deliver.intake import Intake
from app.deliver.totals import Totals

FEED = ("feed", 0)
TIME = 1_700_000_000_000


class Consumer:
    """A feed from `low` to `high`, whose record at `newest` was written an hour after TIME."""

    def __init__(self, low: int, high: int, newest: int) -> None:
        self.bounds, self.newest = (low, high), newest
        self.read = -1001
        self.stored: Any = TopicPartition(*FEED, 100, "")
        self.begun: list[tuple[str, int, int]] = []

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return self.bounds

    def offsets_for_times(self, wanted: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        (one,) = wanted
        assert one.offset <= TIME < one.offset + 60_000
        return [TopicPartition(*FEED, self.newest)]

    def commit(self, offsets: list[TopicPartition], **_: Any) -> None:
        (self.stored,) = offsets

    def committed(self, *_: Any, **__: Any) -> list[TopicPartition]:
        return [self.stored]

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.begun += [(one.topic, one.partition, one.offset) for one in partitions]
        self.read = -1001

    def position(self, _: Any) -> list[TopicPartition]:
        return [TopicPartition(*FEED, self.read)]

    def poll(self, _: float) -> Message:
        self.read = 101
        return Message(topic="feed", partition=0, offset=100, value=b"x", timestamp=(1, TIME))

    def incremental_unassign(self, _: Any) -> None: ...

    def resume(self, _: Any) -> None: ...

    def pause(self, _: Any) -> None: ...


def lane(consumer: Consumer) -> tuple[Intake, Totals]:
    """A lane that has just joined."""
    settings: Any = SimpleNamespace(name="page", group="group", from_end=False, feeds=())
    totals = Totals()
    intake = Intake(settings, {}, totals, lambda: None, lambda _: False)
    intake._consumer = consumer
    intake._assigned(consumer, [TopicPartition(*FEED)])
    return intake, totals


def gone(intake: Intake) -> None:
    """Kafka says that the next record is not there."""
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    intake._look_at(Message(topic="feed", partition=0, offset=100, error=error))


def forward(intake: Intake, records: int, acknowledged: int) -> None:
    """What a lane does with what it has read."""
    intake.positions.wrote(records, intake.reached())
    intake.positions.settle(acknowledged)
    intake.commit()


@pytest.mark.parametrize(
    ("high", "newest", "begin"),
    [(62, 60, 60), (62, -1, 62), (130, 60, 60)],
    ids=["written since", "nothing written", "longer again"],
)
def test_a_feed_whose_end_was_cut_off_is_not_delivered_again(
    high: int, newest: int, begin: int
) -> None:
    """A broker whose power failed has lost the newest records: no alert is answered twice, and what
    was written since is delivered; also after a restart, and after one that comes when more was
    written than was lost."""
    consumer = Consumer(0, 200, newest)
    before, _ = lane(consumer)
    assert len(before.read(1, 0.0)) == 1
    forward(before, 1, 1)
    consumer.bounds = (0, high)
    intake, totals = lane(consumer)
    gone(intake)
    assert consumer.begun[-1] == (*FEED, begin)
    assert intake.news
    forward(intake, 0, 0)
    assert intake.positions.done == {FEED: begin}
    assert totals.expired == 0
    lane(consumer)
    assert consumer.begun[-1] == (*FEED, begin)


def test_what_is_under_way_when_the_end_is_cut_off_is_delivered() -> None:
    """The receiver may still say that it has that, or be lost: then it is read again."""
    consumer = Consumer(0, 200, 97)
    intake, totals = lane(consumer)
    intake.positions.done[FEED] = 95
    intake.read(1, 0.0)
    intake.positions.wrote(5, intake.reached())
    consumer.bounds = (0, 98)
    gone(intake)
    assert (consumer.begun[-1], totals.expired) == ((*FEED, 97), 0)
    forward(intake, 0, 4)
    assert intake.positions.done == {FEED: 95}
    forward(intake, 0, 5)
    assert intake.positions.done == {FEED: 97}
    assert consumer.stored.offset == 97


def test_offsets_that_kafka_does_not_tell_are_not_made_up() -> None:
    """The lane joins again; a feed that begins anew would be delivered twice."""
    consumer = Consumer(0, 200, -1)
    error = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)
    consumer.stored = SimpleNamespace(topic="feed", partition=0, offset=-1001, error=error)
    intake, _ = lane(consumer)
    with pytest.raises(KafkaException, match="GROUP_AUTHORIZATION_FAILED"):
        intake.read(1, 0.0)
    assert consumer.begun == []


def test_what_retention_took_is_counted() -> None:
    """And the lane goes on at the first record that there is."""
    consumer = Consumer(150, 200, 150)
    intake, totals = lane(consumer)
    gone(intake)
    assert consumer.begun[-1] == (*FEED, 150)
    assert totals.expired == 50


def test_a_position_that_is_there_after_all_stays() -> None:
    """Nothing is known of the record before it, by which newer ones could be told: not everything
    that is kept comes again for that."""
    consumer = Consumer(0, 200, 0)
    intake, totals = lane(consumer)
    gone(intake)
    assert consumer.begun[-1] == (*FEED, 100)
    assert totals.expired == 0


def test_a_commit_that_kafka_did_not_take_is_made_again() -> None:
    """Also when nothing more comes: what the receiver has would else come again after the next
    start, and nobody would have heard of it."""
    consumer = Consumer(0, 200, 0)
    intake, _ = lane(consumer)
    intake.read(1, 0.0)
    forward(intake, 1, 1)
    assert consumer.stored.offset == 101
    told = TopicPartition(*FEED, 101)
    consumer.stored = None
    intake._answered(None, [told])
    intake.commit()
    assert consumer.stored is None
    intake._answered(KafkaError(KafkaError.NOT_COORDINATOR), [told])
    intake.commit()
    assert consumer.stored.offset == 101

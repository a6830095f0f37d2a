"""Where a lane goes on when Kafka does not have its next record; on a consumer in memory."""

from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message, TopicPartition

from app.deliver.intake import Intake
from app.deliver.totals import Totals

FEED = ("feed", 0)
TIME = 1_700_000_000_000


class Consumer:
    """A feed from `low` to `high`, whose record at `newest` was written an hour after TIME."""

    def __init__(self, low: int, high: int, newest: int) -> None:
        self.bounds, self.newest = (low, high), newest
        self.committed_metadata = ""
        self.begun: list[tuple[str, int, int]] = []

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return self.bounds

    def offsets_for_times(self, wanted: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        (one,) = wanted
        assert one.offset <= TIME < one.offset + 60_000
        return [TopicPartition(*FEED, self.newest)]

    def commit(self, offsets: list[TopicPartition], **_: Any) -> None:
        self.committed_metadata = offsets[0].metadata

    def committed(self, *_: Any, **__: Any) -> list[TopicPartition]:
        return [TopicPartition(*FEED, 100, self.committed_metadata)]

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        self.begun += [(one.topic, one.partition, one.offset) for one in partitions]

    def poll(self, _: float) -> Message:
        return Message(topic="feed", partition=0, offset=99, value=b"x", timestamp=(1, TIME))

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


@pytest.mark.parametrize(
    ("newest", "begin"), [(60, 60), (-1, 62)], ids=["written since", "nothing written"]
)
def test_a_feed_whose_end_was_cut_off_is_not_delivered_again(newest: int, begin: int) -> None:
    """A broker whose power failed has lost the newest records: no alert is answered twice, and what
    was written since is delivered; also after a restart."""
    consumer = Consumer(0, 200, newest)
    before, _ = lane(consumer)
    (message,) = before.read(1, 0.0)
    before.positions.wrote(1, {FEED: message.offset() + 2})
    before.positions.settle(1)
    before.commit()
    consumer.bounds = (0, 62)
    intake, totals = lane(consumer)
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    intake._look_at(Message(topic="feed", partition=0, offset=100, error=error))
    assert consumer.begun[-1] == (*FEED, begin)
    assert intake.positions.done == {FEED: begin}
    assert totals.expired == 0


def test_what_retention_took_is_counted() -> None:
    """And the lane goes on at the first record that there is."""
    consumer = Consumer(150, 200, 150)
    intake, totals = lane(consumer)
    error = KafkaError(KafkaError._AUTO_OFFSET_RESET)
    intake._look_at(Message(topic="feed", partition=0, offset=100, error=error))
    assert consumer.begun[-1] == (*FEED, 150)
    assert totals.expired == 50

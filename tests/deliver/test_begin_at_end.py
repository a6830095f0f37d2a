"""Where a delivery with `start: end` begins, and where in partitions that its feed gets later."""

from types import SimpleNamespace
from typing import Any

from confluent_kafka import TopicPartition

from app.deliver.start_offsets import StartOffsets
from app.deliver.totals import Totals

TIME = "1700000000000"


class Feed:
    """Partitions with 50 records each; of those in `committed_to` a group has something."""

    def __init__(self, partitions: int, committed_to: dict[int, str]) -> None:
        self.partitions = partitions
        self.committed_to = committed_to

    def list_topics(self, *_: Any, **__: Any) -> Any:
        found = SimpleNamespace(error=None, partitions=dict.fromkeys(range(self.partitions)))
        return SimpleNamespace(topics={"feed": found})

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, 50

    def committed(self, partitions: list[TopicPartition], **_: Any) -> list[TopicPartition]:
        return [
            TopicPartition("feed", each.partition, 20, self.committed_to[each.partition])
            if each.partition in self.committed_to
            else TopicPartition("feed", each.partition, -1001)
            for each in partitions
        ]


def beginnings(feed: Feed, *assigned: list[int]) -> dict[int, int]:
    """By partition, as a lane gets them."""
    settings: Any = SimpleNamespace(name="page", from_end=True)
    starts = StartOffsets(settings, Totals())
    found: dict[int, int] = {}
    for numbers in assigned:
        feed.partitions = max(feed.partitions, *(number + 1 for number in numbers))
        begin, _ = starts.assigned(feed, [TopicPartition("feed", each) for each in numbers])
        found |= {number: offset for (_, number), offset in begin.items()}
        feed.committed_to |= dict.fromkeys(numbers, "")
    return found


def test_partitions_that_a_feed_gets_later_are_read_from_their_beginning() -> None:
    """Their first records came before anybody knew of them; `start: end` is about what was there
    when the delivery began."""
    assert beginnings(Feed(2, {}), [0, 1], [2]) == {0: 50, 1: 50, 2: 0}


def test_partitions_that_a_feed_got_while_nobody_delivered_are_too() -> None:
    """A process that starts anew knows by what was delivered that the delivery is not new."""
    assert beginnings(Feed(3, {0: TIME, 1: ""}), [0, 1, 2]) == {0: 20, 1: 20, 2: 0}


def test_a_lane_that_begins_beside_another_begins_at_the_end() -> None:
    """That the other has just committed its beginning does not make the delivery an old one."""
    assert beginnings(Feed(2, {0: ""}), [1]) == {1: 50}

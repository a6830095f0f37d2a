"""How far a lane is with its receiver, over partitions that go and come back."""

from confluent_kafka import Message

from app.deliver.positions import Positions

FEED, OTHER = ("feed", 0), ("feed", 1)


def test_what_was_under_way_of_a_partition_that_was_another_lanes_moves_nothing() -> None:
    """The receiver acknowledges it when the partition is back, where the other lane left it."""
    positions = Positions()
    positions.assign({FEED: 100})
    positions.wrote(5, {FEED: 105})
    positions.revoke([FEED])
    positions.assign({FEED: 150})
    assert positions.settle(5) == 5
    assert positions.done == {FEED: 150}
    assert positions.due() == {}


def test_of_what_was_written_at_once_the_receiver_may_have_a_part() -> None:
    """When it is lost that part is done, to the record, but for what another lane has by then."""
    positions = Positions()
    positions.assign({FEED: 100, OTHER: 7})
    records = [
        Message(topic="feed", partition=partition, offset=offset)
        for partition, offset in ((0, 100), (1, 7), (0, 101), (0, 102), (1, 8))
    ]
    positions.wrote(5, {FEED: 103, OTHER: 9}, records)
    positions.revoke([OTHER])
    assert positions.settle(3) == 3
    assert positions.done == {FEED: 100}
    assert positions.lost() == 2
    assert positions.done == {FEED: 102}
    assert positions.due() == {FEED: 102}


def test_an_offset_that_was_not_committed_is_due_again() -> None:
    """Of partitions that are still the lane's."""
    positions = Positions()
    positions.assign({FEED: 100})
    positions.wrote(1, {FEED: 101})
    positions.settle(1)
    assert positions.due() == {FEED: 101}
    positions.again([FEED, OTHER])
    assert positions.due() == {FEED: 101}
    assert positions.due() == {}

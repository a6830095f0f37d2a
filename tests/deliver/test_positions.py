"""How far a lane is with its receiver, over partitions that go and come back."""

from app.deliver.positions import Positions

FEED = ("feed", 0)


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

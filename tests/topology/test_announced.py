"""Which raw partitions windows are told to wait for."""

import pytest

from schemas.codec import decode
from tests.topology.deployment import RAW, plan
from topology.events import EventsSubTopology
from topology.records import Position
from topology.watermark import NOTHING


@pytest.fixture
def events() -> EventsSubTopology:
    """Owns one of the partitions."""
    events = EventsSubTopology(plan())
    events.assign({(RAW, 0): Position(0)}, {})
    return events


def _told(events: EventsSubTopology) -> list[int]:
    """Partitions that are announced with the next commit."""
    records = [
        decode(value)[1] for output in events.before_commit().outputs for value in output.values
    ]
    assert {each["watermark"] for each in records} <= {NOTHING}
    return [each["partition"] for each in records]


def test_a_partition_is_announced_once(events: EventsSubTopology) -> None:
    """However often it is named."""
    for _ in range(3):
        events.announce([(RAW, 0), (RAW, 1)])
    assert _told(events) == [0, 1]
    events.announce([(RAW, 0), (RAW, 1), (RAW, 2)])
    assert _told(events) == [2]


def test_what_is_gone_before_the_commit_is_not_announced(events: EventsSubTopology) -> None:
    """A worker without input commits nothing for days. Its topic may have been made anew with fewer
    partitions since: windows would wait for one that is not there."""
    events.announce([(RAW, 0), (RAW, 7)])
    events.announce([(RAW, 0)])
    assert _told(events) == [0]


def test_a_partition_that_comes_back_is_announced_again(events: EventsSubTopology) -> None:
    """Windows do not wait for it once its topic was made anew; a first record has to hold them."""
    events.announce([(RAW, 0), (RAW, 1)])
    assert _told(events) == [0, 1]
    events.announce([(RAW, 0)])
    assert _told(events) == []
    events.announce([(RAW, 0), (RAW, 1)])
    assert _told(events) == [1]

"""Uids of events sort as the events stand in the raw topics."""

from itertools import combinations

from topology.uid import ordered, shape


def test_numbers_are_numbers() -> None:
    """Offset 10 follows 9, and so does event 10 of a record; a record's events stay together."""
    stem = "a-AAAAAAAAA"
    uids = ["0-9", "0-9-1", "0-9-9", "0-9-10", "0-9-10-aggregated", "0-10", "0-10-1", "2-1", "10-0"]
    standing = [f"{stem}-{uid}" for uid in uids]
    assert sorted(sorted(standing), key=ordered) == standing


def test_texts_of_one_shape_are_ordered() -> None:
    """What is quicker than looking at numbers is the same."""
    numbers = ("1", "2", "9", "10", "19", "100")
    uids = [f"A-{p}-{o}{sub}" for p in numbers for o in numbers for sub in ("", "-1", "-9", "-10")]
    for one, other in combinations(uids, 2):
        if shape(one) == shape(other):
            assert (one < other) == (ordered(one) < ordered(other))

"""Uids of events sort as the events stand in the raw topics."""

from topology.uid import ordered


def test_numbers_are_numbers() -> None:
    """Offset 10 follows 9, and so does event 10 of a record; a record's events stay together."""
    stem = "a-AAAAAAAAA"
    uids = ["0-9", "0-9-1", "0-9-9", "0-9-10", "0-9-10-aggregated", "0-10", "0-10-1", "2-1", "10-0"]
    standing = [f"{stem}-{uid}" for uid in uids]
    assert sorted(sorted(standing), key=ordered) == standing

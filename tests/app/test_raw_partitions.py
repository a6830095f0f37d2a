"""Raw partitions that hold no records any more are noticed while workers run."""

from app.raw_partitions import Looked

A, B = ("raw.q", 0), ("raw.q", 1)


def test_partitions_of_a_topic_that_was_made_anew_are_told_once() -> None:
    """Windows would wait for the old ones for ever. One that gets its first record is none."""
    looks = [[A], [A, B], [A, B], [A], [A], []]
    there: list[frozenset[tuple[str, int]]] = []
    gone: list[int] = []
    looked = Looked(iter(looks).__next__, there.append, lambda: gone.append(len(there)))
    for _ in looks:
        looked.look()
    assert there == [frozenset(each) for each in looks]
    assert gone == [4, 6]

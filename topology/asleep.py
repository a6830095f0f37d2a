"""Groups that are in the store alone: read when a match or the watermark needs them.

A take-over builds no object for each group, and what was not touched for long goes from memory:
what is left of a group is its key and the time at which it is due.
"""

from collections.abc import Iterator, Sequence

from topology.due_index import DueIndex

FIRST = (0,)
"""Chunks of nearly all groups."""


class Asleep:
    """The sleeping groups of one partition, by the set of raw topics that they wait for."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, ...], DueIndex] = {}
        self._numbers: dict[bytes, tuple[int, ...]] = {}

    def add(self, topics: tuple[str, ...], times: Sequence[int], keys: Sequence[bytes]) -> None:
        """Groups fall asleep until they are due (ms); with several entries, once for each."""
        self._due.setdefault(topics, DueIndex()).add(times, keys)

    def number(self, key: bytes, chunk: int) -> None:
        """A group that falls asleep has a chunk of this number; 0 needs no telling."""
        if chunk:
            self._numbers[key] = (*self._numbers.get(key, ()), chunk)

    def numbers(self, key: bytes) -> tuple[int, ...]:
        """The chunks that a group may have, in order; call it once, when it wakes."""
        others = self._numbers.pop(key, ())
        return (0, *sorted(others)) if others else FIRST

    def several(self, key: bytes) -> bool:
        """Whether a sleeping group may have chunks beside the first."""
        return key in self._numbers

    def waiting(self) -> Iterator[tuple[str, ...]]:
        """The sets of raw topics that sleeping groups wait for."""
        return iter(self._due)

    def due(self, topics: tuple[str, ...], watermark: int, limit: int) -> list[bytes]:
        """Keys that are due before the watermark, about `limit` at a time; empty: no more.

        Some of them may be awake or gone.
        """
        index = self._due.get(topics)
        return [] if index is None else index.take(watermark, limit)

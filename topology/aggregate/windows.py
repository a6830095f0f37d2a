"""Tumbling windows in the store: tallies are added up, and a count that is reached is told once.

Entry: key of the group, `t`, start of the window (8 bytes); value: version and count.
"""

import struct
from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from topology.records import KeyValueStore
from topology.rules import Tumbling

KIND = b"t"
VALUE = struct.Struct("<Bq")
VERSION = 1


class Windows:
    """The open windows of one partition. `topics`: the raw topics that a window waits for."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self._closing: dict[tuple[str, ...], dict[int, list[bytes]]] = {}
        self._times: dict[tuple[str, ...], list[int]] = {}

    def restore(
        self, entry: bytes, value: bytes, start: int, aggregate: Tumbling, topics: tuple[str, ...]
    ) -> None:
        """Take over an entry of the store. Raises ValueError for an unknown version."""
        version, _ = VALUE.unpack(value)
        if version != VERSION:
            raise ValueError(f"saw version {version} of a window, expected {VERSION}")
        self._watch(entry, _closes(start, aggregate), topics)

    def add(
        self,
        key: bytes,
        windows: bytes,
        aggregate: Tumbling,
        topics: tuple[str, ...],
        watermark: int,
    ) -> Iterator[tuple[int, bool]]:
        """Add a tally's pairs of window start and count.

        Yields (start, True) for a window that reaches the aggregate's count with this, and (start,
        False) for one that is closed, to which nothing is added.
        """
        numbers = struct.unpack(f"<{len(windows) // 8}q", windows)
        for start, count in zip(numbers[::2], numbers[1::2], strict=True):
            closes = _closes(start, aggregate)
            if closes <= watermark:
                yield start, False
                continue
            entry = key + KIND + start.to_bytes(8, "big", signed=True)
            value = self._store.get(entry)
            if value is None:
                before = 0
                self._watch(entry, closes, topics)
            else:
                _, before = VALUE.unpack(value)
            self._store.put(entry, VALUE.pack(VERSION, before + count))
            if before < aggregate.at <= before + count:
                yield start, True

    def close(self, topics: tuple[str, ...], watermark: int) -> None:
        """Remove the windows whose grace is over."""
        times = self._times.get(topics)
        while times and times[0] <= watermark:
            for entry in self._closing[topics].pop(heappop(times)):
                self._store.delete(entry)

    def waiting(self) -> Iterable[tuple[str, ...]]:
        """The sets of raw topics that open windows wait for."""
        return self._times

    def _watch(self, entry: bytes, closes: int, topics: tuple[str, ...]) -> None:
        closing = self._closing.setdefault(topics, {})
        if closes not in closing:
            closing[closes] = []
            heappush(self._times.setdefault(topics, []), closes)
        closing[closes].append(entry)


def _closes(start: int, aggregate: Tumbling) -> int:
    return start + aggregate.window_ms + aggregate.grace_ms

"""Tumbling windows in the store: tallies are added up, and a count that is reached is told once.

Entry: key of the group, `t`, start of the window (8 bytes); value: version and count.
"""

import struct
from collections.abc import Iterable
from heapq import heappop, heappush

from topology.records import KeyValueStore
from topology.rules import Tumbling

KIND = b"t"
VALUE = struct.Struct("<Bq")
PAIR = struct.Struct("<qq")
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
    ) -> list[tuple[int, bool]]:
        """Add a tally's pairs of window start and count.

        Returns (start, True) for a window that reaches the aggregate's count with this, and (start,
        False) for one that is closed, to which nothing is added.
        """
        told: list[tuple[int, bool]] = []
        for start, count in PAIR.iter_unpack(windows):
            entry = key + KIND + start.to_bytes(8, "big", signed=True)
            value = self._store.get(entry)
            if value is not None:
                before = VALUE.unpack(value)[1]
            else:
                before = 0
                closes = _closes(start, aggregate)
                if closes <= watermark:
                    told.append((start, False))
                    continue
                self._watch(entry, closes, topics)
            self._store.put(entry, VALUE.pack(VERSION, before + count))
            if before < aggregate.at <= before + count:
                told.append((start, True))
        return told

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

"""Aggregated events of one raw partition while their windows are open, in its store.

Entry: end of the window (8 bytes, big endian, signed), JSON array of the aggregation's name and the
group; value: `HEAD`, then the first event as topology/normalized.py has it. A reader needs no
configuration for it, so what an aggregation that was changed or removed has begun is ended too.
"""

import struct
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import NamedTuple

import orjson

from topology.records import KeyValueStore

VERSION = 1
HEAD = struct.Struct("<BqqqqI")
"""Version, events, sum of their counts, least and greatest event time, kinds."""
END = 8
"""Bytes of a key that are the end of its window."""


class Similar(NamedTuple):
    """Events that are one: how many, their counts, from when to when, and the first of them.

    `kinds` is a checksum of the columns that `first` was written from and their types: texts with
    equal ones are read together, so that what is read does not depend on the others.
    """

    events: int
    total: int
    start: int
    end: int
    kinds: int
    first: bytes

    def packed(self) -> bytes:
        """As the store has it."""
        return HEAD.pack(VERSION, *self[:-1]) + self.first

    def text(self) -> bytes:
        """For a person: JSON."""
        return orjson.dumps(self._asdict() | {"first": orjson.Fragment(self.first)})


def unpack(value: bytes) -> Similar:
    """Raises ValueError for a version that is not known."""
    version, events, total, start, end, kinds = HEAD.unpack_from(value)
    if version != VERSION:
        raise ValueError(f"saw version {version} of an aggregated event, expected {VERSION}")
    return Similar(events, total, start, end, kinds, value[HEAD.size :])


class OpenWindows:
    """The store of one partition, and which of its entries end when."""

    def __init__(self, store: KeyValueStore) -> None:
        """Raises ValueError for an entry of an unknown version."""
        self._store = store
        self._keys: dict[int, set[bytes]] = {}
        for key, value in store.items():
            unpack(value)
            self._keys.setdefault(_end(key), set()).add(key)
        self._ends = list(self._keys)
        heapify(self._ends)

    def get(self, key: bytes) -> Similar | None:
        """What an entry holds so far."""
        value = self._store.get(key)
        return None if value is None else unpack(value)

    def add(self, key: bytes, more: Similar, *, full: bool) -> Similar | None:
        """Add later events to an entry; if it is `full` then, it ends here and is returned."""
        known = self.get(key)
        if known is not None:
            more = Similar(
                known.events + more.events,
                known.total + more.total,
                min(known.start, more.start),
                max(known.end, more.end),
                known.kinds,
                known.first,
            )
        if full:
            if known is not None:
                self._store.delete(key)
            return more
        self._store.put(key, more.packed())
        if known is None:
            end = _end(key)
            if end not in self._keys:
                self._keys[end] = set()
                heappush(self._ends, end)
            self._keys[end].add(key)
        return None

    def close(self, watermark: int) -> Iterator[Similar]:
        """Take out what ended by this watermark, in order of end and group."""
        while self._ends and self._ends[0] <= watermark:
            for key in sorted(self._keys.pop(heappop(self._ends))):
                found = self.get(key)
                if found is not None:
                    self._store.delete(key)
                    yield found


def _end(key: bytes) -> int:
    return int.from_bytes(key[:END], "big", signed=True)

"""Tests of keys that no list has heard of: kept together, as they came, until their time is over.

Most rules ask for few: of all who log in, hardly anybody is in the list. The test of a key that has
no entry, and of which nothing waits, is not passed unless a change of before its time comes within
lateness. So what of a PartialBatch is such tests is one entry of the store, and no object for each
key; it goes when the watermark has passed its last test. Where anything else comes for a key its
tests move to the object of the key first (topology/correlate/list_key.py).

Entry: NUL, `t`, number of the batch (8 bytes): a version byte and a PartialBatch. A key that has a
head of its own was moved, or comes later than what is here of it: that is not looked at again.
"""

from collections import Counter
from collections.abc import Container, Iterator, Sequence
from heapq import heappop, heappush
from typing import Final, NamedTuple

import numpy as np

from topology.correlate import chunks
from topology.correlate.episodes import Match
from topology.correlate.group import HEAD
from topology.partial_batch import PartialBatch, read
from topology.records import KeyValueStore

KIND: Final = b"\0t"
"""No tenant begins with NUL."""
VERSION: Final = b"\x01"
MANY: Final = 32
"""Fewer tests of a record are not worth an entry."""
MOST: Final = 262_144
"""Keys that are kept at most, of each partition; about 250 bytes each."""
FIRST: Final = b'["{\\"a\\":\\"in\\",'
NEXT: Final = b',"{\\"a\\":\\"in\\",'
"""How the values of matches begin that ask for an entry (topology/list_records.py). A quote without
a backslash is one of the outer JSON, so no text of an event looks like it."""
Topics = tuple[str, ...]


class Kept(NamedTuple):
    """A batch. `rows`: by key, but for those that were moved; `latest`: time of the last test."""

    found: PartialBatch
    topics: Topics
    rows: dict[bytes, int]
    latest: int


class KeptTests:
    """Those of one partition."""

    def __init__(self, store: KeyValueStore) -> None:
        self._store = store
        self._batches: dict[int, Kept] = {}
        self._where: dict[bytes, tuple[int, ...]] = {}
        self._ends: dict[Topics, list[tuple[int, int]]] = {}
        self._next = 0

    @staticmethod
    def owns(key: bytes) -> bool:
        """Whether a key of the store is one of these."""
        return key.startswith(KIND)

    def restore(self, key: bytes, value: bytes) -> PartialBatch:
        """What an entry holds; `recall` it once it is known what it waits for.

        Raises ValueError for an unknown version.
        """
        if value[:1] != VERSION:
            raise ValueError(f"saw version {value[:1]!r} of kept tests, expected {VERSION!r}")
        self._next = max(self._next, int.from_bytes(key[len(KIND) :], "big") + 1)
        return read(value[1:])

    def recall(self, key: bytes, found: PartialBatch, topics: Topics) -> None:
        """Take over an entry of the store."""
        rows = {
            each: row
            for row, each in enumerate(found.keys())
            if self._store.get(each + HEAD) is None
        }
        self._add(int.from_bytes(key[len(KIND) :], "big"), found, topics, rows)

    def take(
        self,
        found: PartialBatch,
        keys: Sequence[bytes],
        topics: Topics,
        reached: int,
        live: Container[bytes],
    ) -> Sequence[int]:
        """Keep what can be kept; the rows of a record that are left to be looked at one by one."""
        every = range(len(keys))
        if len(keys) < MANY or len(self._where) + len(keys) > MOST:
            return every
        firsts, _ = found.spans()
        get, content, counts = self._store.get, found.content, found.counts.tolist()
        starts = found.values[0].tolist()
        ends = (found.values[0] + found.values[1]).tolist()
        kept = [
            row
            for row in np.flatnonzero(firsts >= reached).tolist()
            if content.startswith(FIRST, starts[row])
            and (counts[row] == 1 or content.count(NEXT, starts[row], ends[row]) == counts[row] - 1)
            and keys[row] not in live
            and get(keys[row] + HEAD) is None
        ]
        if len(set(keys)) < len(keys):  # what has too many bytes for one row is in several
            often = Counter(keys)
            kept = [row for row in kept if often[keys[row]] == 1]
        if len(kept) < MANY:
            return every
        if len(kept) < len(keys):
            found = found.only(np.array(kept))
            stay = set(kept)
            left = [row for row in every if row not in stay]
        else:
            left = []
        number = self._next
        self._next += 1
        self._store.put(_entry(number), VERSION + found.content)
        self._add(number, found, topics, {keys[row]: at for at, row in enumerate(kept)})
        return left

    def move(self, key: bytes, reached: int) -> Iterator[tuple[list[Match], bytes]]:
        """The tests of a key that are not over: no longer kept; each record's, with its piece."""
        for number in self._where.pop(key, ()):
            batch = self._batches.get(number)
            row = None if batch is None else batch.rows.pop(key, None)
            if batch is None or row is None:
                continue
            members = batch.found.members(row)
            matches = chunks.unpack(*members)
            if matches[0][0] >= reached:
                yield matches, chunks.piece(*members)
            elif matches[-1][0] >= reached:
                matches = [match for match in matches if match[0] >= reached]
                yield matches, chunks.pack(matches)

    def waiting(self) -> list[Topics]:
        """What the batches wait for."""
        return [topics for topics, ends in self._ends.items() if ends]

    def advance(self, topics: Topics, watermark: int) -> None:
        """Forget the batches whose last test was before the watermark: none was passed."""
        ends, where = self._ends[topics], self._where
        while ends and ends[0][0] < watermark:
            _, number = heappop(ends)
            batch = self._batches.pop(number)
            self._store.delete(_entry(number))
            for key in batch.rows:
                numbers = where[key]
                if len(numbers) == 1:
                    del where[key]
                else:
                    where[key] = tuple(each for each in numbers if each != number)

    def _add(
        self, number: int, found: PartialBatch, topics: Topics, rows: dict[bytes, int]
    ) -> None:
        latest = int(found.spans()[1].max())
        self._batches[number] = Kept(found, topics, rows, latest)
        heappush(self._ends.setdefault(topics, []), (latest, number))
        where = self._where
        for key in rows:
            where[key] = (*where.get(key, ()), number)


def _entry(number: int) -> bytes:
    return KIND + number.to_bytes(8, "big")

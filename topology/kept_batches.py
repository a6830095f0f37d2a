"""Matches of many groups that are kept together: an entry of the store for a batch, not a group.

Most groups of a rule over many users or files have a match or two and are never heard of again.
What of a PartialBatch belongs to such groups is one entry, as it came, and goes as a whole when its
last match is out of every window; here is only where the matches of each group are. A group that
is to be looked at alone is moved: its matches become its first chunk (topology/correlate/chunks.py)
and a mark says which batches hold them in vain.

Entries: tenant, rule, `b`, number of the batch (8 bytes): a version byte and a PartialBatch.
Key of the group, `x`, zeros: a version byte and the number of the last batch that it left.
"""

import struct
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.asleep import Asleep
from topology.correlate import chunks
from topology.correlate.chunks import FIRST, LONG
from topology.correlate.head import HEAD
from topology.keys import rule_of
from topology.partial_batch import Numbers, PartialBatch, read
from topology.progress import Progress
from topology.records import KeyValueStore
from topology.single_matches import QuietRule

KIND = b"b"
MARK = b"x" + bytes(8)
VERSION = b"\x01"
MARKED = struct.Struct("<cq")
ROW = 6
"""Where the row begins in the place of a group's matches; below it is how many they are."""
NUMBER = 26
"""Where the number of the batch begins in it."""
MANY = (1 << ROW) - 1
ROWS = 1 << (NUMBER - ROW)
PARTS = 4
"""A match goes at most a timespan divided by this later than it could."""


class Known(Protocol):
    """Keys of groups."""

    def __contains__(self, key: object, /) -> bool: ...
    def __len__(self) -> int: ...


class Kept(NamedTuple):
    """A batch in the store: where in its PartialBatch times, uids and values of each row begin, and
    of one more behind the last. `moved`: rows of groups that were moved, and their keys."""

    entry: bytes
    times: npt.NDArray[np.uint32]
    uids: npt.NDArray[np.uint32]
    values: npt.NDArray[np.uint32]
    moved: dict[int, bytes]

    def piece(self, content: bytes, row: int) -> bytes:
        """The matches of a row as a chunk has them."""
        times, uids, values = (
            starts[row : row + 2].tolist() for starts in (self.times, self.uids, self.values)
        )
        return chunks.piece(
            content[times[0] : times[1]],
            content[uids[0] : uids[1] - 1],
            content[values[0] : values[1]],
        )


class KeptBatches:
    """The batches of one partition of `matches`. `rule`: the rule of a key, if it has quiet groups.

    A group has matches here or entries of its own in the store, never both.
    """

    def __init__(
        self,
        store: KeyValueStore,
        progress: Progress,
        asleep: Asleep,
        rule: Callable[[bytes], QuietRule | None],
    ) -> None:
        self._store = store
        self._progress = progress
        self._asleep = asleep
        self.rule = rule
        # Where the match of a group is, or its matches are: a number costs no object of its own.
        self._places: dict[bytes, int | tuple[int, ...]] = {}
        self._batches: dict[int, Kept] = {}
        self._going: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        self._marks: dict[bytes, int] = {}
        self._next = 0

    def __len__(self) -> int:
        """Groups that have matches here."""
        return len(self._places)

    def take(
        self,
        batch: PartialBatch,
        keys: Sequence[bytes],
        known: Sequence[Known],
        room: int,
    ) -> list[int]:
        """Keep what is of groups that stay quiet; the rows that are left to do, in order.

        Takes those of groups that have no matches, or few and all of them here. `known`: keys of
        groups that are in memory otherwise. `room`: groups that may have matches here.
        """
        rule = self.rule(keys[0])
        if rule is None or len(keys) > ROWS or len(self._places) + len(keys) > room:
            return list(range(len(keys)))
        firsts, lasts = batch.spans()
        fit = (batch.counts < rule.limit) & (firsts >= self._progress.reached(rule.topics))
        fit &= batch.uids[1] + batch.values[1] <= LONG * batch.counts
        if len(set(keys)) < len(
            keys
        ):  # a group that was divided for its size is not quiet for long
            fit &= ~pl.Series(keys, dtype=pl.Binary).is_duplicated().to_numpy()
        left = np.flatnonzero(~fit).tolist()
        counts = batch.counts.tolist()
        others = [each for each in known if len(each)]
        places, get, several = self._places, self._store.get, self._asleep.several
        taken: list[int] = []
        for row in np.flatnonzero(fit).tolist():
            key = keys[row]
            before = places.get(key)
            if before is not None:
                fits = _count(before) + counts[row] < rule.limit
            else:
                fits = not (
                    get(key + FIRST) is not None
                    or get(key + HEAD) is not None
                    or several(key)
                    or (others and any(key in each for each in others))
                )
            (taken if fits else left).append(row)
        if taken:
            self._keep(batch, keys, rule, np.array(taken), lasts)
        left.sort()
        return left

    def _keep(
        self,
        batch: PartialBatch,
        keys: Sequence[bytes],
        rule: QuietRule,
        rows: Numbers,
        times: Numbers,
    ) -> None:
        """Put rows into the store: together, unless that held the early ones back for long."""
        moments = times[rows]
        part = rule.timespan_ms // PARTS + 1
        together = [rows]
        if int(moments.max()) - int(moments.min()) > part:
            order = np.argsort(moments, kind="stable")
            cuts = np.flatnonzero(np.diff(moments[order] // part)) + 1
            together = [np.sort(some) for some in np.split(rows[order], cuts)]
        for some in together:
            whole = len(some) == len(keys)
            kept = batch if whole else batch.only(some)
            number = self._next
            self._next += 1
            entry = rule_of(keys[0]) + KIND + number.to_bytes(8, "big")
            self._store.put(entry, VERSION + kept.content)
            self._watch(number, rule, entry, kept, int(times[some].max()))
            own = keys if whole else [keys[row] for row in some.tolist()]
            self._add(number, own, kept.counts.tolist())

    def _watch(
        self, number: int, rule: QuietRule, entry: bytes, batch: PartialBatch, latest: int
    ) -> Kept:
        """Know a batch until its latest match is out of every window."""
        times, uids, values = (
            np.append(starts, starts[-1] + sizes[-1] + gap).astype(np.uint32)
            for (starts, sizes), gap in ((batch.times, 0), (batch.uids, 1), (batch.values, 0))
        )
        kept = Kept(entry, times, uids, values, {})
        self._batches[number] = kept
        heappush(self._going.setdefault(rule.topics, []), (latest + rule.timespan_ms, number))
        return kept

    def _add(
        self,
        number: int,
        keys: Sequence[bytes],
        counts: Sequence[int],
        without: Container[int] = (),
    ) -> None:
        """The matches of a batch are where they are, but for those of some rows."""
        places = self._places
        first = number << NUMBER
        rows = range(first, first + (len(keys) << ROW), 1 << ROW)
        for at, key, count in zip(rows, keys, counts, strict=True):
            if without and (at - first) >> ROW in without:
                continue
            before = places.get(key)
            if before is None:
                places[key] = at + count
            elif isinstance(before, int):
                places[key] = (before, at + count)
            else:
                places[key] = (*before, at + count)

    def move(self, key: bytes) -> None:
        """Give a group's matches, if it has any here, entries of their own in the store."""
        found = self._places.pop(key, None)
        if found is None:
            return
        places = (found,) if isinstance(found, int) else found
        pieces = [VERSION]
        for place in places:
            row = (place >> ROW) % ROWS
            kept = self._batches[place >> NUMBER]
            pieces.append(kept.piece(self._content(kept.entry), row))
            kept.moved[row] = key
        self._marks[key] = self._marks.get(key, 0) + len(places)
        self._store.put(key + FIRST, b"".join(pieces))
        self._store.put(key + MARK, MARKED.pack(VERSION, places[-1] >> NUMBER))

    def _content(self, entry: bytes) -> bytes:
        """Raises ValueError for an unknown version."""
        value = self._store.get(entry) or b""
        if value[:1] != VERSION:
            raise ValueError(f"saw version {value[:1]!r} of a kept batch, expected {VERSION!r}")
        return value[1:]

    def waiting(self) -> Iterator[tuple[str, ...]]:
        """The sets of raw topics that matches wait for."""
        return iter(self._going)

    def advance(self, topics: tuple[str, ...], watermark: int) -> None:
        """Remove the batches that no window can need after this watermark."""
        queue = self._going[topics]
        while queue and queue[0][0] < watermark:
            self._drop(heappop(queue)[1])

    def _drop(self, number: int) -> None:
        kept = self._batches.pop(number)
        places = self._places
        batch = read(self._content(kept.entry))
        first = number << NUMBER
        rows = range(first, first + (len(batch.counts) << ROW), 1 << ROW)
        for at, key, count in zip(rows, batch.keys(), batch.counts.tolist(), strict=True):
            found = places.get(key)
            if found == at + count:
                del places[key]
            elif isinstance(found, tuple) and at + count in found:
                rest = tuple(other for other in found if other != at + count)
                places[key] = rest if len(rest) > 1 else rest[0]
        for key in kept.moved.values():
            self._marks[key] -= 1
            if not self._marks[key]:
                del self._marks[key]
                self._store.delete(key + MARK)
        self._store.delete(kept.entry)

    def restore(
        self, rule: QuietRule, entries: Sequence[bytes], marks: Mapping[bytes, bytes]
    ) -> list[bytes]:
        """Take over the batches of a rule, and the marks (key → value) of groups that were moved.

        Moves the groups that the rule, as it is now, does not leave quiet, and gives their keys.
        Raises ValueError for an unknown version.
        """
        ends = {key: _marked(value) for key, value in marks.items()}
        # A new batch must come after every mark, also where the batches of that time are gone.
        self._next = max(self._next, max(ends.values(), default=-1) + 1)
        several: set[bytes] = set()
        places = self._places
        for entry in sorted(entries, key=_number):
            number = _number(entry)
            self._next = max(self._next, number + 1)
            batch = read(self._content(entry))
            kept = self._watch(number, rule, entry, batch, int(batch.spans()[1].max()))
            keys = batch.keys()
            for row in [row for row, key in enumerate(keys) if ends.get(key, -1) >= number]:
                kept.moved[row] = keys[row]
                self._marks[keys[row]] = self._marks.get(keys[row], 0) + 1
            self._add(number, keys, batch.counts.tolist(), kept.moved)
            several.update(keys)
        for key in ends.keys() - self._marks.keys():
            self._store.delete(key + MARK)
        grown = [key for key in several if key in places and _count(places[key]) >= rule.limit]
        for key in grown:
            self.move(key)
        return grown


def _count(places: int | tuple[int, ...]) -> int:
    """How many matches there are in some places."""
    if isinstance(places, int):
        return places & MANY
    return sum(place & MANY for place in places)


def _number(entry: bytes) -> int:
    return int.from_bytes(entry[-8:], "big")


def _marked(value: bytes) -> int:
    version, last = MARKED.unpack(value)
    if version != VERSION:
        raise ValueError(f"saw version {version!r} of a mark, expected {VERSION!r}")
    return int(last)

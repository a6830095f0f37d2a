"""Batches of what is to be done with keys of lists, as the store has them (topology/kept_steps.py).

Entries: NUL, `t`, number of the batch (8 bytes): a version byte and a PartialBatch.
NUL, `j`, the same number: a version byte and until when the batch was judged, if it was in part.
A key whose head says that something of it waits was moved: that is not looked at again.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, compress
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from topology.correlate import chunks
from topology.correlate.episodes import Match
from topology.correlate.head import LEAST
from topology.lists import ACTIONS, Action
from topology.partial_batch import PartialBatch, read

KIND: Final = b"\0t"
"""No tenant begins with NUL."""
JUDGED: Final = b"\0j"
VERSION: Final = b"\x02"
ONLY_TESTS: Final = b"\x01"
"""The version of a batch with tests alone, from before changes were kept: those of keys that have
a head were moved, and it has no mark of its own, but was judged as far as its list was."""
MARK: Final = struct.Struct("<cq")
ROW: Final = 20
"""Where the number of the batch begins in the place of a row."""
FIRST: Final = tuple(f'["{{\\"a\\":\\"{action}\\",'.encode() for action in ACTIONS)
NEXT: Final = tuple(b"," + first[1:] for first in FIRST)
"""How values of matches begin (topology/list_records.py). A quote without a backslash is one of
the outer JSON, so no text of an event looks like it."""
Topics = tuple[str, ...]
Numbers = npt.NDArray[np.int64]
Columns = tuple[Numbers, Numbers, list[str], list[str]]
"""Rows, times, uids and texts of steps."""
NOTHING: Final[Columns] = (np.empty(0, np.int64), np.empty(0, np.int64), [], [])
Waited = tuple[int, str, str, int]
"""What is to be done with a key: time, uid, the text of a step, and its place."""


@dataclass(slots=True)
class Kept:
    """A batch. `times` of all matches, in order, and the `rows` that those are in; `lasts`: the
    last time of each row. `at`: how many were judged, and until when. `moved`: rows of keys that
    have an object. `fresh`: rows of keys without a head; that stays so while nothing else waits of
    such a key. `tests`: whether all of it are tests that change nothing; `asks`: whether nothing of
    it is passed where there is no entry."""

    found: PartialBatch
    topics: Topics
    keys: Sequence[bytes]
    times: Numbers
    rows: npt.NDArray[np.int32]
    lasts: Numbers
    judged: int
    at: int
    moved: set[int]
    fresh: npt.NDArray[np.bool_]
    tests: bool
    asks: bool

    def matches(self, row: int) -> list[Match]:
        """What of a row was not judged. Raises ValueError."""
        matches = chunks.unpack(*self.found.members(row))
        if matches[0][0] >= self.judged:
            return matches
        return [match for match in matches if match[0] >= self.judged]


class Unread(NamedTuple):
    """A row with which nothing can be done."""

    error: Exception
    key: bytes
    place: int


class Alone(NamedTuple):
    """What is to be done with keys of a list: each once, or tests that change nothing. `scope`: the
    tenant of the list, or what stands for all. `texts` of steps. `fresh`: keys without a head."""

    scope: str
    keys: list[bytes]
    times: Numbers
    uids: list[str]
    texts: list[str]
    places: Numbers
    fresh: npt.NDArray[np.bool_]


class Due(NamedTuple):
    """What a watermark has passed: of keys of which nothing else waits, and in order for each of
    the others. `found`: what rows are in, by number."""

    alone: list[Alone]
    several: dict[bytes, list[Waited]]
    unread: list[Unread]
    found: dict[int, PartialBatch]

    def record(self, place: int) -> bytes:
        """A row as a record of its own."""
        return self.found[place >> ROW].alone(place % (1 << ROW))


class Left(NamedTuple):
    """What waits of a key, and its piece of a chunk."""

    key: bytes
    matches: list[Match]
    piece: bytes


def batch_of(value: bytes) -> PartialBatch:
    """What an entry holds. Raises ValueError for an unknown version."""
    if value[:1] not in (VERSION, ONLY_TESTS):
        raise ValueError(f"saw version {value[:1]!r} of kept steps, expected {VERSION!r}")
    return read(value[1:])


def left_of(entries: Mapping[bytes, bytes], beginnings: tuple[bytes, ...]) -> Iterator[Left]:
    """What was not judged of keys that begin so, from all entries of a partition. Where a key has
    entries of its own of which something waits, it was moved there.

    Raises ValueError for an unknown version.
    """
    for entry, value in sorted(entries.items()):
        if not entry.startswith(KIND):
            continue
        found, mark = batch_of(value), entries.get(JUDGED + entry[len(KIND) :])
        judged = LEAST if mark is None else judged_to(mark)
        for row, key in enumerate(found.keys()):
            if key.startswith(beginnings):
                matches = chunks.unpack(*found.members(row))
                matches = [match for match in matches if match[0] >= judged]
                if matches:
                    yield Left(key, matches, chunks.pack(matches))


def judged_to(mark: bytes) -> int:
    """Until when a batch was judged. Raises ValueError for an unknown version."""
    version, judged = MARK.unpack(mark)
    if version != VERSION:
        raise ValueError(f"saw version {version!r} of a mark, expected {VERSION!r}")
    return int(judged)


def all_are(found: PartialBatch, actions: Sequence[Action]) -> bool:
    """Whether nothing else is to be done in a batch."""
    content, starts, ends = found.content, found.values[0], found.values[0] + found.values[1]
    start, end = int(starts[0]), int(ends[-1])
    places = [ACTIONS.index(action) for action in actions]
    if not content.startswith(tuple(FIRST[place] for place in places), start):
        return False
    begins = [each[place] for each in (FIRST, NEXT) for place in places]
    return int(found.counts.sum()) == sum(content.count(each, start, end) for each in begins)


def columns(batch: Kept, rows: Numbers, watermark: int) -> Columns:
    """What is due of some rows. Raises ValueError or TypeError where one cannot be read."""
    found, content, counts = batch.found, batch.found.content, batch.found.counts[rows]
    uids, values = (
        zip(first[rows].tolist(), (first + sizes)[rows].tolist(), strict=True)
        for first, sizes in (found.uids, found.values)
    )
    loaded = orjson.loads(b"[%b]" % b",".join([content[at:end] for at, end in values]))
    texts = list(chain.from_iterable(loaded))
    names = b"\n".join([content[at:end] for at, end in uids]).decode().split("\n")
    firsts = np.cumsum(found.counts)[rows] - counts
    own = np.repeat(firsts - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    times = np.frombuffer(content, "<i8", int(found.counts.sum()), int(found.times[0][0]))[own]
    within = np.repeat(rows, counts).astype(np.int64)
    if not len(texts) == len(names) == len(times) or not set(map(type, texts)) <= {str}:
        raise ValueError("a row has another number of steps than of events")
    due = (times >= batch.judged) & (times < watermark)
    if not due.all():
        names, texts = list(compress(names, due)), list(compress(texts, due))
        times, within = times[due], within[due]
    return within, times.astype(np.int64), names, texts

"""Matches of a group as a store keeps them: chunks that are filled once and then left alone.

A commit rewrites only the last chunk of a group; a chunk goes when all its matches are expired.
Chunk: a version byte, then pieces of `<III` (lengths), times (`<q` each), uids joined by line
feeds, values as a JSON array or nothing. A long episode has chunks of digests, too: another version
byte, until when it goes (`<q`), and eight octets a value (topology/correlate/digests.py).
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import orjson

from topology.correlate.digests import NONE, WIDTH, Digests, of_octets
from topology.correlate.episodes import Match, arranged
from topology.records import KeyValueStore

VERSION = b"\x01"
DIGESTS = b"\x02"
KIND = b"m"
"""Begins what follows a group's key in the key of a chunk; its number is the rest."""
FIRST = KIND + bytes(8)
"""What follows a group's key in the key of its first chunk, which most groups have alone."""
FULL = 256
"""Matches from which on a chunk is closed."""
LITTLE = 8
"""Matches that a chunk may have in any case, though they are not needed any more."""
PIECE = 32
"""Matches of a chunk that is written anew in one piece."""
LONG = 16_000
"""Bytes of a match from which on its group is looked at alone: what groups have together, or
without an object, is up to 64 of them in one record."""
LARGE = 1_000_000
"""Bytes at which a chunk is closed too: it is one record of the changelog."""
LENGTHS = struct.Struct("<III")
TIME = struct.Struct("<q")
OPENING = struct.Struct("<IIIq")
"""Lengths and the first time; a piece has at least one match, and its times rise."""
SINGLE = np.dtype(
    [("version", "u1"), ("times", "<u4"), ("uids", "<u4"), ("values", "<u4"), ("time", "<i8")]
)
"""How a chunk with one match begins."""
Times: TypeAlias = npt.NDArray[np.int64]


def chunk_suffix(number: int) -> bytes:
    """What follows a group's key in the key of a chunk."""
    return KIND + number.to_bytes(8, "big")


def piece(times: bytes, uids: bytes, values: bytes) -> bytes:
    """Matches as a Partial carries them, to be appended to a chunk."""
    return b"".join((LENGTHS.pack(len(times), len(uids), len(values)), times, uids, values))


def unpack(times: bytes, uids: bytes, values: bytes) -> list[Match]:
    """The matches that a Partial or a piece carries, in its order."""
    moments = struct.unpack(f"<{len(times) // 8}q", times)
    names = uids.decode().split("\n")
    if not values:
        return list(zip(moments, names, repeat(None), strict=False))
    loaded = orjson.loads(values)
    counted = [tuple(value) if isinstance(value, list) else value for value in loaded]
    return list(zip(moments, names, counted, strict=True))


def pack(matches: list[Match]) -> bytes:
    """A piece of some matches."""
    times = struct.pack(f"<{len(matches)}q", *[match[0] for match in matches])
    uids = "\n".join([match[1] for match in matches]).encode()
    values = b""
    if matches and matches[0][2] is not None:
        values = orjson.dumps([match[2] for match in matches])
    return piece(times, uids, values)


def read(chunk: bytes) -> Iterator[list[Match]]:
    """The pieces of a chunk. Raises ValueError for a version that is not known."""
    if chunk[:1] != VERSION:
        raise ValueError(f"saw version {chunk[:1]!r} of a chunk of matches, expected {VERSION!r}")
    at = 1
    while at < len(chunk):
        times, uids, values = LENGTHS.unpack_from(chunk, at)
        at += LENGTHS.size
        middle, last = at + times, at + times + uids
        yield unpack(chunk[at:middle], chunk[middle:last], chunk[last : last + values])
        at = last + values


def span(chunk: bytes) -> tuple[int, int, int]:
    """First and latest time of the matches in a chunk, and how many they are; reads no uids. Of
    digests, twice until when they count, and 0.

    Raises ValueError for a version that is not known.
    """
    if chunk[:1] == DIGESTS:
        (until,) = TIME.unpack_from(chunk, 1)
        return until, until, 0
    if chunk[:1] != VERSION:
        raise ValueError(f"saw version {chunk[:1]!r} of a chunk of matches, expected {VERSION!r}")
    times, uids, values, first = OPENING.unpack_from(chunk, 1)
    at = 1 + LENGTHS.size
    latest = first if times == TIME.size else TIME.unpack_from(chunk, at + times - TIME.size)[0]
    count = times // TIME.size
    at += times + uids + values
    while at < len(chunk):
        times, uids, values, opens = OPENING.unpack_from(chunk, at)
        at += LENGTHS.size
        first = min(first, opens)
        latest = max(latest, TIME.unpack_from(chunk, at + times - TIME.size)[0])
        count += times // TIME.size
        at += times + uids + values
    return first, latest, count


def spans(chunks: Sequence[bytes]) -> tuple[Times, Times]:
    """First and latest times of many chunks, most of which hold a single match."""
    lengths = np.fromiter(map(len, chunks), np.int64, len(chunks))
    starts = np.cumsum(lengths) - lengths
    octets = np.frombuffer(b"".join((*chunks, bytes(SINGLE.itemsize))), np.uint8)
    windows = np.lib.stride_tricks.sliding_window_view(octets, SINGLE.itemsize)
    heads = np.ascontiguousarray(windows[starts]).view(SINGLE)[:, 0]
    first = heads["time"].astype(np.int64)
    latest = first.copy()
    lasts = heads["uids"].astype(np.int64) + heads["values"] + SINGLE.itemsize
    single = (heads["version"] == VERSION[0]) & (heads["times"] == TIME.size) & (lasts == lengths)
    for place in np.flatnonzero(~single).tolist():
        first[place], latest[place], _ = span(chunks[place])
    return first, latest


class ChunkLog:
    """The chunks of one group in a store; what is appended or dropped is written by `flush`."""

    __slots__ = (
        "_changes",
        "_closed",
        "_count",
        "_digests",
        "_first",
        "_grown",
        "_key",
        "_latest",
        "_number",
        "_store",
        "_tail",
    )

    def __init__(self, store: KeyValueStore, key: bytes) -> None:
        self._store = store
        self._key = key
        self._closed: list[tuple[int, int]] = []
        self._number = 0
        self._tail = bytearray()
        self._count = 0
        self._grown = False
        self._latest = 0
        self._changes: dict[int, bytes | None] = {}
        self._first: set[int] = set()
        """Chunks of the matches that `renew` has found to stay."""
        self._digests: set[int] = set()

    def append(self, matches: bytes, count: int, latest: int) -> None:
        """Add a piece with `count` matches, the latest of which is at `latest`."""
        if self._count and len(self._tail) + len(matches) > LARGE:
            self._close()
        if not self._count:
            self._tail += VERSION
            self._latest = latest
        self._tail += matches
        self._grown = True
        self._count += count
        self._latest = max(self._latest, latest)
        if self._count >= FULL:
            self._close()

    def _close(self) -> None:
        self._changes[self._number] = bytes(self._tail)
        self._closed.append((self._number, self._latest))
        self._leave()

    def drop(self, keep: int) -> None:
        """Remove the chunks that have no match after `keep`."""
        if self._count and self._latest <= keep:
            self._close()
        for number, latest in self._closed:
            if latest <= keep:
                self._changes[number] = None
        self._closed = [entry for entry in self._closed if entry[1] > keep]
        if self._first or self._digests:
            left = {number for number, _ in self._closed}
            self._first &= left
            self._digests &= left

    def shrink(self, left: Sequence[Match]) -> None:
        """Write the only chunk anew where most of its matches are not among those that are left."""
        if self._closed or self._count < LITTLE or not 0 < LITTLE * len(left) <= 2 * self._count:
            return
        self._tail[:] = VERSION + pack(list(left))
        self._count, self._latest, self._grown = len(left), left[-1][0], True

    def renew(
        self, first: Sequence[Match], rest: Sequence[Match], fresh: Digests, until: int
    ) -> None:
        """Keep these matches and no others; and digests, beside those of before, until a time.

        From one call to the next, `first` are the same, and what was appended comes behind them.
        """
        if self._count:
            self._changes[self._number] = None
            self._leave()
        stay = self._first | self._digests
        self._changes.update((number, None) for number, _ in self._closed if number not in stay)
        self._closed = [entry for entry in self._closed if entry[0] in stay]
        if not self._first:
            before = self._number
            self._fill(first)
            self._first.update(range(before, self._number))
        for part in range(0, len(fresh), LARGE // WIDTH):
            content = fresh[part : part + LARGE // WIDTH].tobytes()
            self._changes[self._number] = DIGESTS + TIME.pack(until) + content
            self._closed.append((self._number, until))
            self._digests.add(self._number)
            self._number += 1
        self._fill(rest)

    def loosen(self) -> None:
        """The matches that stay are others the next time."""
        self._first.clear()

    def _fill(self, matches: Sequence[Match]) -> None:
        """Append matches, and close the last chunk."""
        for place in range(0, len(matches), PIECE):
            part = list(matches[place : place + PIECE])
            packed = pack(part)
            if len(packed) <= LARGE:
                self.append(packed, len(part), part[-1][0])
            else:
                for match in part:
                    self.append(pack([match]), 1, match[0])
        if self._count:
            self._close()

    def _leave(self) -> None:
        """Begin a chunk anew, with the next number."""
        self._number += 1
        self._tail.clear()
        self._count = 0
        self._grown = False

    def digests(self) -> Digests:
        """All that the store has."""
        found = [self._store.get(self._name(number)) or b"" for number in sorted(self._digests)]
        parts = [of_octets(content[1 + TIME.size :]) for content in found]
        return np.sort(np.concatenate([NONE, *parts]))

    def flush(self) -> None:
        """Write what changed since the last time."""
        if self._count and self._grown:
            self._store.put(self._name(self._number), bytes(self._tail))
        self._grown = False
        for number, content in self._changes.items():
            if content is not None:
                self._store.put(self._name(number), content)
            elif self._store.get(self._name(number)) is not None:
                self._store.delete(self._name(number))
        self._changes.clear()

    def restore(self, number: int, content: bytes) -> int:
        """Take over a chunk that the store has; the latest time in it. One with room is filled."""
        _, latest, count = span(content)
        if self._count and self._number < number:
            self._closed.append((self._number, self._latest))
            self._tail.clear()
            self._count = 0
        if content[:1] == DIGESTS:
            self._digests.add(number)
            self._closed.append((number, latest))
            self._number = max(self._number, number + 1)
        elif count < FULL and number >= self._number:
            self._number, self._latest, self._count = number, latest, count
            self._tail += content
        else:
            self._closed.append((number, latest))
            self._number = max(self._number, number + (not self._count))
        return latest

    def numbers(self) -> tuple[int, ...]:
        """The numbers of the chunks that the store has after `flush`."""
        closed = [number for number, _ in self._closed]
        return (*closed, self._number) if self._count else tuple(closed)

    def load(self) -> list[Match]:
        """All matches that the store has, in their order."""
        found: list[Match] = []
        for number in (number for number, _ in self._closed if number not in self._digests):
            for matches in read(self._store.get(self._name(number)) or VERSION):
                found += matches
        for matches in read(bytes(self._tail) or VERSION):
            found += matches
        return arranged(found)

    def _name(self, number: int) -> bytes:
        return self._key + chunk_suffix(number)

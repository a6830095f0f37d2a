"""Partials that hold one match each, read in columns: nearly all of a rule with many groups."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import packed, packed_columns
from topology.keys import group_of, rule_of
from topology.records import Batch

ONE_TIME = 16
"""The length of one time as Avro writes it."""
MOST_RULES = 64
"""Rules that are looked for in one batch."""

Numbers = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


class QuietRule(NamedTuple):
    """A correlation for a tenant. `opening`: how its Partials begin; `limit`: matches from which on
    its condition may hold; `step`: rounds the times (ms) at which its groups go."""

    topics: tuple[str, ...]
    opening: bytes
    limit: int
    timespan_ms: int
    step: int


def stretches(batch: Batch, opening: bytes) -> Iterator[tuple[int, int, bool]]:
    """Rows `[start, stop)` of one partition; all or none have a key and begin with `opening`."""
    if not len(batch):
        return
    begins = pl.Series(batch.values, dtype=pl.Binary).bin.starts_with(opening)
    keyed = pl.Series(batch.keys, dtype=pl.Binary).is_not_null()
    alike = (begins.fill_null(value=False) & keyed).to_numpy()
    moved = np.diff(batch.partitions) != 0
    cuts = np.flatnonzero((alike[1:] != alike[:-1]) | moved) + 1
    for start, stop in pairwise([0, *cuts.tolist(), len(batch)]):
        yield start, stop, bool(alike[start])


class SingleMatches(NamedTuple):
    """One entry for each Partial; where `taken` is False the others mean nothing.

    `rules`: position of its rule. `times`: ms.
    `content`: all values in a row. `uids` and `values`: where in it the uid and what is counted
    begin, and how long they are.
    """

    taken: npt.NDArray[np.bool_]
    rules: Numbers
    times: Numbers
    content: bytes
    uids: tuple[Numbers, Numbers]
    values: tuple[Numbers, Numbers]

    def pieces(self, rows: Numbers) -> list[bytes]:
        """The pieces of chunks for some rows: LENGTHS, time, uid, value (correlate/chunks.py)."""
        uids, values = self.uids[1][rows], self.values[1][rows]
        head = np.empty((len(rows), 20), np.uint8)
        head[:, :12] = np.stack((np.full(len(rows), 8), uids, values), 1).astype("<u4").view("u1")
        head[:, 12:] = self.times[rows].astype("<i8")[:, None].view("u1")
        piece = pl.Series(head).cast(pl.List(pl.UInt8)).cast(pl.Binary)
        piece = piece + packed_columns.slices(self.content, self.uids[0][rows], uids)
        if values.any():
            piece = piece + packed_columns.slices(self.content, self.values[0][rows], values)
        return piece.to_list()


def single_matches(
    keys: Sequence[bytes],
    values: Sequence[bytes],
    rules: Sequence[QuietRule],
    find: Callable[[bytes], int | None],
) -> SingleMatches:
    """Read the Partials of some rules whose key is in the batch once and that hold one match."""
    column = pl.Series(values, dtype=pl.Binary)
    numbers = _rules(keys, column, rules, find)
    openings = np.array([len(rule.opening) for rule in rules], np.int64)
    sizes = column.bin.size().to_numpy().astype(np.int64)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    content = b"".join(values)
    flat = np.frombuffer(content, np.uint8)
    taken = numbers >= 0
    at = starts + openings[numbers]
    at, taken = _after_group(flat, at, taken)
    taken = taken & (flat[_inside(flat, at)] == ONE_TIME)
    time_at = at + 1
    uids, after, taken = _span(flat, at + 9, taken)
    found, after, taken = _span(flat, after, taken)
    taken = taken & (after <= ends)
    eight = _inside(flat, np.where(taken, time_at, 0)[:, None] + np.arange(8))
    times = np.ascontiguousarray(flat[eight]).view("<i8")[:, 0]
    return SingleMatches(taken, numbers, times, content, uids, found)


class PartialBatch(NamedTuple):
    """A decoded PartialBatch: Partials of one rule of one tenant, with the places of their parts.

    `counts` are matches. `endings`, `times`, `uids` and `values` are where the parts begin and how
    long they are, in `content`; those of `times` in bytes.
    """

    tenant: str
    rule: str
    source: str
    content: bytes
    counts: Numbers
    endings: tuple[Numbers, Numbers]
    times: tuple[Numbers, Numbers]
    uids: tuple[Numbers, Numbers]
    values: tuple[Numbers, Numbers]

    def keys(self) -> list[bytes]:
        """The keys of all groups."""
        content, (starts, sizes) = self.content, self.endings
        beginning = f"{self.tenant}\0{self.rule}".encode()
        places = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        return [beginning + content[first:end] for first, end in places]

    def members(self, row: int) -> tuple[bytes, bytes, bytes]:
        """Times, uids and values of a Partial."""
        times, uids, values = (
            self.content[int(starts[row]) : int(starts[row] + sizes[row])]
            for starts, sizes in (self.times, self.uids, self.values)
        )
        return times, uids, values

    def alone(self, row: int) -> bytes:
        """A Partial as a record of its own."""
        (starts, sizes), source = self.endings, packed.text(self.source)
        ending = self.content[int(starts[row]) : int(starts[row] + sizes[row])]
        group = group_of(f"{self.tenant}\0{self.rule}".encode() + ending)[2]
        head = packed.head("Partial", self.tenant, self.rule, group)
        return packed.partial(head, (*self.members(row), b""), source)

    def only(self, rows: Numbers) -> "PartialBatch":
        """A PartialBatch of some of the Partials."""
        columns = (self.endings, self.times, self.uids, self.values)
        endings, times, uids, values = (
            packed_columns.slices(self.content, starts[rows], sizes[rows]).to_list()
            for starts, sizes in columns
        )
        numbers = (self.endings[1], self.counts, self.uids[1], self.values[1])
        sizes = np.stack([column[rows] for column in numbers], 1).astype("<u4")
        members = (
            sizes.tobytes(),
            b"".join(endings),
            b"".join(times),
            b"\n".join(uids),
            b"".join(values),
        )
        source = packed.text(self.source)
        return read(packed.partial_batch(self.tenant, self.rule, source, members))

    def spans(self) -> tuple[Numbers, Numbers]:
        """The first and the last time (ms) of each Partial."""
        starts, sizes = self.times
        size = int(sizes.sum())
        times = np.frombuffer(self.content, "<i8", size // 8, int(starts[0])).astype(np.int64)
        ends = np.cumsum(self.counts)
        return times[ends - self.counts], times[ends - 1]


def read(value: bytes) -> PartialBatch:
    """Decode a PartialBatch. Raises ValueError or IndexError when it is not whole."""
    tenant, rule, source, spans = packed.read_partial_batch(value)
    (first, end), groups, times, uids, values = spans
    sizes = np.frombuffer(value[first:end], "<u4").reshape(-1, 4).astype(np.int64)
    places = []
    for (start, stop), column, gap in (
        (groups, sizes[:, 0], 0),
        (times, sizes[:, 1] * 8, 0),
        (uids, sizes[:, 2], 1),
        (values, sizes[:, 3], 0),
    ):
        ends = start + np.cumsum(column + gap)
        if not len(column) or ends[-1] - gap != stop:
            raise ValueError("the sizes of a PartialBatch are not those of what it holds")
        places.append((ends - column - gap, column))
    if not sizes[:, 1].all():
        raise ValueError("a PartialBatch has a group without matches")
    return PartialBatch(tenant, rule, source, value, sizes[:, 1], *places)


def _rules(
    keys: Sequence[bytes],
    column: pl.Series,
    rules: Sequence[QuietRule],
    find: Callable[[bytes], int | None],
) -> Numbers:
    """The position of each Partial's rule; -1 for those of other rules and keys that come again."""
    numbers = np.full(len(keys), -1, np.int64)
    names = pl.Series(keys, dtype=pl.Binary)
    waiting = (~names.is_duplicated()).to_numpy()
    for _ in range(MOST_RULES):
        rows = np.flatnonzero(waiting)
        if not len(rows):
            break
        first = int(rows[0])
        waiting = waiting.copy()
        waiting[first] = False
        number = find(keys[first])
        if number is None:
            waiting &= ~names.bin.starts_with(rule_of(keys[first]) + b"\0").to_numpy()
            continue
        same = column.bin.starts_with(rules[number].opening).to_numpy()
        numbers[same & (waiting | (np.arange(len(keys)) == first))] = number
        waiting &= ~same
    return numbers


def _after_group(
    flat: Bytes, at: Numbers, taken: npt.NDArray[np.bool_]
) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """Where the group that begins at `at` ends; takes no more where that cannot be told."""
    counts = (flat[_inside(flat, at)] >> 1).astype(np.int64)
    at = at + 1
    for number in range(int(counts[taken].max(initial=0))):
        more = taken & (number < counts)
        _, after, fine = _span(flat, at, more)
        at = np.where(more, after, at)
        taken = taken & (fine | ~more)
    return at + (counts > 0), taken


def _span(
    flat: Bytes, at: Numbers, taken: npt.NDArray[np.bool_]
) -> tuple[tuple[Numbers, Numbers], Numbers, npt.NDArray[np.bool_]]:
    """(start, size) of the strings at some places, and where they end; of up to 8,191 bytes."""
    low = flat[_inside(flat, at)].astype(np.int64)
    wide = low > 127
    high = flat[_inside(flat, at + 1)].astype(np.int64)
    size = np.where(wide, (low & 127) | (high << 7), low) >> 1
    start = at + 1 + wide
    return (start, size), start + size, taken & ~(wide & (high > 127))


def _inside(flat: Bytes, at: Numbers) -> Numbers:
    return np.minimum(at, len(flat) - 1)

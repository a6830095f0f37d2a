"""Partials that hold one match each, read in columns: nearly all of a rule with many groups."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import packed_columns
from topology.keys import rule_of
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

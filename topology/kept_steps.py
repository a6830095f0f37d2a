"""What is to be done with keys of lists, as it came: kept together until its time is over.

Most keys have one thing that waits, a test or a change, and then none for long. What of a
PartialBatch is about such keys is one entry of the store, and no object for each key; once the
watermark has passed it, it is judged in one go (topology/judging.py). Where a record comes
alone, or late, for a key, what waits of it moves to the object of the key first
(topology/correlate/list_key.py), so that a key has something here or an object, never both.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain, compress
from typing import Final

import numpy as np
import numpy.typing as npt

from topology.correlate import chunks
from topology.correlate.episodes import Match
from topology.correlate.head import HEAD, LEAST
from topology.correlate.list_key import read_times
from topology.lists import TESTS
from topology.partial_batch import PartialBatch
from topology.records import KeyValueStore
from topology.step_batches import (
    FIRST,
    JUDGED,
    KIND,
    MARK,
    NEXT,
    NOTHING,
    ONLY_TESTS,
    ROW,
    VERSION,
    Alone,
    Columns,
    Due,
    Kept,
    Numbers,
    Topics,
    Unread,
    Waited,
    all_are,
    batch_of,
    columns,
    judged_to,
)

MANY: Final = 32
"""Fewer keys of a record are not worth an entry."""
MOST: Final = 262_144
"""Keys that are kept at most, of each partition; about 450 bytes each."""
Place = int | tuple[int, ...]


class KeptSteps:
    """Those of one partition."""

    def __init__(
        self, store: KeyValueStore, changing: Callable[[PartialBatch], bool] = lambda _: True
    ) -> None:
        """`changing`: whether tests of a list may change its entries."""
        self._store = store
        self._changing = changing
        self._batches: dict[int, Kept] = {}
        # A place is the number of a batch and a row of it: a number costs no object of its own.
        self._where: dict[bytes, Place] = {}
        self._due: dict[Topics, list[tuple[int, int]]] = {}
        self._next = 0

    @staticmethod
    def owns(key: bytes) -> bool:
        """Whether a key of the store is one of these."""
        return key[:1] == b"\0"

    def restore(self, key: bytes, value: bytes) -> PartialBatch | None:
        """What an entry holds; `recall` it once it is known what it waits for. None: a mark.

        Raises ValueError for an unknown version.
        """
        self._next = max(self._next, _number(key) + 1)
        if key.startswith(JUDGED):
            judged_to(value)
            return None
        return batch_of(value)

    def recall(self, key: bytes, found: PartialBatch, topics: Topics, reached: int) -> None:
        """Take over an entry of the store. `reached`: how far its list has come."""
        get, number, keys = self._store.get, _number(key), found.keys()
        mark = get(_judged(number))
        judged = LEAST if mark is None else judged_to(mark)
        if mark is None and (get(key) or b"")[:1] == ONLY_TESTS:
            judged = reached
            self._store.put(_judged(number), MARK.pack(VERSION, judged))
        heads = [get(each + HEAD) for each in keys]
        moved = {
            row
            for row, head in enumerate(heads)
            if head is not None and read_times(head)[1] != LEAST
        }
        fresh = np.array([head is None for head in heads], np.bool_)
        self._add(number, found, topics, keys, judged, moved, fresh)

    def forget(self, key: bytes) -> None:
        """Delete an entry whose list is gone."""
        self._delete(_number(key))

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
        if not MANY <= len(keys) < 1 << ROW or len(self._where) + len(keys) > MOST:
            return every
        firsts, _ = found.spans()
        get, content, counts = self._store.get, found.content, found.counts.tolist()
        starts = found.values[0].tolist()
        ends = (found.values[0] + found.values[1]).tolist()
        rows = [
            row
            for row in np.flatnonzero(firsts >= reached).tolist()
            if content.startswith(FIRST, starts[row])
            and (counts[row] == 1 or _more(content, starts[row], ends[row]) == counts[row] - 1)
            and keys[row] not in live
        ]
        if len(set(keys)) < len(keys):  # what has too many bytes for one row is in several
            often = Counter(keys)
            rows = [row for row in rows if often[keys[row]] == 1]
        heads = [get(keys[row] + HEAD) for row in rows]
        moments = firsts.tolist()
        free = [
            head is None or _free(head, moments[row]) for row, head in zip(rows, heads, strict=True)
        ]
        fresh = np.array([head is None for head in compress(heads, free)], np.bool_)
        kept = list(compress(rows, free))
        if len(kept) < MANY:
            return every
        left: Sequence[int] = ()
        if len(kept) < len(keys):
            found = found.only(np.array(kept))
            stay = set(kept)
            left = [row for row in every if row not in stay]
            keys = [keys[row] for row in kept]
        number = self._next
        self._next += 1
        self._store.put(_entry(number), VERSION + found.content)
        self._add(number, found, topics, keys, LEAST, set(), fresh)
        return left

    def move(self, key: bytes) -> Iterator[tuple[list[Match], bytes]]:
        """What waits of a key: no longer kept; that of each record, with its piece.

        Raises ValueError for what cannot be read.
        """
        places = self._where.pop(key, ())
        for place in (places,) if isinstance(places, int) else places:
            batch, row = self._batches[place >> ROW], place % (1 << ROW)
            batch.moved.add(row)
            members = batch.found.members(row)
            matches = batch.matches(row)
            whole = len(matches) == len(members[0]) // chunks.TIME.size
            yield matches, chunks.piece(*members) if whole else chunks.pack(matches)

    def waiting(self) -> list[Topics]:
        """What the batches wait for."""
        return [topics for topics, queue in self._due.items() if queue]

    def advance(self, topics: Topics, watermark: int) -> Due:
        """What is before the watermark: no longer kept."""
        due, queue = Due([], {}, [], {}), self._due[topics]
        while queue and queue[0][0] < watermark:
            _, number = heappop(queue)
            batch = self._batches[number]
            start, batch.at = batch.at, int(np.searchsorted(batch.times, watermark))
            due.found[number] = batch.found
            rows = np.unique(batch.rows[start : batch.at]).astype(np.int64)
            self._take_out(number, rows, watermark, due)
            batch.judged = watermark
            if batch.at < len(batch.times):
                heappush(queue, (int(batch.times[batch.at]), number))
                self._store.put(_judged(number), MARK.pack(VERSION, watermark))
            else:
                del self._batches[number]
                self._delete(number)
        for several in due.several.values():
            several.sort(key=_order)
        return due

    def _take_out(self, number: int, rows: Numbers, watermark: int, due: Due) -> None:
        batch, where, first = self._batches[number], self._where, number << ROW
        keys, moved = batch.keys, batch.moved
        some = rows[[row not in moved for row in rows.tolist()]] if moved else rows
        here = some.tolist()
        places = [where[keys[row]] for row in here]
        only = np.array(
            [place == first + row for place, row in zip(places, here, strict=True)], np.bool_
        )
        alone = only if batch.tests else only & (batch.found.counts[some] == 1)
        if batch.tests and not only.all():
            alone = only.copy()
            alone[~only] = [
                keys[here[at]] not in due.several and self._tests(places[at])
                for at in np.flatnonzero(~only).tolist()
            ]
        others = compress(zip(here, places, strict=True), (~alone).tolist())
        told = [row for row, place in others if not self._unasked(batch, row, place, due)]
        fresh = np.zeros(len(keys), np.bool_)
        fresh[some] = batch.fresh[some] & only
        if batch.asks:  # nothing passes those of keys without a head
            get, asked = self._store.get, some[alone & ~fresh[some]].tolist()
            read = [row for row in asked if get(keys[row] + HEAD) is not None]
            alone = np.isin(some, read)
        if alone.any():
            due.alone.append(self._alone(number, some[alone], fresh, watermark, due))
        within, times, uids, texts = self._read(number, np.array(told, np.int64), watermark, due)
        for row, *waited in zip(within.tolist(), times.tolist(), uids, texts, strict=True):
            due.several.setdefault(keys[row], []).append((*waited, first + row))
        for row, place, gone in zip(
            here, places, (batch.lasts[some] < watermark).tolist(), strict=True
        ):
            if not gone:
                continue
            if isinstance(place, int):
                del where[keys[row]]
            elif rest := tuple(each for each in place if each != first + row):
                # One that is left stays a tuple: what is said of its head was said before others.
                where[keys[row]] = rest
            else:
                del where[keys[row]]

    def _unasked(self, batch: Kept, row: int, place: Place, due: Due) -> bool:
        """Whether a row asks for an entry that is not there, nor may be before it is judged."""
        key = batch.keys[row]
        return (
            batch.asks
            and key not in due.several
            and (isinstance(place, int) or all(self._batches[each >> ROW].asks for each in place))
            and self._store.get(key + HEAD) is None
        )

    def _tests(self, place: Place) -> bool:
        """Whether all that waits in some places are tests that change nothing."""
        places = (place,) if isinstance(place, int) else place
        return all(self._batches[each >> ROW].tests for each in places)

    def _alone(
        self, number: int, rows: Numbers, fresh: npt.NDArray[np.bool_], watermark: int, due: Due
    ) -> Alone:
        batch = self._batches[number]
        within, times, uids, texts = self._read(number, rows, watermark, due)
        keys = [batch.keys[row] for row in within.tolist()]
        places = within + (number << ROW)
        return Alone(batch.found.tenant, keys, times, uids, texts, places, fresh[within])

    def _read(self, number: int, rows: Numbers, watermark: int, due: Due) -> Columns:
        """What is due of some rows."""
        if not len(rows):
            return NOTHING
        batch = self._batches[number]
        try:
            return columns(batch, rows, watermark)
        except (ValueError, TypeError) as error:
            if len(rows) == 1:
                row = int(rows[0])
                due.unread.append(Unread(error, batch.keys[row], (number << ROW) + row))
                return NOTHING
        within, times, uids, texts = zip(
            *(self._read(number, rows[at : at + 1], watermark, due) for at in range(len(rows))),
            strict=True,
        )
        chained = chain.from_iterable
        return np.concatenate(within), np.concatenate(times), [*chained(uids)], [*chained(texts)]

    def _add(
        self,
        number: int,
        found: PartialBatch,
        topics: Topics,
        keys: Sequence[bytes],
        judged: int,
        moved: set[int],
        fresh: npt.NDArray[np.bool_],
    ) -> None:
        size = int(found.times[1].sum())
        times = np.frombuffer(found.content, "<i8", size // 8, int(found.times[0][0]))
        order = np.argsort(times, kind="stable")
        rows = np.repeat(np.arange(len(keys), dtype=np.int32), found.counts)[order]
        ordered, lasts = times[order].astype(np.int64), found.spans()[1]
        at = int(np.searchsorted(ordered, judged))
        if at == len(ordered):
            self._delete(number)
            return
        tests = not self._changing(found) and all_are(found, TESTS)
        self._batches[number] = Kept(
            found,
            topics,
            keys,
            ordered,
            rows,
            lasts,
            judged,
            at,
            moved,
            fresh,
            tests,
            all_are(found, ["in"]),
        )
        heappush(self._due.setdefault(topics, []), (int(ordered[at]), number))
        gone = moved if judged == LEAST else moved.union(np.flatnonzero(lasts < judged).tolist())
        where, first = self._where, number << ROW
        for place, key in enumerate(keys, first):
            if gone and place - first in gone:
                continue
            before = where.get(key)
            if before is None:
                where[key] = place
            else:
                where[key] = (*((before,) if isinstance(before, int) else before), place)

    def _delete(self, number: int) -> None:
        self._store.delete(_entry(number))
        self._store.delete(_judged(number))


def _free(head: bytes, time: int) -> bool:
    """Whether nothing waits of a key that has a head, and it was not judged beyond a time."""
    judged, due, _ = read_times(head)
    return due == LEAST and judged <= time


def _order(waited: Waited) -> tuple[int, str, str]:
    return waited[:3]


def _more(content: bytes, start: int, end: int) -> int:
    """How many matches of a row there are behind its first."""
    return sum(content.count(each, start, end) for each in NEXT)


def _number(key: bytes) -> int:
    return int.from_bytes(key[len(KIND) :], "big")


def _entry(number: int) -> bytes:
    return KIND + number.to_bytes(8, "big")


def _judged(number: int) -> bytes:
    return JUDGED + number.to_bytes(8, "big")

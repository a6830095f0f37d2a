"""One key of one active list: its entry, and what is still to be judged in event-time order.

What is asked and changed waits until the watermark has passed it. Then it is done in order: at any
time first the tests, which see what was changed before that time; then what is removed; then what
is added. So neither arrival within lateness nor batches change what a test sees. A restart loses
nothing: what waits is in chunks, the rest in a head record.
"""

import struct
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, TypeAlias, cast

import orjson

from topology.correlate.chunks import ChunkLog, chunk_suffix
from topology.correlate.episodes import Match
from topology.correlate.head import HEAD, LEAST
from topology.json_each import dumps_each
from topology.records import KeyValueStore

Content: TypeAlias = dict[str, Any]
"""What is to be done (topology/list_records.py)."""
FIXED = struct.Struct("<Bqqq")
"""Of a head record: version, until when it was judged, when the first that waits is due, and when
the entry is looked at for its end (LEAST: neither). What follows is JSON."""
VERSION = 1
STEPS = 32
"""An entry goes at most its life divided by this later than it could."""
SECOND_MS = 1_000


class Entry(NamedTuple):
    """What a list has of a key. Times are event times in ms; `until` None: until it is removed.

    `since`: when it was added; `by`, `uid` and `values` are of the last time that it was.
    """

    since: int
    until: int | None
    by: str
    uid: str
    values: Mapping[str, str]

    def ended(self, time: int) -> bool:
        """Whether it is gone at a time."""
        return self.until is not None and self.until <= time


class Passed(NamedTuple):
    """A test that was passed. `entry`: what was there."""

    time: int
    uid: str
    content: Content
    entry: Entry | None


Asked: TypeAlias = tuple[int, str, Content]
"""Time and uid of something that is to be done, and what that is."""
Own: TypeAlias = Callable[[Content], Iterable[Content]]
"""Changes of the same entry that follow a test that was passed."""


def judge(
    entry: Entry | None, waiting: Iterable[Asked], own: Own
) -> tuple[Entry | None, list[Passed]]:
    """The entry after all that waits, in (time, uid) order, and the tests that were passed."""
    passed: list[Passed] = []
    for time, together in groupby(waiting, key=_time):
        if entry is not None and entry.ended(time):
            entry = None
        changes: list[tuple[bool, str, str, Content]] = []
        for _, uid, content in together:
            action = content["a"]
            if action in ("add", "remove"):
                changes.append((action == "add", uid, content["r"], content))
            elif (entry is not None) == (action == "in"):
                passed.append(Passed(time, uid, content, entry))
                changes += [(each["a"] == "add", uid, each["r"], each) for each in own(content)]
        if len(changes) > 1:
            changes.sort(key=lambda change: change[:3])
        for adds, uid, by, content in changes:
            entry = added(entry, time, uid, by, content) if adds else None
    return entry, passed


def loaded(matches: Iterable[Match]) -> Iterator[Asked]:
    """What matches say. Raises ValueError."""
    for time, uid, text in matches:
        yield time, uid, orjson.loads(cast("str", text))


def added(entry: Entry | None, time: int, uid: str, by: str, content: Content) -> Entry:
    """What is added again stays as long as the longest of its times says."""
    ttl: int | None = content.get("t")
    until = None if ttl is None else time + ttl
    values = content.get("v") or {}
    if None in values.values():
        values = {name: text for name, text in values.items() if text is not None}
    if entry is None:
        return Entry(time, until, by, uid, values)
    if until is not None:
        until = None if entry.until is None else max(until, entry.until)
    return Entry(entry.since, until, by, uid, values)


class ListKey:
    """State of one (tenant, list, key)."""

    __slots__ = ("_chunks", "_goes", "_judged", "_key", "_log", "_store", "entry", "queued")

    def __init__(self, store: KeyValueStore, key: bytes) -> None:
        self._store = store
        self._key = key
        self._chunks = ChunkLog(store, key)
        self._log: list[Match] | None = None
        self._judged = LEAST
        self._goes: int | None = None
        self.entry: Entry | None = None
        self.queued: int | None = None
        """For when the queue has this key."""

    def recall(self) -> None:
        """Take over what the store has. Raises ValueError for an unknown version."""
        head = self._store.get(self._key + HEAD)
        if head is None:
            return
        judged, due, goes = read_times(head)
        numbers, self.entry = read_rest(head)
        self._judged = judged
        self._goes = None if goes == LEAST else goes
        self.queued = None if due == LEAST else due
        for number in numbers:
            self._chunks.restore(number, self._store.get(self._key + chunk_suffix(number)) or b"")

    def judged_to(self, watermark: int) -> int:
        """What is before this was judged, or is about to be."""
        return max(self._judged, watermark)

    def add(self, matches: Sequence[Match], piece: bytes) -> None:
        """Take what is to be done, in (time, uid) order and none judged; a chunk keeps `piece`."""
        log = self._waiting()
        self._chunks.append(piece, len(matches), matches[-1][0])
        if not log or log[-1] < matches[0]:
            log += matches
        else:
            at = bisect_left(log, matches[0])
            log[at:] = sorted([*log[at:], *matches])

    def settle(self, watermark: int, own: Own) -> list[Passed]:
        """Judge what is before the watermark; the tests that were passed."""
        log = self._waiting()
        end = bisect_left(log, watermark, key=_time)
        self.entry, passed = judge(self.entry, loaded(log[:end]), own)
        del log[:end]
        self._chunks.drop(watermark - 1)
        self._judged = max(self._judged, watermark)
        return passed

    def due(self) -> int | None:
        """When the first that waits is due; None: nothing waits."""
        log = self._waiting()
        return log[0][0] if log else None

    def latest(self, beginning: str) -> int:
        """The latest time of what waits and has a uid that begins so, or LEAST."""
        times = [time for time, uid, _ in self._waiting() if uid.startswith(beginning)]
        return times[-1] if times else LEAST

    def gone(self, watermark: int) -> None:
        """The entry was looked at for its end."""
        self._goes = None
        if self.entry is not None and self.entry.ended(watermark):
            self.entry = None

    def flush(self) -> int | None:
        """Write everything; when the entry is to be looked at for its end, if that is new."""
        self._chunks.flush()
        due, goes = self.due(), None
        if self._goes is None and self.entry is not None:
            goes = self._goes = goes_at(self.entry)
        if due is None and self.entry is None and self._goes is None:
            if self._store.get(self._key + HEAD) is not None:
                self._store.delete(self._key + HEAD)
            return None
        first, end = (LEAST if at is None else at for at in (due, self._goes))
        head = written(self._judged, first, end, self.entry, self._chunks.numbers())
        self._store.put(self._key + HEAD, head)
        return goes

    def _waiting(self) -> list[Match]:
        if self._log is None:
            log = self._chunks.load()
            # A chunk stays while one in it waits.
            self._log = log[bisect_left(log, self._judged, key=_time) :]
        return self._log


def read_times(head: bytes) -> tuple[int, int, int]:
    """Until when a key was judged, when it is due, and when its entry is looked at for its end.

    LEAST: it is not. Raises ValueError for an unknown version.
    """
    version, judged, due, goes = FIXED.unpack_from(head)
    if version != VERSION:
        raise ValueError(f"saw version {version} of a list's key, expected {VERSION}")
    return judged, due, goes


def read_rest(head: bytes) -> tuple[Sequence[int], Entry | None]:
    """Of a head record with a known version: numbers of the chunks, and the entry."""
    numbers, entry = orjson.loads(head[FIXED.size :])
    return numbers, None if entry is None else Entry(*entry)


def written(judged: int, due: int, goes: int, entry: Entry | None, numbers: Sequence[int]) -> bytes:
    """A head record."""
    rest = orjson.dumps((numbers, entry and tuple(entry)))
    return FIXED.pack(VERSION, judged, due, goes) + rest


def written_together(
    judged: int, goes: Sequence[int], entries: Sequence[Entry | None]
) -> list[bytes]:
    """Head records of keys of which nothing waits."""
    rests = dumps_each(((), entry and tuple(entry)) for entry in entries)
    pack = FIXED.pack
    return [pack(VERSION, judged, LEAST, at) + rest for at, rest in zip(goes, rests, strict=True)]


def goes_at(entry: Entry) -> int | None:
    """When an entry is to be looked at for its end, if it has one."""
    if entry.until is None:
        return None
    step = max(SECOND_MS, (entry.until - entry.since) // STEPS)
    return -(-entry.until // step) * step


def _time(match: Match | Asked) -> int:
    return match[0]

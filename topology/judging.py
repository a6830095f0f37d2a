"""Judges many keys of lists where they are, in the store: there is no object for any of them.

What is judged are keys of which nothing waits but what is due (topology/kept_steps.py). They end
with the entry that topology/correlate/list_key.py says they have, written as it writes it.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import orjson

from topology.adding import Added, add
from topology.correlate.head import HEAD, LEAST
from topology.correlate.list_key import (
    FIXED,
    VERSION,
    Asked,
    Content,
    Entry,
    Own,
    Passed,
    goes_at,
    judge,
    read_rest,
    read_times,
    written,
    written_together,
)
from topology.list_alerts import WRONG, check
from topology.passing import Passing, Tests
from topology.records import KeyValueStore
from topology.step_batches import Alone, Due, Unread


class Judged(NamedTuple):
    """`passed`: tests, with their keys, in the order of time; `tests`: those that were judged in
    columns, with whose list it is. `goes`: keys by the time at which their entries are to be looked
    at for their ends."""

    passed: list[tuple[bytes, Passed]]
    tests: list[tuple[str, Tests]]
    goes: dict[int, list[bytes]]
    unread: list[Unread]


class Judging:
    """Judges in one store what is before a watermark."""

    def __init__(
        self, store: KeyValueStore, watermark: int, own: Own, passing: Passing | None
    ) -> None:
        """`passing`: judges tests in columns."""
        self._passing = passing
        self._tests: list[tuple[str, Tests]] = []
        self._store = store
        self._watermark = watermark
        self._own = own
        self._passed: list[tuple[bytes, Passed]] = []
        self._unread: list[Unread] = []
        self._keys: list[bytes] = []
        self._goes: list[int] = []
        self._entries: list[Entry | None] = []
        """Of the keys that change, when they are to be looked at; LEAST: never."""
        self._watched: defaultdict[int, list[bytes]] = defaultdict(list)

    def judged(self, due: Due) -> Judged:
        """All that is due."""
        self._unread.extend(due.unread)
        for alone in due.alone:
            self._alone(alone)
        texts = [text for several in due.several.values() for _, _, text, _ in several]
        contents = iter(_contents(texts))
        for key, several in due.several.items():
            said = []
            wrong: dict[int, Exception] = {}
            for time, uid, text, place in several:
                content = next(contents)
                try:
                    said.append((place, (time, uid, _checked(content, text))))
                except WRONG as error:
                    wrong[place] = error
            try:
                self._judge(key, [asked for place, asked in said if place not in wrong])
            except WRONG as error:
                wrong = dict.fromkeys((place for *_, place in several), error)
            self._unread.extend(Unread(error, key, place) for place, error in wrong.items())
        put = self._store.put
        heads = written_together(self._watermark, self._goes, self._entries)
        for key, head in zip(self._keys, heads, strict=True):
            put(key + HEAD, head)
        self._passed.sort(key=_moment)
        return Judged(self._passed, self._tests, self._watched, self._unread)

    def _alone(self, alone: Alone) -> None:
        """Keys with a match each; what adds is judged in columns."""
        get = self._store.get
        _, keys, times, uids, texts, places, fresh = alone
        heads = [
            None if new else get(key + HEAD) for key, new in zip(keys, fresh.tolist(), strict=True)
        ]
        left = np.ones(len(keys), np.bool_)
        for added in add(texts, times, uids, heads, self._watermark):
            left[added.rows] = False
            self._put(keys, added)
        if self._passing is not None and keys:
            scope = alone.scope
            for tests in self._passing.judged(texts, times, uids, heads, left, self._watermark):
                left[tests.rows] = False
                self._tests.append((scope, tests))
                if tests.added is not None:
                    self._put(keys, tests.added)
        rows = np.flatnonzero(left).tolist()
        said = _contents([texts[row] for row in rows])
        moments = times.tolist()
        for row, content in zip(rows, said, strict=True):
            try:
                self._judge(keys[row], [(moments[row], uids[row], _checked(content, texts[row]))])
            except WRONG as error:
                self._unread.append(Unread(error, keys[row], int(places[row])))

    def _put(self, keys: Sequence[bytes], added: Added) -> None:
        put = self._store.put
        rows = added.rows.tolist()
        for row, head, goes in zip(rows, added.heads, added.goes.tolist(), strict=True):
            key = keys[row]
            put(key + HEAD, head)
            if goes != LEAST:
                self._watched[goes].append(key)

    def _judge(self, key: bytes, asked: Sequence[Asked]) -> None:
        head = self._store.get(key + HEAD)
        before: Entry | None = None
        goes = LEAST
        if head is not None:
            _, _, goes = read_times(head)
            _, before = read_rest(head)
        entry, passed = judge(before, asked, self._own)
        if entry is not None or goes != LEAST:
            if entry is not before:
                self._change(key, goes, entry)
        elif head is not None:
            self._store.delete(key + HEAD)
        self._passed.extend([(key, each) for each in passed])

    def _change(self, key: bytes, goes: int, entry: Entry | None) -> None:
        """What a key has from now on, and when that is looked at, if it is to be already."""
        at = goes_at(entry) if goes == LEAST and entry is not None else None
        if at is not None:
            goes = at
            FIXED.pack(VERSION, 0, 0, goes)  # fails here, for this key alone, if at all
            self._watched[goes].append(key)
        self._keys.append(key)
        self._goes.append(goes)
        self._entries.append(entry)


def _contents(texts: Sequence[str]) -> list[Content | None]:
    """What texts say; None each where one of them is no JSON."""
    try:
        found: list[Content | None] = orjson.loads(f"[{','.join(texts)}]")
    except ValueError:
        return [None] * len(texts)
    return found if len(found) == len(texts) else [None] * len(texts)


def _checked(content: Content | None, text: str) -> Content:
    """What a text says. Raises what is in WRONG."""
    said: Content = orjson.loads(text) if content is None else content
    check(said)
    return said


def end(
    store: KeyValueStore, keys: Sequence[bytes], watermark: int
) -> tuple[dict[int, list[bytes]], list[bytes]]:
    """Delete the entries of keys that have ended. Those that have not are to be looked at again, by
    time; and keys of which something waits are left."""
    get, put, delete = store.get, store.put, store.delete
    goes_of: defaultdict[int, list[bytes]] = defaultdict(list)
    left: list[bytes] = []
    for key in keys:
        head = get(key + HEAD)
        if head is None:
            continue
        judged, due, _ = read_times(head)
        if due != LEAST:
            left.append(key)
            continue
        _, entry = read_rest(head)
        if entry is None or entry.ended(watermark):
            delete(key + HEAD)
            continue
        goes = goes_at(entry)
        if goes is not None:
            goes_of[goes].append(key)
        put(key + HEAD, written(judged, LEAST, LEAST if goes is None else goes, entry, ()))
    return goes_of, left


def _moment(passed: tuple[bytes, Passed]) -> tuple[int, str]:
    _, each = passed
    return each.time, each.uid

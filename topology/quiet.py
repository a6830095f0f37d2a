"""Groups with fewer matches than their rule needs: nothing can be said of them, only kept.

Most groups of a rule over many users or files are so for all of their life. They have no object:
their matches are one chunk in the store (topology/correlate/chunks.py), here are only how many and
until when, and a group goes as a whole when its last match is out of every window. When one more
match could make the rule's condition true it becomes a Group.
"""

from collections.abc import Container, Iterator, Sequence
from heapq import heappop, heappush
from itertools import islice
from typing import Any

import numpy as np

from schemas import packed
from topology.asleep import Asleep
from topology.correlate.chunks import FIRST, LENGTHS, LONG, TIME, VERSION, span, spans
from topology.correlate.head import HEAD
from topology.correlate.types import fewest
from topology.keys import group_key, rule_of
from topology.progress import Progress
from topology.records import KeyValueStore
from topology.rules import Correlation
from topology.single_matches import QuietRule, single_matches

MOST = 64
"""Matches from which on a group is no longer quiet, whatever its rule needs."""
STEPS = 32
"""A group goes at most a timespan divided by this later than it could."""


class QuietRules:
    """The rules that have quiet groups: those whose condition more matches cannot make false."""

    def __init__(self) -> None:
        self.rules: list[QuietRule] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, tenant: str, correlation: Correlation, topics: tuple[str, ...]) -> None:
        """A correlation and the raw topics that it waits for."""
        limit = min(fewest(correlation), MOST)
        if not correlation.rising or limit < 2:
            return
        rule = correlation.rule.id
        self._numbers[group_key(tenant, rule, ())] = len(self.rules)
        timespan = correlation.timespan_ms
        opening = packed.opening("Partial", tenant, rule)
        self.rules.append(QuietRule(topics, opening, limit, timespan, timespan // STEPS + 1))

    def find(self, key: bytes) -> int | None:
        """The position of a group's rule."""
        return self._numbers.get(rule_of(key))

    def rule(self, key: bytes) -> QuietRule | None:
        """A group's rule."""
        number = self.find(key)
        return None if number is None else self.rules[number]


class Quiet:
    """The quiet groups of one partition of `matches`."""

    def __init__(
        self, rules: QuietRules, store: KeyValueStore, progress: Progress, asleep: Asleep
    ) -> None:
        self._asleep = asleep
        self._find = rules.find
        self._rules = rules.rules
        self._store = store
        self._progress = progress
        # How many matches: a small number needs no memory of its own, and a new one costs nothing;
        # a tuple with more in it was the most expensive thing here. The rest is in the chunk.
        self._known: dict[bytes, int] = {}
        self._going: dict[int, dict[int, list[bytes]]] = {}
        self._times: dict[int, list[int]] = {}
        self._waiting: dict[tuple[str, ...], list[int]] = {}

    def __contains__(self, key: object) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def take(self, key: bytes, members: tuple[bytes, bytes, bytes]) -> bool:
        """Keep the matches of a Partial for a group that is quiet and stays so; else False.

        `members`: times, uids and values.
        """
        before = self._known.get(key)
        number = None if before is None else self._find(key)
        if before is None or number is None:
            return False
        rule = self._rules[number]
        times, uids, values = members
        (first,) = TIME.unpack_from(times)
        more = len(times) // TIME.size
        count = before + more
        if count >= rule.limit or first < self._progress.reached(rule.topics):
            return False
        if len(uids) + len(values) > LONG * more:
            return False
        entry = key + FIRST
        lengths = LENGTHS.pack(len(times), len(uids), len(values))
        self._store.put(
            entry, b"".join((self._store.get(entry) or VERSION, lengths, times, uids, values))
        )
        self._known[key] = count
        return True

    def take_many(
        self, keys: Sequence[bytes], values: Sequence[bytes], awake: Container[bytes]
    ) -> list[int]:
        """Keep the matches of many Partials; gives the positions of those that are left to do.

        Takes those that hold one match of a group that is quiet or new, which is nearly all of a
        rule with many groups. `awake`: keys of groups that are not quiet. What is left can be done
        afterwards: a key is either taken or left, with all its Partials.
        """
        if not self._rules:
            return list(range(len(keys)))
        found = single_matches(keys, values, self._rules, self._find)
        reached = np.array([self._progress.reached(rule.topics) for rule in self._rules], np.int64)
        small = found.uids[1] + found.values[1] <= LONG
        taken = found.taken & small & (found.times >= reached[found.rules])
        left = np.flatnonzero(~taken).tolist()
        rows = np.flatnonzero(taken)
        numbers, times = found.rules[rows], found.times[rows]
        timespans = np.array([rule.timespan_ms for rule in self._rules], np.int64)[numbers]
        steps = np.array([rule.step for rule in self._rules], np.int64)[numbers]
        ends = _next_step(times + timespans, steps)
        known, store = self._known, self._store
        get, put, several = store.get, store.put, self._asleep.several
        for row, number, end, piece in zip(
            rows.tolist(),
            numbers.tolist(),
            ends.tolist(),
            found.pieces(rows),
            strict=True,
        ):
            key = keys[row]
            entry = key + FIRST
            before = known.get(key)
            if before is None:
                if key in awake or several(key) or get(entry) or get(key + HEAD):
                    left.append(row)
                    continue
                put(entry, VERSION + piece)
                known[key] = 1
                self._look_at(number, end, key)
            elif before + 1 >= self._rules[number].limit:
                left.append(row)
            else:
                put(entry, (get(entry) or VERSION) + piece)
                known[key] = before + 1
        left.sort()
        return left

    def open(self, key: bytes, members: tuple[bytes, bytes, bytes]) -> bool:
        """Keep the matches of a Partial of a group that is new or asleep, if it is quiet.

        Raises ValueError for an entry of an unknown version.
        """
        number = self._find(key)
        if number is None:
            return False
        rule, store = self._rules[number], self._store
        if self._asleep.several(key):
            return False
        chunk = store.get(key + FIRST)
        if store.get(key + HEAD) is not None:
            return False
        count = 0 if chunk is None else span(chunk)[2]
        if count >= rule.limit:
            return False
        self._known[key] = count
        if not self.take(key, members):
            del self._known[key]
            return False
        self._watch(number, key)
        return True

    def wake(self, key: bytes) -> bool:
        """A group that was quiet is to be read from the store, under FIRST; False if it was not."""
        return self._known.pop(key, None) is not None

    def rest(self, keep: int) -> None:
        """Let groups fall asleep, the longest known first, until so many are left."""
        by_rule: dict[int, list[bytes]] = {}
        for key in list(islice(self._known, len(self._known) - keep)):
            del self._known[key]
            number = self._find(key)
            if number is not None:
                by_rule.setdefault(number, []).append(key)
        for number, keys in by_rule.items():
            rule = self._rules[number]
            _, latest = spans([self._store.get(key + FIRST) or VERSION for key in keys])
            self._asleep.add(rule.topics, (latest + rule.timespan_ms).tolist(), keys)
            going = self._going[number]
            for time, looked_at in going.items():
                going[time] = [key for key in looked_at if key in self._known]

    def waiting(self) -> Iterator[tuple[str, ...]]:
        """The sets of raw topics that groups wait for."""
        return iter(self._waiting)

    def advance(self, topics: tuple[str, ...], watermark: int) -> None:
        """Remove the groups that no window can need after this watermark."""
        for number in self._waiting[topics]:
            times, going = self._times[number], self._going[number]
            while times and times[0] <= watermark:
                self._drop(number, going.pop(heappop(times)), watermark)

    def _drop(self, number: int, keys: list[bytes], watermark: int) -> None:
        """Remove those of a rule's groups that are out of every window, and watch the others on."""
        known, store = self._known, self._store
        rule = self._rules[number]
        # A group that ended and came back in between is looked at for both lives.
        quiet = [key for key in dict.fromkeys(keys) if key in known]
        chunks = [store.get(key + FIRST) or VERSION for key in quiet]
        out = spans(chunks)[1] + rule.timespan_ms
        for key, time in zip(quiet, out.tolist(), strict=True):
            if time < watermark:
                del known[key]
                store.delete(key + FIRST)
            else:
                self._look_at(number, _next_step(time, rule.step), key)

    def _watch(self, number: int, key: bytes) -> None:
        """Look at a group when its latest match is out of every window."""
        rule = self._rules[number]
        out = span(self._store.get(key + FIRST) or VERSION)[1] + rule.timespan_ms
        self._look_at(number, _next_step(out, rule.step), key)

    def _look_at(self, number: int, time: int, key: bytes) -> None:
        """Look at a group of a rule when the watermark reaches a time."""
        going = self._going.get(number)
        if going is None:
            going = self._going[number] = {}
            self._times[number] = []
            self._waiting.setdefault(self._rules[number].topics, []).append(number)
        keys = going.get(time)
        if keys is None:
            going[time] = [key]
            heappush(self._times[number], time)
        else:
            keys.append(key)


def _next_step(time: Any, step: Any) -> Any:
    """The first multiple of `step` after a time; for numbers, and for arrays of them."""
    return time // step * step + step

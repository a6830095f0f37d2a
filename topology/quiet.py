"""Groups with fewer matches than their rule needs: nothing can be said of them, only kept.

Most groups of a rule over many users or files are so for all of their life. They have no object:
their matches are one chunk in the store (topology/correlate/chunks.py), here are only how many and
until when, and a group goes as a whole when its last match is out of every window. When one more
match could make the rule's condition true it becomes a Group.
"""

import struct
from collections.abc import Container, Iterator, Sequence
from heapq import heappop, heappush

import numpy as np

from schemas import packed
from topology.asleep import Asleep
from topology.correlate.chunks import KIND, LENGTHS, VERSION, span
from topology.correlate.group import HEAD
from topology.correlate.scan import needed
from topology.keys import group_key
from topology.progress import Progress
from topology.records import KeyValueStore
from topology.rules import Correlation
from topology.single_matches import QuietRule, single_matches

FIRST = KIND + bytes(8)
"""Follows the key of a group in the key of its first chunk."""
MOST = 64
"""Matches from which on a group is no longer quiet, whatever its rule needs."""
STEPS = 32
"""A group goes at most a timespan divided by this later than it could."""
TIME = struct.Struct("<q")


class QuietRules:
    """The rules that have quiet groups: those whose condition more matches cannot make false."""

    def __init__(self) -> None:
        self.rules: list[QuietRule] = []
        self._numbers: dict[bytes, int] = {}

    def add(self, tenant: str, correlation: Correlation, topics: tuple[str, ...]) -> None:
        """A correlation and the raw topics that it waits for."""
        limit = min(needed(correlation), MOST)
        if not correlation.rising or limit < 2:
            return
        rule = correlation.rule.id
        self._numbers[group_key(tenant, rule, ())] = len(self.rules)
        timespan = correlation.timespan_ms
        opening = packed.opening("Partial", tenant, rule)
        self.rules.append(QuietRule(topics, opening, limit, timespan, timespan // STEPS + 1))

    def find(self, key: bytes) -> int | None:
        """The position of a group's rule."""
        end = key.find(b"\0", key.find(b"\0") + 1)
        return self._numbers.get(key if end < 0 else key[:end])


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
        # Position of the rule, where matches begin in a Partial, count, time of the latest in ms:
        # plain tuples of numbers, which the garbage collector does not look at again.
        self._known: dict[bytes, tuple[int, int, int, int]] = {}
        self._going: dict[tuple[str, ...], dict[int, list[bytes]]] = {}
        self._times: dict[tuple[str, ...], list[int]] = {}

    def __contains__(self, key: bytes) -> bool:
        return key in self._known

    def __len__(self) -> int:
        return len(self._known)

    def take(self, key: bytes, value: bytes) -> bool:
        """Keep the matches of a Partial for a group that is quiet and stays so; else False."""
        known = self._known.get(key)
        if known is None:
            return False
        number, at, count, latest = known
        rule = self._rules[number]
        times, uids, values = packed.read_members(value, at, 3)
        (first,) = TIME.unpack_from(times)
        last = first if len(times) == TIME.size else TIME.unpack_from(times, len(times) - 8)[0]
        count += len(times) // TIME.size
        if count >= rule.limit or first < self._progress.reached(rule.topics):
            return False
        entry = key + FIRST
        lengths = LENGTHS.pack(len(times), len(uids), len(values))
        self._store.put(
            entry, b"".join((self._store.get(entry) or VERSION, lengths, times, uids, values))
        )
        self._known[key] = number, at, count, max(last, latest)
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
        taken = found.taken & (found.times >= reached[found.rules])
        left = np.flatnonzero(~taken).tolist()
        rows = np.flatnonzero(taken)
        numbers, times = found.rules[rows], found.times[rows]
        spans = np.array([rule.timespan_ms for rule in self._rules], np.int64)[numbers]
        steps = np.array([rule.step for rule in self._rules], np.int64)[numbers]
        ends = (times + spans) // steps * steps + steps
        known, store = self._known, self._store
        get, put, several = store.get, store.put, self._asleep.several
        for row, number, at, time, end, piece in zip(
            rows.tolist(),
            numbers.tolist(),
            found.places[rows].tolist(),
            times.tolist(),
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
                known[key] = number, at, 1, time
                self._look_at(self._rules[number].topics, end, key)
                continue
            count, latest = before[2] + 1, before[3]
            if count >= self._rules[number].limit:
                left.append(row)
                continue
            put(entry, (get(entry) or VERSION) + piece)
            known[key] = number, at, count, max(time, latest)
        left.sort()
        return left

    def open(self, key: bytes, value: bytes) -> bool:
        """Keep the matches of a Partial of a group that is new or asleep, if it is quiet.

        Raises ValueError for an entry of an unknown version.
        """
        number = self._find(key)
        if number is None:
            return False
        rule, store = self._rules[number], self._store
        if not value.startswith(rule.opening) or self._asleep.several(key):
            return False
        chunk = store.get(key + FIRST)
        if store.get(key + HEAD) is not None:
            return False
        _, latest, count = (0, -(2**63), 0) if chunk is None else span(chunk)
        if count >= rule.limit:
            return False
        self._known[key] = number, packed.group_end(value, len(rule.opening)), count, latest
        if not self.take(key, value):
            del self._known[key]
            return False
        self._watch(rule, key, self._known[key][3])
        return True

    def wake(self, key: bytes) -> bool:
        """A group that was quiet is to be read from the store, under FIRST; False if it was not."""
        return self._known.pop(key, None) is not None

    def waiting(self) -> Iterator[tuple[str, ...]]:
        """The sets of raw topics that groups wait for."""
        return iter(self._times)

    def advance(self, topics: tuple[str, ...], watermark: int) -> None:
        """Remove the groups that no window can need after this watermark."""
        times, going, known = self._times[topics], self._going[topics], self._known
        while times and times[0] <= watermark:
            for key in going.pop(heappop(times)):
                found = known.get(key)
                if found is None:
                    continue
                rule = self._rules[found[0]]
                if found[3] + rule.timespan_ms < watermark:
                    del known[key]
                    self._store.delete(key + FIRST)
                else:
                    self._watch(rule, key, found[3])

    def _watch(self, rule: QuietRule, key: bytes, latest: int) -> None:
        """Look at a group when a match at this time is out of every window."""
        step = rule.step
        self._look_at(rule.topics, (latest + rule.timespan_ms) // step * step + step, key)

    def _look_at(self, topics: tuple[str, ...], time: int, key: bytes) -> None:
        """Look at a group when the watermark reaches a time."""
        going = self._going.get(topics)
        if going is None:
            going = self._going[topics] = {}
            self._times[topics] = []
        keys = going.get(time)
        if keys is None:
            going[time] = [key]
            heappush(self._times[topics], time)
        else:
            keys.append(key)

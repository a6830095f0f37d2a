"""Which alerts the settled matches of a group give: a pure function of their order.

A match is settled when its time is before the watermark; then no earlier one can follow. With
`gte` and `gt` an episode opens at the match where the condition comes true in
`(t - timespan, t]`, takes everything up to `t + suppress`, and is one alert. What an episode took
counts for no other: the next one needs a condition that later matches fulfil alone. The other
operators are judged when a window closes: it opens with a match and takes what is in
`[t, t + timespan)`. So is absence, which has an alert for a match with no answer in that window.
With `first_seen` a match is an alert of its own, and keeps others from being one for a timespan.
"""

import operator
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

from topology.correlate.digests import Digests, digests, unseen
from topology.correlate.first_seen import FirstSeen
from topology.correlate.scan import Value, threshold
from topology.correlate.temporal import seen
from topology.correlate.types import TYPES
from topology.rules import Correlation, Operator
from topology.uid import ordered, shape

Match: TypeAlias = tuple[int, str, Value]
"""Time in ms, uid and value of a match. Their order is that of time, then that of the events in the
raw topics (topology/uid.py)."""

COMPARE: dict[Operator, Callable[[Any, Any], bool]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
    "neq": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Past:
    """Matches of an episode that were counted and not kept: how many, and when the last one was.

    `values`: of all matches of the episode up to then.
    """

    count: int
    last: int
    values: Digests


@dataclass(frozen=True, slots=True)
class Episode:
    """One alert of a group: the match that decided it, and all matches that belong to it.

    `matches` are all, or the first ones and the latest, and `past` tells of those between them
    (topology/correlate/long_episode.py).
    """

    opened: Match
    matches: Sequence[Match]
    until: int
    """No match up to this time belongs to another alert."""
    past: Past | None = None

    @property
    def count(self) -> int:
        """Number of matches."""
        return len(self.matches) + (self.past.count if self.past else 0)

    @property
    def end(self) -> int:
        """Time of the last match."""
        last = self.matches[-1][0]
        return max(last, self.past.last) if self.past else last

    @property
    def values(self) -> int:
        """Number of distinct values."""
        found = {match[2] for match in self.matches}
        if self.past is None:
            return len(found)
        return len(self.past.values) + len(unseen(self.past.values, digests(found)))


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a watermark decides about a group.

    `start`: matches before it were judged. `keep`: later matches are still needed, earlier and
    equal ones must not come again. `due`: nothing more happens before the watermark is greater;
    None if nothing is open. `opened`: what has opened the episode that ends then, for certain.
    """

    episodes: list[Episode]
    start: int
    keep: int
    due: int | None = None
    opened: Match | None = None


def judge(
    matches: Sequence[Match], correlation: Correlation, start: int, watermark: int
) -> Judgement:
    """Judge matches in their order, of which those from `start` on were not judged yet."""
    if correlation.absent:
        return _unanswered(matches, correlation, start, watermark)
    if correlation.first_seen:
        return _first_seen(matches, correlation, start, watermark)
    if correlation.rising:
        return _rising(matches, correlation, start, watermark)
    return _closing(matches, correlation, start, watermark)


def window(matches: Sequence[Match], first: int, last: int) -> Sequence[Match]:
    """The matches with `first <= time <= last`."""
    low = bisect_left(matches, first, key=_time)
    return matches[low : bisect_left(matches, last + 1, lo=low, key=_time)]


def order(match: Match) -> tuple[int, list[tuple[int, str]]]:
    """What matches are ordered by."""
    return match[0], ordered(match[1])


def arranged(matches: Sequence[Match]) -> list[Match]:
    """Matches in their order. Most have a time of their own, and then no uid is looked at."""
    found = sorted(matches, key=_time)
    if len({match[0] for match in found}) == len(found):
        return found
    out: list[Match] = []
    for _, together in groupby(found, key=_time):  # a group may have millions, of few each time
        same = list(together)
        if len(same) > 1:
            alike = len({shape(uid) for _, uid, _ in same}) == 1
            same.sort(key=_uid if alike else order)
        out += same
    return out


def _time(match: Match) -> int:
    return match[0]


def _uid(match: Match) -> str:
    return match[1]


def _rising(
    matches: Sequence[Match], correlation: Correlation, start: int, watermark: int
) -> Judgement:
    kind = TYPES[correlation.type]
    scan = kind.scan(correlation)
    episodes: list[Episode] = []
    taken: int | None = None
    for match in matches[: bisect_left(matches, watermark, key=_time)]:
        time, _, value = match
        if taken is not None and time <= taken:
            continue
        if scan.add(time, value) and time >= start:
            until = time + correlation.suppress_ms
            before = _later(time - correlation.timespan_ms, taken)
            if until >= watermark:
                return Judgement(episodes, start, before, until, match)
            episodes.append(Episode(match, window(matches, before + 1, until), until))
            start, taken = until + 1, until
            scan = kind.scan(correlation)
    return Judgement(episodes, watermark, _later(watermark - correlation.timespan_ms, taken))


def _later(time: int, other: int | None) -> int:
    return time if other is None else max(time, other)


def _closing(
    matches: Sequence[Match], correlation: Correlation, start: int, watermark: int
) -> Judgement:
    measure = TYPES[correlation.type].measure
    bounds = [
        (COMPARE[comparison], threshold(count))
        for comparison, count in ((correlation.operator, correlation.count), *correlation.also)
    ]
    episodes: list[Episode] = []
    while True:
        first = bisect_left(matches, start, key=_time)
        if first == len(matches):
            return Judgement(episodes, start, start - 1)
        opened = matches[first][0]
        last = opened + correlation.timespan_ms - 1
        if last >= watermark:
            return Judgement(episodes, start, start - 1, last)
        members = window(matches, opened, last)
        start = last + 1
        measured = measure(correlation, [value for _, _, value in members])
        if measured is not None and all(holds(measured, limit) for holds, limit in bounds):
            start = max(start, opened + correlation.suppress_ms)
            episodes.append(Episode(members[-1], members, start - 1))


def _unanswered(
    matches: Sequence[Match], correlation: Correlation, start: int, watermark: int
) -> Judgement:
    """Absence: each match asks for an answer in `[t, t + timespan)`, and answers ask for nothing.

    Events of one time are in no order, so an answer of the same time is one.
    """
    answering = frozenset(correlation.absent)
    asking = frozenset(correlation.steps) - answering
    answers = [time for time, _, value in matches if not answering.isdisjoint(seen(value))]
    episodes: list[Episode] = []
    for match in matches[bisect_left(matches, start, key=_time) :]:
        time, _, value = match
        if time < start or asking.isdisjoint(seen(value)):
            continue
        last = time + correlation.timespan_ms - 1
        answer = bisect_left(answers, time)
        if answer < len(answers) and answers[answer] <= last:
            continue
        if last >= watermark:
            # What comes later can still be earlier than this match.
            start = max(start, min(time, watermark))
            return Judgement(episodes, start, start - 1, last)
        start = max(last + 1, time + correlation.suppress_ms)
        episodes.append(Episode(match, window(matches, time, last), start - 1))
    return Judgement(episodes, max(start, watermark), watermark - 1)


def _first_seen(
    matches: Sequence[Match], correlation: Correlation, start: int, watermark: int
) -> Judgement:
    """The last match has to stay: it is what later ones are compared with."""
    scan = FirstSeen(correlation)
    episodes: list[Episode] = []
    last = watermark - correlation.timespan_ms
    for match in matches[: bisect_left(matches, watermark, key=_time)]:
        time, _, value = match
        if scan.add(time, value) and time >= start:
            until = time + correlation.timespan_ms - 1
            episodes.append(Episode(match, [match], until))
        last = max(last, time - 1)
    return Judgement(episodes, watermark, last)

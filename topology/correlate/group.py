"""One group of one correlation: its matches, and what was said about them so far.

Matches are kept in their order while a window can still need them. An alert is said at once
when a match that just came makes the condition true (provisional); the watermark decides what is
final. A restart loses nothing: matches are in chunks, the rest is in a head record.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from topology.correlate.chunks import ChunkLog, chunk_suffix
from topology.correlate.digests import NONE
from topology.correlate.episodes import (
    Episode,
    Judgement,
    Match,
    arranged,
    judge,
    order,
    window,
)
from topology.correlate.first_seen import FirstSeen
from topology.correlate.head import HEAD, LEAST, Head, Said, read
from topology.correlate.long_episode import LongEpisode
from topology.correlate.marks import thinned
from topology.correlate.scan import Scan
from topology.correlate.types import TYPES, fewest
from topology.records import KeyValueStore
from topology.rules import LINKED, SHOWN, Correlation

SMALL = 64
CROWD = 16
"""Matches from which on what is seen again is judged: all but the last one go."""
MANY = 4 * LINKED
"""Matches from which on it is looked whether an episode is a long one."""


Superseded: TypeAlias = tuple[Said, Episode | None]
"""A provisional alert that does not stand, and the final one that stands instead."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What a watermark brought."""

    finals: list[Episode]
    superseded: list[Superseded]
    provisional: list[Episode]


class Group:
    """State of one (tenant, correlation, group)."""

    __slots__ = (
        "_chunks",
        "_correlation",
        "_head_changed",
        "_key",
        "_last",
        "_log",
        "_long",
        "_muted",
        "_needed",
        "_open_due",
        "_prune_at",
        "_said",
        "_scan",
        "_start",
        "_store",
        "_taken",
        "dirty",
        "queued",
    )

    def __init__(self, store: KeyValueStore, key: bytes, correlation: Correlation) -> None:
        self._store = store
        self._key = key
        self._correlation = correlation
        self._needed = fewest(correlation)
        self._chunks = ChunkLog(store, key)
        self._log: list[Match] | None = None
        """Of a long episode the first LINKED matches, and those that are not counted yet."""
        self._long: LongEpisode | None = None
        self._last = LEAST
        self._start = LEAST
        self._taken = LEAST
        """Matches up to this time count for no alert any more."""
        self._muted = LEAST
        """Matches up to this time belong to an episode that the scan has seen."""
        self._said: list[Said] = []
        self._scan: Scan | None = None
        self._open_due: int | None = None
        self._prune_at = SMALL
        self._head_changed = False
        self.dirty = False
        """Whether `flush` has something to write."""
        self.queued: int | None = None
        """For when the queue has this group."""

    def restore(self, suffix: bytes, value: bytes) -> None:
        """Take over one entry of the store. Raises ValueError for an unknown version."""
        if suffix != HEAD:
            number = int.from_bytes(suffix[1:], "big")
            self._last = max(self._last, self._chunks.restore(number, value))
            return
        self._start, self._said, self._taken, due, self._long = read(value)
        if self._correlation.rising:  # else it goes by the first match, which may have come later
            self._open_due = due

    def recall(self, numbers: Iterable[int]) -> bool:
        """Take over what the store has of the group: its head, and chunks of these numbers.

        Returns whether there was anything. Raises ValueError for an unknown version.
        """
        found = False
        for kind in (HEAD, *map(chunk_suffix, numbers)):
            value = self._store.get(self._key + kind)
            if value is not None:
                found = True
                self.restore(kind, value)
        return found

    def numbers(self) -> tuple[int, ...]:
        """The numbers of its chunks, for `recall`; call `flush` first."""
        return self._chunks.numbers()

    def add(self, matches: list[Match], piece: bytes, watermark: int) -> list[Episode]:
        """Take matches in order of time, none before the watermark; new provisional alerts.

        `piece` is what a chunk keeps of them.
        """
        log = self._matches()
        matches = arranged(matches)
        self._chunks.append(piece, len(matches), matches[-1][0])
        self.dirty = True
        self._last = max(self._last, matches[-1][0])
        first = matches[0]
        if self._long is not None and first[0] <= self._long.last:
            self._chunks.loosen()  # a source that was first heard of now is behind the others
        ordered = not log or log[-1][0] < first[0] or order(log[-1]) < order(first)
        if ordered:
            log += matches
        else:
            at = bisect_left(log, first[0], key=_time)
            log[at:] = arranged(log[at:] + matches)
        if not self._correlation.rising:
            self._open_due = log[0][0] + self._correlation.timespan_ms - 1
            return []
        said = self._look(log, matches, ordered=ordered)
        if self._correlation.first_seen:
            return said
        if len(log) >= self._prune_at:
            self._shorten(log, watermark)
        return said

    def _shorten(self, log: list[Match], watermark: int) -> None:
        """Forget what no window and no alert can need any more."""
        if not self._said and self._open_due is None:
            self._forget(watermark - self._correlation.timespan_ms)
        elif len(log) >= MANY:
            self._count(log, watermark)
            self._prune_at = max(MANY, 2 * len(log))
            return
        self._prune_at = max(SMALL, len(log) + len(log) // 4)

    def _count(self, log: list[Match], watermark: int) -> None:
        """Count what a long episode has taken for certain and its alert does not name."""
        long, done = self._long, LINKED
        if long is None:
            judged = judge(log, self._correlation, self._start, watermark)
            if judged.opened is None or judged.due is None or judged.episodes:
                return
            self._forget(judged.keep)
            long, done = LongEpisode(judged.opened, judged.keep, judged.due), 0
        stop = bisect_left(log, min(watermark, long.until + 1), key=_time)
        if stop <= LINKED:
            return
        fresh = NONE
        if TYPES[self._correlation.type].counts_values:
            if done and long.values is None:
                long.values = self._chunks.digests()
            fresh = long.add_values(log[done:stop])
        long.pass_by(log[LINKED:stop])
        del log[LINKED:stop]
        if not done:
            rest = log[SHOWN:LINKED]
            log[SHOWN:LINKED] = [(time, thinned(uid), value) for time, uid, value in rest]
        self._chunks.renew(log[:LINKED], log[LINKED:], fresh, long.until)
        self._long, self._open_due = long, long.until
        self._head_changed = self.dirty = True

    def _look(self, log: list[Match], fresh: list[Match], *, ordered: bool) -> list[Episode]:
        """Provisional alerts for what the fresh matches make true, once for each episode."""
        suppress = self._correlation.suppress_ms
        if len(log) < self._needed:
            self._scan = None
            return []
        if not ordered:
            first, last = fresh[0][0], log[-1][0]
            if self._follows(first):
                if fresh[-1][0] <= self._muted:
                    return []
                behind = bisect_right(log, self._muted, key=_time)
                self._scan, fresh = self._new_scan(), log[behind:]
            else:
                self._scan = None
                if any(last - suppress <= said.time <= first + suppress for said in self._said):
                    self._open_early(first + suppress)
                    return []
        scan = self._scan
        if scan is None:
            scan = self._scan = self._new_scan()
            self._muted = LEAST if self._long is None else self._long.until
            fresh = log
        found: list[Episode] = []
        for match in fresh:
            time, uid, value = match
            if time <= self._muted:
                continue
            if scan.add(time, value) and time >= self._start:
                before = max(time - self._correlation.timespan_ms, self._muted)
                self._muted = time + suppress
                if not self._correlation.first_seen:
                    scan = self._scan = self._new_scan()
                if any(abs(time - said.time) <= suppress for said in self._said):
                    self._open_early(time + suppress)
                    continue
                members = [match]
                if not self._correlation.first_seen:
                    members = list(window(log, before + 1, time + suppress))
                self._said.append(Said(time, uid, members[0][0], members[-1][0], len(members)))
                self._head_changed = True
                found.append(Episode(match, members, time + suppress))
        return found

    def _open_early(self, due: int) -> None:
        """Have it judged once an episode that opens before the one that was said is over.

        Else the end of that one would judge both: too late where rules change between the two.
        """
        if any(due < said.time + self._correlation.suppress_ms for said in self._said):
            self._open_due = due if self._open_due is None else min(due, self._open_due)
            self._head_changed = True

    def _follows(self, time: int) -> bool:
        """Whether a match of this time comes behind the one that opened the scan's last episode,
        and so changes nothing up to that episode's end."""
        if self._scan is None or self._muted == LEAST or self._correlation.first_seen:
            return False
        return time > self._muted - self._correlation.suppress_ms

    def settle(self, watermark: int) -> Settled:
        """Judge what is before the watermark."""
        log = self._matches()
        judged = self._judge(log, watermark)
        self._open_due = judged.due
        opened = None if judged.due is None else judged.due - self._correlation.suppress_ms
        if judged.opened is not None:
            opened = judged.opened[0]  # of a long one by the rule of then
        finals = {episode.opened[1] for episode in judged.episodes}
        fallen: list[Superseded] = []
        kept: list[Said] = []
        for said in self._said:
            if said.uid in finals:
                continue
            if said.time >= watermark or (opened is not None and said.time >= opened):
                kept.append(said)
            else:
                fallen.append((said, _instead(said, judged.episodes)))
        rising = self._correlation.rising
        always = self._correlation.first_seen or not rising
        changed = len(kept) < len(self._said) or bool(judged.episodes) or always
        self._head_changed |= changed
        self.dirty |= changed
        self._said = kept
        self._start = judged.start
        if judged.episodes or self._correlation.first_seen:
            self._taken = judged.keep
        self._scan = None
        self._forget(judged.keep)
        # What the fallen ones covered may be an episode of its own.
        fresh = self._look(log, log, ordered=True) if changed and rising and log else []
        return Settled(judged.episodes, fallen, fresh)

    def _judge(self, log: list[Match], watermark: int) -> Judgement:
        """As `judge`; a long episode was judged so far."""
        long, correlation = self._long, self._correlation
        if long is None:
            return judge(log, correlation, self._start, watermark)
        if long.until >= watermark:
            return Judgement([], self._start, long.keep, long.until, long.opened)
        if long.values is None:
            long.values = self._chunks.digests()
        self._long = None
        behind = bisect_right(log, long.until, key=_time)
        later = judge(log[behind:], correlation, long.until + 1, watermark)
        return replace(
            later,
            episodes=[long.episode(log[:behind]), *later.episodes],
            keep=max(later.keep, long.until),
        )

    def due(self) -> int:
        """Nothing has to be done before the watermark is greater than this."""
        suppress = self._correlation.suppress_ms
        dues = [said.time + suppress for said in self._said]
        if self._open_due is not None:
            dues.append(self._open_due)
        elif not self._correlation.rising and self._matches():
            dues.append(self._matches()[0][0] + self._correlation.timespan_ms - 1)
        elif self._correlation.first_seen and len(self._matches()) >= CROWD:
            crowd = self._matches()[CROWD - 1][0]
            if crowd >= self._start:  # else it was judged, and is of one time with what stays
                dues.append(crowd)
        return min(dues) if dues else max(self._last + self._correlation.timespan_ms, self._start)

    def idle(self, watermark: int) -> bool:
        """Whether nothing is left to remember."""
        return not self._matches() and not self._said and self._start <= watermark

    def flush(self) -> None:
        """Write what changed to the store."""
        self._chunks.flush()
        if self._head_changed:
            head = Head(self._start, self._said, self._taken, self._open_due, self._long)
            self._store.put(self._key + HEAD, head.written())
        self._head_changed = self.dirty = False

    def remove(self) -> None:
        """Remove everything from the store."""
        self._chunks.drop(self._last)
        self._chunks.flush()
        if self._store.get(self._key + HEAD) is not None:
            self._store.delete(self._key + HEAD)

    def _new_scan(self) -> Scan:
        if self._correlation.first_seen:
            return FirstSeen(self._correlation)
        return TYPES[self._correlation.type].scan(self._correlation)

    def _matches(self) -> list[Match]:
        if self._log is None:
            log = self._chunks.load()
            # A chunk stays while it holds a match that is needed.
            self._log = log[bisect_right(log, self._taken, key=_time) :]
        return self._log

    def _forget(self, keep: int) -> None:
        """Drop matches up to this time."""
        log = self._matches()
        gone = bisect_right(log, keep, key=_time)
        if gone:
            del log[:gone]
            self._chunks.drop(keep)
            self._chunks.shrink(log)
            self.dirty = True


def _time(match: Match) -> int:
    return match[0]


def _instead(said: Said, episodes: list[Episode]) -> Episode | None:
    return next((e for e in episodes if e.matches[0][0] <= said.time <= e.until), None)

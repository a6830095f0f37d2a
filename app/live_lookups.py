"""Look-ups while workers run: what is in the cache enriches, the rest is asked in the background.

A batch never waits for an answer longer than `wait`, which is 0 unless configured. Cache, queue,
rate and requests at a time are bounded. Only workers ask (app/lookup_thread.py); in
every other process nothing is known.
"""

import asyncio
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol

from topology.enrich.looked_up import Known

log = logging.getLogger(__name__)

RETRY_S: Final = 30.0
"""A value that got no answer is asked for again after so long, or after negative_ttl if shorter."""
SHORTEST_S: Final = 1.0
"""Answers that may not be kept at all are kept so long, or each batch would ask again."""
TELL_S: Final = 60.0
"""A failure is logged at most so often; all are counted."""

RESULTS: Final = ("hits", "negative", "misses", "dropped")
REQUESTS: Final = ("asked", "timeouts", "failures")


class Answer(NamedTuple):
    """`row` None: it is certain that there is nothing. `ttl`: seconds that it holds, if told."""

    row: Mapping[str, str | Sequence[str]] | None
    source: str = ""
    ttl: float | None = None


class SetupError(ValueError):
    """Nobody can be asked like that: the key of the configuration at fault, and what to do."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class ApartError(Exception):
    """The values have no answer together; each is to be asked for alone."""


class Asker(Protocol):
    """Whoever answers."""

    most: int
    """Values at once, at most."""
    requests: int
    """Requests that these take."""

    def askable(self, value: str) -> bool:
        """Whether there can be an answer; what is not is never sent."""

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        """What there is, by value; those that are left out are unknown.

        Raises TimeoutError, ApartError, or any exception whose text may be logged.
        """

    async def close(self) -> None:
        """End connections; asking opens them again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds and counts; docs/configuration.md has the meaning of each."""

    wait: float = 0.0
    ttl: float = 3600.0
    negative_ttl: float = 300.0
    cache: int = 100_000
    queue: int = 10_000
    rate: int = 100
    concurrency: int = 16


class _Entry(NamedTuple):
    known: Known | None
    fresh: float
    """Until then it is not asked for again."""
    end: float
    """Until then it is used."""


class Resolver:
    """Implements topology.enrich.looked_up.Answers. `lookup` is for any thread, `run` for one."""

    def __init__(
        self,
        name: str,
        asker: Asker,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._asker = asker
        self._limits = limits
        self._clock = clock
        self._changed = threading.Condition()
        self._cache: dict[str, _Entry] = {}
        self._queue: deque[str] = deque()
        self._asked: dict[str, float] = {}
        """When the values that are queued or under way were first wanted."""
        self._alone: set[str] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._next = 0.0
        self._told = -TELL_S

    def lookup(self, values: Sequence[str | None]) -> list[Known | None]:
        """What is known of each; what is not is asked for, and waited for as the limits say."""
        with self._changed:
            if self._loop is None:
                return [None] * len(values)
            found, missing = self._known(values)
            self.counts["misses"] += len(missing)
            wanted = self._want(missing)
            if self._limits.wait and wanted:
                end = max(self._asked[value] for value in wanted) + self._limits.wait
                self._changed.wait_for(
                    lambda: not any(value in self._asked for value in wanted),
                    max(0.0, end - self._clock()),
                )
                found = [
                    known if value is None or known is not None else self._present(value)
                    for value, known in zip(values, found, strict=True)
                ]
        return found

    def size(self) -> tuple[int, int]:
        """Answers in the cache, and values that wait to be asked for."""
        with self._changed:
            return len(self._cache), len(self._queue)

    async def run(self) -> None:
        """Ask until cancelled."""
        with self._changed:
            self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.concurrency):
                    group.create_task(self._work())
        finally:
            with self._changed:
                self._loop = None
                self._queue.clear()
                self._alone.clear()
                self._asked.clear()
                self._changed.notify_all()
            await self._asker.close()

    def _known(self, values: Sequence[str | None]) -> tuple[list[Known | None], list[str]]:
        """What the cache has, and what is to be asked for: those that are not in it, or are old."""
        now = self._clock()
        cache = self._cache
        found: list[Known | None] = []
        missing: list[str] = []
        negative = 0
        for value in values:
            entry = None if value is None else cache.get(value)
            if value is None:
                found.append(None)
            elif entry is None or entry.end <= now:
                found.append(None)
                missing.append(value)
            else:
                found.append(entry.known)
                negative += entry.known is None
                if entry.fresh <= now:
                    self._want([value])
        self.counts["negative"] += negative
        self.counts["hits"] += sum(known is not None for known in found)
        return found, missing

    def _want(self, values: Iterable[str]) -> list[str]:
        """Queue what is not under way yet; returns those that an answer may come for."""
        now = self._clock()
        wanted = []
        queued = False
        for value in values:
            if value not in self._asked:
                if not self._asker.askable(value):
                    self._keep(value, _Entry(None, now + self._limits.ttl, now + self._limits.ttl))
                    continue
                if len(self._queue) >= self._limits.queue:
                    self.counts["dropped"] += 1
                    continue
                self._asked[value] = now
                self._queue.append(value)
                queued = True
            wanted.append(value)
        if queued and self._loop is not None:
            self._loop.call_soon_threadsafe(self._wake.set)
        return wanted

    def _present(self, value: str) -> Known | None:
        entry = self._cache.get(value)
        return None if entry is None or entry.end <= self._clock() else entry.known

    def _keep(self, value: str, entry: _Entry) -> None:
        """Of too many, those that were answered first go."""
        self._cache.pop(value, None)
        while len(self._cache) >= self._limits.cache:
            del self._cache[next(iter(self._cache))]
        self._cache[value] = entry

    async def _work(self) -> None:
        task = asyncio.current_task()
        # Python 3.11's wait_for, which askers use, hides a cancellation that comes with an answer.
        while task is not None and not task.cancelling():
            self._wake.clear()
            with self._changed:
                values = self._next_values()
            if not values:
                await self._wake.wait()
                continue
            await self._pace()
            answers: Mapping[str, Answer] | None = None
            failed = None
            try:
                answers = await self._asker.ask(values)
            except ApartError:
                with self._changed:
                    self.counts["asked"] += 1
                    self._alone.update(values)
                    self._queue.extendleft(reversed(values))
                self._wake.set()
                continue
            except TimeoutError:
                failed = "timeouts"
            except Exception as error:
                failed = "failures"
                self._tell(error)
            with self._changed:
                self.counts["asked"] += 1
                if failed is not None:
                    self.counts[failed] += 1
                for value in values:
                    self._take(value, None if answers is None else answers.get(value))
                self._changed.notify_all()

    def _next_values(self) -> list[str]:
        """What is asked for next, together."""
        values: list[str] = []
        while self._queue and len(values) < self._asker.most:
            alone = self._queue[0] in self._alone
            if alone and values:
                break
            values.append(self._queue.popleft())
            if alone:
                self._alone.discard(values[0])
                break
        return values

    async def _pace(self) -> None:
        """Wait for this request's turn."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._asker.requests / self._limits.rate
        await asyncio.sleep(turn - now)

    def _take(self, value: str, answer: Answer | None) -> None:
        """Keep an answer; without one, what was known before is used as long as it may be."""
        self._asked.pop(value, None)
        now, limits = self._clock(), self._limits
        if answer is None:
            retry = now + min(RETRY_S, limits.negative_ttl)
            before = self._cache.get(value)
            known = before.known if before is not None and before.end > now else None
            end = before.end if before is not None and known is not None else retry
            self._keep(value, _Entry(known, retry, end))
        elif answer.row is None:
            self._keep(value, _Entry(None, *[now + limits.negative_ttl] * 2))
        else:
            told = limits.ttl if answer.ttl is None else max(answer.ttl, SHORTEST_S)
            ttl = min(told, limits.ttl)
            stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            known = Known(answer.row, f"{answer.source}@{stamp}")
            # While an old answer is asked for again it is used: gaps would be worse.
            self._keep(value, _Entry(known, now + ttl, now + 2 * ttl))

    def _tell(self, error: Exception) -> None:
        now = self._clock()
        if now - self._told >= TELL_S:
            self._told = now
            log.warning("A look-up failed. enrichment=%s error=%s", self.name, error)

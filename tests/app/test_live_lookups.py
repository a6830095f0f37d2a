"""The cache, the queue and the bounds of look-ups that are asked in the background."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from app.live_lookups import Answer, Limits, Resolver
from app.lookup_thread import Background


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Numbered:
    """Answers each request with its number, up to `most` values at once."""

    def __init__(self, most: int = 1, ttl: float | None = None) -> None:
        self.most = most
        self.requests = 1
        self.ttl = ttl
        self.got: list[list[str]] = []
        self.fail = False
        self.empty = False
        self.under_way = self.peak = 0
        self.open = threading.Event()
        self.open.set()

    def askable(self, value: str) -> bool:
        return value != "never"

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        self.got.append(list(values))
        self.under_way += 1
        self.peak = max(self.peak, self.under_way)
        try:
            await asyncio.to_thread(self.open.wait, 60)
        finally:
            self.under_way -= 1
        if self.fail:
            raise TimeoutError
        row = None if self.empty else {"number": str(len(self.got))}
        return {value: Answer(row, "here", self.ttl) for value in values}

    async def close(self) -> None:
        self.open.set()


@contextmanager
def running(asker: Numbered, clock: Clock | None = None, **limits: float) -> Iterator[Resolver]:
    given = {"wait": 60.0, "rate": 100_000, **limits}
    resolver = Resolver("it", asker, Limits(**given), clock or Clock())  # type: ignore[arg-type]
    background = Background([resolver])
    background.start()
    try:
        yield resolver
    finally:
        asker.open.set()
        background.stop()


def numbers(resolver: Resolver, *values: str) -> list[object]:
    return [known and known.row["number"] for known in resolver.lookup(values)]


def until(condition: Callable[[], bool]) -> None:
    """Wait for it, a minute at most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "did not come true in 60 s"
        time.sleep(0.002)


def settled(resolver: Resolver) -> None:
    """Wait until nothing is under way."""
    with resolver._changed:
        assert resolver._changed.wait_for(lambda: not resolver._asked, 60)


class Hiding(Numbered):
    """Hides a cancellation, as Python 3.11's asyncio.wait_for does when an answer comes with it."""

    async def ask(self, values: Sequence[str]) -> Mapping[str, Answer]:
        self.got.append(list(values))
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return {}


def test_an_answer_that_comes_with_the_end_delays_it_not() -> None:
    """A worker's look-ups end, whatever became of the cancellation of one."""
    asker = Hiding()
    resolver = Resolver("it", asker, Limits())
    background = Background([resolver])
    background.start()
    resolver.lookup(["a"])
    until(lambda: bool(asker.got))
    ending = threading.Thread(target=background.stop, daemon=True)
    ending.start()
    ending.join(20)
    assert not ending.is_alive()


def test_an_old_answer_is_used_until_the_new_one_comes() -> None:
    """At the end of its time an answer is renewed without a gap, and gone after twice its time."""
    clock, asker = Clock(), Numbered()
    with running(asker, clock, ttl=60.0) as resolver:
        assert numbers(resolver, "a") == ["1"]
        clock.now += 59
        assert numbers(resolver, "a") == ["1"]
        assert len(asker.got) == 1
        clock.now += 2
        assert numbers(resolver, "a") == ["1"]
        settled(resolver)
        assert numbers(resolver, "a") == ["2"]
        asker.fail = True
        clock.now += 61
        assert numbers(resolver, "a") == ["2"]
        settled(resolver)
        clock.now += 58
        assert numbers(resolver, "a") == ["2"]
        settled(resolver)
        clock.now += 2
        assert numbers(resolver, "a") == [None]


def test_an_answer_says_how_long_it_holds_within_bounds() -> None:
    """Not longer than configured, and not so short that each batch asks again."""
    for ttl, still in ((5.0, 4.9), (10_000.0, 59.0), (0.0, 0.9)):
        clock, asker = Clock(), Numbered(ttl=ttl)
        with running(asker, clock, ttl=60.0) as resolver:
            numbers(resolver, "a")
            clock.now += still
            assert numbers(resolver, "a") == ["1"]
            assert len(asker.got) == 1
            clock.now += 1.2
            numbers(resolver, "a")
            settled(resolver)
            assert len(asker.got) == 2


def test_nothing_is_believed_for_its_own_time() -> None:
    """An empty answer is asked for again after negative_ttl, and what failed after 30 s."""
    clock, asker = Clock(), Numbered()
    with running(asker, clock, negative_ttl=100.0) as resolver:
        asker.empty = True
        assert numbers(resolver, "a") == [None]
        clock.now += 99
        assert numbers(resolver, "a") == [None]
        assert len(asker.got) == 1
        asker.empty, asker.fail = False, True
        clock.now += 2
        assert numbers(resolver, "a") == [None]
        asker.fail = False
        clock.now += 29
        assert numbers(resolver, "a") == [None]
        assert len(asker.got) == 2
        clock.now += 2
        assert numbers(resolver, "a") == ["3"]


def test_the_cache_is_bounded() -> None:
    """Of too many values those that were asked for first go."""
    asker = Numbered()
    with running(asker, cache=3) as resolver:
        for value in "abcd":
            numbers(resolver, value)
        assert resolver.size() == (3, 0)
        assert numbers(resolver, "b", "c", "d") == ["2", "3", "4"]


def test_requests_are_shared_and_bounded() -> None:
    """Values go together as far as the other side takes them, and a few requests at a time."""
    asker = Numbered(most=10)
    asker.open.clear()
    with running(asker, wait=0.0, concurrency=3) as resolver:
        values = [f"v{number}" for number in range(100)]
        resolver.lookup([*values, None, "never"])
        resolver.lookup(values)
        until(lambda: asker.under_way == 3)
        asker.open.set()
        settled(resolver)
        assert sorted(value for request in asker.got for value in request) == sorted(values)
        assert max(map(len, asker.got)) == 10
        assert asker.peak == 3
        assert all(known is not None for known in resolver.lookup(values))
        assert resolver.lookup(["never"]) == [None]


def test_requests_keep_their_rate() -> None:
    """Ten requests at twenty a second take at least nine twentieths of a second."""
    asker = Numbered()
    with running(asker, rate=20) as resolver:
        started = time.monotonic()
        resolver.lookup([f"v{number}" for number in range(10)])
        assert time.monotonic() - started >= 0.4

"""When a transaction is due: soon while there is little to do, at the interval under load.

Kafka shows records of a transaction with its commit, so the time between commits is most of an
event's latency, and each commit costs the same however few records it holds. Times are in seconds
of any one clock.
"""

from typing import Final

SOONEST: Final = 0.03
"""Least time between two commits: nobody waits for less, and the brokers have other work."""
SHARE: Final = 2
"""A quiet engine commits no more often than once in so many times the cost of a cycle, so that at
least half of its time is left over. On a slow or busy machine it thereby commits less often."""
BEHIND: Final = 1_000
"""With more records than these left after a poll the interval counts: throughput, not latency."""


class Rhythm:
    """The rhythm of one engine's commits, never slower than `interval`."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._started = float("-inf")
        self._cost = 0.0
        self._spent = 0.0
        self._last = 0.0
        self._behind = False

    @property
    def due(self) -> float:
        """When the open transaction is to be committed; in the past when it may be at once."""
        if self._behind:
            return self._started + self._interval
        return self._started + min(self._interval, max(SOONEST, SHARE * self._cost))

    def polled(self, left: int) -> None:
        """A poll left so many records behind."""
        self._behind = left > BEHIND

    def worked(self, seconds: float) -> None:
        """What was polled was in work for so long."""
        self._last = seconds
        self._spent += seconds

    def committed(self, started: float, ended: float) -> None:
        """A commit is done."""
        self._started = started
        self._cost = self._spent + ended - started
        self._spent = 0.0

    def aborted(self) -> None:
        """What was in work is not going to be committed."""
        self._spent = 0.0

    def gather_until(self) -> float:
        """Until when a poll may wait for more: with the work it leads to, the commit is due then.

        Consumers that read committed records see them no earlier, and few large batches cost less
        than many small ones.
        """
        return self.due - self._last

"""The rate that is usual for a source: over the last hours, and at this hour of other days.

A source that sleeps at night or on Sundays is compared with other nights and the Sunday before, so
that it does not fall below the usual every evening. All means are weighted exponentially.
"""

import math
from typing import Final

HOUR_S: Final = 3600.0
DAY: Final = 24
WEEK: Final = 7 * DAY
FRESH: Final = 0.3
"""The weight of a new day or week in the mean of the ones before."""


class UsualRate:
    """Messages a second. Hours are those of the clock that `add` is given, whatever its zero is."""

    def __init__(self, now: float) -> None:
        self.mean = 0.0
        """Over about the last hour."""
        self._since = now
        self._hour = int(now // HOUR_S)
        self._messages = 0.0
        self._seconds = 0.0
        self._by_hour: dict[int, float] = {}

    def add(self, now: float, passed: float, rate: float, *, usual: bool) -> None:
        """`rate` over the `passed` seconds up to `now`. What is not `usual` leaves `mean` alone,
        and is known as an hour of its day: a change that stays is usual after some days."""
        hour = int(now // HOUR_S)
        if hour != self._hour:
            self._learn()
            self._hour = hour
        self._messages += rate * passed
        self._seconds += passed
        if usual:
            age = now - self._since
            share = max(-math.expm1(-passed / HOUR_S), passed / max(age, passed))
            self.mean += (rate - self.mean) * share

    def at(self, now: float) -> float:
        """What is to be expected now at least: the least of this hour, and the ones beside it, of
        other days and of the week before; the mean where none of them is known."""
        hour = int(now // HOUR_S)
        near = range(hour - 1, hour + 2)
        age = (now - self._since) / HOUR_S
        # Not before each of the three has been on another day: today is what is judged.
        slots = [each % DAY for each in near] if age > DAY + 2 else []
        if age > WEEK + 2:
            slots += [DAY + each % WEEK for each in near]
        return min(
            (self._by_hour[each] for each in slots if each in self._by_hour), default=self.mean
        )

    def _learn(self) -> None:
        if self._seconds >= HOUR_S / 2:
            rate = self._messages / self._seconds
            for slot in (self._hour % DAY, DAY + self._hour % WEEK):
                before = self._by_hour.get(slot, rate)
                self._by_hour[slot] = before + (rate - before) * FRESH
        self._messages = self._seconds = 0.0

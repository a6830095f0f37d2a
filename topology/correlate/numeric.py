"""value_sum, value_avg, value_percentile and value_median: of a numeric field's values.

All numbers are exact, so that what left a window leaves no rounding behind and an alert does not
depend on where a scan began.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Sequence
from fractions import Fraction
from typing import Protocol, TypeAlias

from topology.correlate.scan import Value, threshold
from topology.rules import Correlation, is_number

Number: TypeAlias = int | Fraction
MEDIAN = 50


def number(value: Value) -> Number | None:
    """The number that a match has; None for what another type counted."""
    if not isinstance(value, str) or not is_number(value):
        return None
    try:
        return int(value)
    except ValueError:
        return Fraction(value)


def numbers(values: Sequence[Value]) -> list[Number]:
    """The numbers of some matches."""
    return [found for found in map(number, values) if found is not None]


class Statistic(Protocol):
    """What a window's numbers come to, while they enter and leave."""

    def enter(self, value: Number) -> None:
        """A number comes into the window."""

    def leave(self, value: Number) -> None:
        """A number goes out of the window."""

    def result(self) -> Number:
        """What they come to; there is at least one."""


class Sum:
    """Their sum."""

    def __init__(self, correlation: Correlation) -> None:  # noqa: ARG002  # as all statistics are made
        self._sum: Number = 0

    def enter(self, value: Number) -> None:
        """Add it."""
        self._sum += value

    def leave(self, value: Number) -> None:
        """Take it off."""
        self._sum -= value

    def result(self) -> Number:
        """The sum."""
        return self._sum


class Average:
    """Their arithmetic mean."""

    def __init__(self, correlation: Correlation) -> None:  # noqa: ARG002  # as all statistics are made
        self._sum: Number = 0
        self._count = 0

    def enter(self, value: Number) -> None:
        """Add it."""
        self._sum += value
        self._count += 1

    def leave(self, value: Number) -> None:
        """Take it off."""
        self._sum -= value
        self._count -= 1

    def result(self) -> Number:
        """The mean."""
        return Fraction(self._sum) / self._count


class Percentile:
    """The number below which a share of them is, interpolated between the two nearest."""

    def __init__(self, correlation: Correlation) -> None:
        self._percent = MEDIAN if correlation.percentile is None else correlation.percentile
        self._sorted: list[Number] = []

    def enter(self, value: Number) -> None:
        """Put it where it belongs."""
        insort(self._sorted, value)

    def leave(self, value: Number) -> None:
        """Take one of its kind out."""
        del self._sorted[bisect_left(self._sorted, value)]

    def result(self) -> Number:
        """The percentile."""
        found = self._sorted
        low, rest = divmod(self._percent * (len(found) - 1), 100)
        if not rest:
            return found[low]
        return found[low] + (found[low + 1] - found[low]) * Fraction(rest, 100)


class Numeric:
    """A scan over a statistic; a match enters it and leaves it once."""

    def __init__(self, correlation: Correlation, statistic: Statistic) -> None:
        self._timespan = correlation.timespan_ms
        self._threshold = threshold(correlation.count)
        self._reached = correlation.operator == "gte"
        self._statistic = statistic
        self._window: deque[tuple[int, Number]] = deque()

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether the window's numbers come to enough."""
        window, statistic = self._window, self._statistic
        found = number(value)
        if found is not None:
            window.append((time, found))
            statistic.enter(found)
        oldest = time - self._timespan
        while window and window[0][0] <= oldest:
            statistic.leave(window.popleft()[1])
        if not window:
            return False
        result = statistic.result()
        return result > self._threshold or (self._reached and result == self._threshold)


def whole(statistic: Statistic, values: Sequence[Value]) -> Number | None:
    """What some matches come to; None if none of them has a number."""
    found = numbers(values)
    for value in found:
        statistic.enter(value)
    return statistic.result() if found else None

"""value_count: how many distinct values the matches in `(t - timespan, t]` have."""

from collections import deque

from topology.correlate.scan import Value, needed
from topology.rules import Correlation


class ValueCount:
    """Counts the matches of each value in the window; a match enters and leaves once."""

    def __init__(self, correlation: Correlation) -> None:
        self._timespan = correlation.timespan_ms
        self._needed = needed(correlation)
        self._window: deque[tuple[int, Value]] = deque()
        self._counts: dict[Value, int] = {}

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether enough values are in its window."""
        window, counts = self._window, self._counts
        window.append((time, value))
        counts[value] = counts.get(value, 0) + 1
        oldest = time - self._timespan
        while window[0][0] <= oldest:
            _, gone = window.popleft()
            if counts[gone] == 1:
                del counts[gone]
            else:
                counts[gone] -= 1
        return len(counts) >= self._needed

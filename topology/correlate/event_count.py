"""event_count: how many matches there are in `(t - timespan, t]`."""

from collections import deque

from topology.correlate.scan import Value, needed
from topology.rules import Correlation


class EventCount:
    """Keeps the times of as many matches as are needed; a match costs the same in any window."""

    def __init__(self, correlation: Correlation) -> None:
        self._timespan = correlation.timespan_ms
        self._needed = needed(correlation)
        self._recent: deque[int] = deque(maxlen=self._needed)

    def add(self, time: int, value: Value) -> bool:  # noqa: ARG002  # a match counts as itself
        """Take the next match; whether enough are in its window."""
        recent = self._recent
        recent.append(time)
        return len(recent) == self._needed and time - recent[0] < self._timespan

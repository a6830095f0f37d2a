"""first seen: no match of the group in `(t - timespan, t)`, whatever was said of those before."""

from topology.correlate.scan import Value
from topology.rules import Correlation


class FirstSeen:
    """Keeps the time of the last match."""

    def __init__(self, correlation: Correlation) -> None:
        self._timespan = correlation.timespan_ms
        self._since = correlation.since
        self._last: int | None = None

    def add(self, time: int, value: Value) -> bool:  # noqa: ARG002  # a match counts as itself
        """Take the next match; whether it is the first for a timespan, and is to be told."""
        last, self._last = self._last, time
        new = last is None or time - last >= self._timespan
        return new and (self._since is None or time >= self._since)

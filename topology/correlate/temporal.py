"""temporal and temporal_ordered: how many of the listed rules matched in `(t - timespan, t]`.

The value of a match is the ids of the rules that its event matched, one a line.
"""

from collections.abc import Sequence

from topology.correlate.scan import Value, needed
from topology.rules import STEPS, Correlation

NEVER = -(2**63)


def seen(value: Value) -> list[str]:
    """The ids of the rules that a match is of; none for what another type counted."""
    return value.split(STEPS) if isinstance(value, str) else []


class Temporal:
    """Keeps the last time of each rule; a match costs the same in any window."""

    def __init__(self, correlation: Correlation) -> None:
        self._timespan = correlation.timespan_ms
        self._needed = needed(correlation)
        self._last = dict.fromkeys(correlation.steps, NEVER)

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether enough rules are in its window."""
        last = self._last
        for rule in seen(value):
            if rule in last:
                last[rule] = time
        oldest = time - self._timespan
        return sum(latest > oldest for latest in last.values()) >= self._needed


class TemporalOrdered:
    """Keeps for each step when the latest sequence up to it began; windows cost nothing."""

    def __init__(self, correlation: Correlation) -> None:
        self._timespan = correlation.timespan_ms
        self._steps = correlation.steps[: needed(correlation)]
        self._enough = needed(correlation) <= len(correlation.steps)
        self._began = [NEVER] * len(self._steps)

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether the first steps are in its window, one after another."""
        began, rules = self._began, seen(value)
        for step in range(len(began) - 1, -1, -1):  # from the end: a match is one step at most
            if self._steps[step] in rules:
                began[step] = began[step - 1] if step else time
        return self._enough and began[-1] > time - self._timespan


def rules_seen(correlation: Correlation, values: Sequence[Value]) -> int:
    """How many of the listed rules some matches are of."""
    return len({rule for value in values for rule in seen(value)} & set(correlation.steps))


def steps_seen(correlation: Correlation, values: Sequence[Value]) -> int:
    """How many of the first steps were taken in their order, each by a match of its own."""
    step = 0
    for value in values:
        if step < len(correlation.steps) and correlation.steps[step] in seen(value):
            step += 1
    return step

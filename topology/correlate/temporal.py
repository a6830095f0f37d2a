"""temporal and temporal_ordered: how many of the listed rules matched in `(t - timespan, t]`, or
which of them, where the condition is an extended one.

The value of a match is the ids of the rules that its event matched, one a line.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from topology.correlate.scan import Scan, Value, needed
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


class OneOf:
    """The alternatives of an extended condition, each with a scan of its own."""

    def __init__(self, correlation: Correlation, scan: Callable[[Correlation], Scan]) -> None:
        self._scans = [
            scan(replace(correlation, steps=each.steps, count=len(each.steps), alternatives=()))
            for each in correlation.alternatives
        ]

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether the rules of one alternative are in its window."""
        found = [scan.add(time, value) for scan in self._scans]
        return True in found


def any_order(correlation: Correlation) -> Scan:
    """The scan of `temporal`."""
    return OneOf(correlation, Temporal) if correlation.alternatives else Temporal(correlation)


def in_order(correlation: Correlation) -> Scan:
    """The scan of `temporal_ordered`."""
    if correlation.alternatives:
        return OneOf(correlation, TemporalOrdered)
    return TemporalOrdered(correlation)


def rules_seen(correlation: Correlation, values: Sequence[Value]) -> int:
    """How many of the listed rules some matches are of; of alternatives, how many hold."""
    rules = {rule for value in values for rule in seen(value)}
    if correlation.alternatives:
        return sum(
            rules.issuperset(each.steps) and rules.isdisjoint(each.without)
            for each in correlation.alternatives
        )
    return len(rules & set(correlation.steps))


def steps_seen(correlation: Correlation, values: Sequence[Value]) -> int:
    """How many of the first steps were taken in their order, each by a match of its own; of
    alternatives, how many hold."""
    if correlation.alternatives:
        rules = {rule for value in values for rule in seen(value)}
        return sum(
            rules.isdisjoint(each.without) and _taken(each.steps, values) == len(each.steps)
            for each in correlation.alternatives
        )
    return _taken(correlation.steps, values)


def _taken(steps: Sequence[str], values: Sequence[Value]) -> int:
    step = 0
    for value in values:
        if step < len(steps) and steps[step] in seen(value):
            step += 1
    return step

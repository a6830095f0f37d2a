"""The slow and obvious meaning of a correlation: look at all matches, again for each question."""

import statistics
from fractions import Fraction
from itertools import product

from topology.correlate.episodes import COMPARE

NUMERIC = {
    "value_sum": lambda numbers, _: sum(numbers),
    "value_avg": lambda numbers, _: sum(numbers) / len(numbers),
    "value_median": lambda numbers, _: statistics.median(numbers),
    "value_percentile": lambda numbers, rule: _percentile(numbers, rule.percentile),
}


def _percentile(numbers, percent):
    """On the line through the sorted numbers, of which the first is at 0 and the last at 100."""
    points = [
        (Fraction(100 * at, max(1, len(numbers) - 1)), n) for at, n in enumerate(sorted(numbers))
    ]
    low = max(point for point in points if point[0] <= percent)
    high = min((point for point in points if point[0] > percent), default=low)
    if high == low:
        return low[1]
    return low[1] + (high[1] - low[1]) * (percent - low[0]) / (high[0] - low[0])


def finals(matches, correlation):
    """Alerts of one group once everything is settled: (time, uid, first, last, uids, values)."""
    matches = sorted(matches, key=stands)
    if correlation.absent:
        return list(_unanswered(matches, correlation))
    if correlation.first_seen:
        return list(_first_seen(matches, correlation))
    rising = correlation.operator in ("gte", "gt") and not correlation.also
    if "not" in correlation.expression.split():
        rising = False
    return list((_rising if rising else _closing)(matches, correlation))


def stands(match):
    """By time, and then as the events stand in their topic: numbers in a uid are numbers."""
    time, uid, _ = match
    return time, [int(part) if part.isdecimal() else part for part in uid.split("-")]


def _measure(members, correlation):
    if correlation.type == "value_count":
        return len({value for _, _, value in members})
    if correlation.type in NUMERIC:
        return NUMERIC[correlation.type]([Fraction(match[2]) for match in members], correlation)
    if correlation.type == "temporal":
        return sum(any(_is(match, rule) for match in members) for rule in set(correlation.steps))
    if correlation.type == "temporal_ordered":
        return _in_order(members, correlation.steps)
    return len(members)


def _is(match, rule):
    return rule in match[2].splitlines()


def _in_order(members, steps):
    """The most first steps for which there are matches one after another, of all ways to choose."""
    if not members or not steps:
        return 0
    without = _in_order(members[1:], steps)
    if not _is(members[0], steps[0]):
        return without
    return max(without, 1 + _in_order(members[1:], steps[1:]))


def _holds(members, correlation):
    if correlation.expression:
        return _is_true(members, correlation)
    measured = _measure(members, correlation)
    bounds = [(correlation.operator, correlation.count), *correlation.also]
    return all(COMPARE[name](measured, Fraction(str(count))) for name, count in bounds)


def _is_true(members, correlation):
    """An extended condition, by what the rules of each possible answer are."""
    rules = set(correlation.steps)
    if correlation.type == "temporal":
        seen = {rule: any(_is(match, rule) for match in members) for rule in rules}
        return eval(correlation.expression, {}, seen)
    for chosen in product([False, True], repeat=len(correlation.steps)):
        answer = dict(zip(correlation.steps, chosen, strict=True))
        steps = tuple(rule for rule, takes in answer.items() if takes)
        if eval(correlation.expression, {}, answer) and _in_order(members, steps) == len(steps):
            return True
    return False


def _rising(matches, correlation):
    muted = -1
    for position, (time, uid, _) in enumerate(matches):
        if time <= muted:
            continue
        begin = max(muted, time - correlation.timespan_ms)
        seen = [match for match in matches[: position + 1] if match[0] > begin]
        if _holds(seen, correlation):
            muted = time + correlation.suppress_ms
            yield _alert(time, uid, [match for match in matches if begin < match[0] <= muted])


def _closing(matches, correlation):
    muted = None
    for time, _, _ in matches:
        if muted is not None and time < muted:
            continue
        members = [match for match in matches if time <= match[0] < time + correlation.timespan_ms]
        muted = time + correlation.timespan_ms
        if _holds(members, correlation):
            muted = max(muted, time + correlation.suppress_ms)
            yield _alert(*members[-1][:2], members)


def _unanswered(matches, correlation):
    muted = None
    for time, uid, value in matches:
        if muted is not None and time < muted:
            continue
        members = [match for match in matches if time <= match[0] < time + correlation.timespan_ms]
        asks = set(value.splitlines()) & (set(correlation.steps) - set(correlation.absent))
        if asks and not any(_is(match, rule) for match in members for rule in correlation.absent):
            muted = time + max(correlation.timespan_ms, correlation.suppress_ms)
            yield _alert(time, uid, members)


def _first_seen(matches, correlation):
    for position, (time, uid, _) in enumerate(matches):
        before = [other for other, *_ in matches[:position]]
        known = any(time - other < correlation.timespan_ms for other in before)
        if not known and time >= (correlation.since or 0):
            yield _alert(time, uid, [matches[position]])


def _alert(time, uid, members):
    uids = tuple(match[1] for match in members)
    values = len({value for _, _, value in members})
    return time, uid, members[0][0], members[-1][0], uids, values

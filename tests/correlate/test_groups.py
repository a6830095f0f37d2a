"""A group says what the reference says, whatever way its matches arrive and are restarted."""

from dataclasses import replace
from itertools import groupby
from unittest import mock

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.correlations import SigmaExtendedCorrelationCondition

from tests.correlate import reference
from topology.correlate import chunks
from topology.correlate import group as group_module
from topology.correlate.episodes import judge
from topology.correlate.event_count import EventCount
from topology.correlate.group import CROWD, MANY, Group
from topology.correlate.partial_columns import first_and_last
from topology.correlate.types import TYPES
from topology.keys import SUFFIX
from topology.match.formulas import alternatives
from topology.rules import CORRELATION_TYPES, LINKED, NUMERIC_TYPES, Correlation, Rule
from topology.testing import MemoryStore

KEY = b"acme\0rule\0alice"
TEMPORAL = ("temporal", "temporal_ordered")
LATENESS = 10

CORRELATION = st.builds(
    lambda kind, operator, count, timespan, suppress, steps, also: Correlation(
        rule=Rule("rule", "Rule", "high"),
        type=kind,
        members=(0,),
        group_by=("user",),
        group_columns=((("user",),),),
        value_columns=((("path",),) if kind == "value_count" else (),),
        timespan_ms=timespan,
        suppress_ms=suppress,
        operator=operator,
        count=count,
        steps=tuple(dict.fromkeys(steps) if kind == "temporal" else steps)
        if kind in TEMPORAL
        else (),
        also=also,
    ),
    st.sampled_from(["event_count", "value_count", *TEMPORAL]),
    st.sampled_from(["gte", "gte", "gt", "lt", "lte", "eq", "neq"]),
    st.integers(1, 4),
    st.integers(1, 20),
    st.integers(1, 30),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=4),
    st.sampled_from([(), (), (("lte", 3),), (("neq", 2), ("lt", 5))]),
)
ABSENT = st.builds(
    lambda rule, steps, absent: replace(
        rule,
        type="event_count",
        operator="gte",
        count=1,
        also=(),
        steps=(*steps, *absent),
        absent=absent,
    ),
    CORRELATION,
    st.sampled_from([("a",), ("a", "c")]),
    st.sampled_from([("b",), ("b", "d")]),
)
FIRST_SEEN = st.builds(
    lambda rule, since: replace(
        rule,
        type="event_count",
        operator="gte",
        count=1,
        suppress_ms=0,
        also=(),
        steps=(),
        first_seen=True,
        since=since,
    ),
    CORRELATION,
    st.sampled_from([None, 0, 10, 40]),
)


def extended(rule, kind, expression):
    """The rule with an extended condition over a, b and c."""
    tree = SigmaExtendedCorrelationCondition(expression).parsed
    return replace(
        rule,
        type=kind,
        operator="gte",
        count=1,
        also=(),
        steps=tuple("abc"),
        alternatives=alternatives(tree, "abc", "abc"),
        expression=expression,
    )


MONOTONE = ["a or b", "c and (a or b)", "a and b and c", "a or b and c", "(a or b) and (b or c)"]
EXTENDED = st.one_of(
    st.builds(
        extended,
        CORRELATION,
        st.just("temporal"),
        st.sampled_from(
            [*MONOTONE, "a and not b", "c and not (a or b)", "not a or b", "not (a and b) and c"]
        ),
    ),
    st.builds(extended, CORRELATION, st.just("temporal_ordered"), st.sampled_from(MONOTONE)),
)
BURST = Correlation(
    rule=Rule("rule", "Rule", "high"),
    type="event_count",
    members=(0,),
    group_by=("user",),
    group_columns=((("user",),),),
    value_columns=(),
    timespan_ms=5_000,
    suppress_ms=5_000,
    operator="gte",
    count=100,
)
VALUES = st.sampled_from(["a", "b", "c", "a\nb", "b\nc"])
NUMBERS = st.sampled_from(["0", "1", "-2", "0.1", "2.5e0", "+3"])
NUMERIC = st.builds(
    lambda rule, kind, percent, count: replace(
        rule,
        type=kind,
        value_columns=((("path",),),),
        steps=(),
        count=count,
        percentile=percent if kind == "value_percentile" else None,
    ),
    CORRELATION,
    st.sampled_from(NUMERIC_TYPES),
    st.integers(0, 100),
    st.sampled_from([-1, 0, 0.1, 0.2, 1, 1.05, 2.5, 4]),
)
TIMES = st.lists(st.tuples(st.integers(0, 80), VALUES), max_size=25)


@st.composite
def arrivals(draw, values=VALUES, most=25, lateness=LATENESS):
    """Matches cut into partials that arrive within lateness, with watermarks between them."""
    times = draw(st.lists(st.tuples(st.integers(0, 80), values), max_size=most))
    matches = [(time, f"u-{n}", value) for n, (time, value) in enumerate(times)]
    delays = draw(st.lists(st.integers(0, lateness), min_size=len(matches), max_size=len(matches)))
    order = sorted(zip(matches, delays, strict=True), key=lambda pair: pair[0][0] + pair[1])
    cuts = draw(st.lists(st.booleans(), min_size=len(order), max_size=len(order)))
    steps, part = [], []
    for (match, delay), cut in zip(order, cuts, strict=True):
        part.append(match)
        if cut:
            steps.append((sorted(part), match[0] + delay - lateness))
            part = []
    return matches, [*steps, (sorted(part), 200)]


def counts_values(correlation):
    """Whether matches carry a value for it."""
    return correlation.type != "event_count" or bool(correlation.absent)


def play(correlation, steps, restarts=(), summary=None):
    """The final alerts, the provisional ones that nothing came of, and those that fell."""
    store = MemoryStore()
    group, watermark = Group(store, KEY, correlation), -1
    valued = counts_values(correlation)
    open_alerts, finals, fallen = set(), [], []
    for number, (part, moved) in enumerate(steps):
        if number in restarts:
            group.flush()
            store.commit()
            group = restored(store, correlation)
        if part:
            matches = part if valued else [(time, uid, None) for time, uid, _ in part]
            for episode in group.add(matches, chunks.pack(matches), watermark):
                assert episode.opened[1] not in open_alerts
                open_alerts.add(episode.opened[1])
        watermark = max(watermark, moved)
        while group.due() < watermark:
            settled = group.settle(watermark)
            for episode in settled.finals:
                open_alerts.discard(episode.opened[1])
                finals.append((summary or whole)(episode))
            for said, _ in settled.superseded:
                open_alerts.remove(said.uid)
                fallen.append(said.uid)
            open_alerts.update(episode.opened[1] for episode in settled.provisional)
            if group.idle(watermark):
                group.remove()
                store.commit()
                assert store.committed == {}
                group = Group(store, KEY, correlation)
                break
    return finals, open_alerts, fallen


def restored(store, correlation):
    group = Group(store, KEY, correlation)
    for entry, value in store.items():
        assert entry.startswith(KEY)
        group.restore(entry[-SUFFIX:], value)
    return group


def whole(episode):
    uids = tuple(match[1] for match in episode.matches)
    times = [match[0] for match in episode.matches]
    return (*episode.opened[:2], times[0], times[-1], uids, episode.values)


def told(episode, linked):
    """What an alert that links so many matches says."""
    uids = tuple(match[1] for match in episode.matches[:linked])
    start, values = episode.matches[0][0], episode.values
    return (*episode.opened[:2], start, episode.end, episode.count, uids, values)


def distinct(correlation):
    """Whether an alert says how many values there were."""
    return TYPES[correlation.type].counts_values


def expected(matches, correlation):
    valued = counts_values(correlation)
    return reference.finals(
        matches if valued else [(time, uid, None) for time, uid, _ in matches], correlation
    )


@settings(max_examples=600)
@given(arrivals(), CORRELATION, st.sets(st.integers(0, 20), max_size=4))
def test_finals_equal_reference(arrived, correlation, restarts):
    """Any cuts, order within lateness and restarts give the reference's alerts, each once."""
    matches, steps = arrived
    finals, left, fallen = play(correlation, steps, restarts)
    assert expected(matches, correlation) == finals
    assert left == set()
    assert {uid for _, uid, *_ in finals}.isdisjoint(fallen)


def long(correlations):
    """Of those whose episodes open at once, with what takes many matches."""
    rising = correlations.filter(lambda correlation: correlation.rising)
    return st.builds(
        lambda rule, suppress: replace(rule, suppress_ms=suppress), rising, st.integers(20, 100)
    )


def hurried(steps):
    """Watermarks go as far as what comes later lets them, as where other groups move them."""
    later = [
        min((m[0] for part, _ in steps[n + 1 :] for m in part), default=200)
        for n in range(len(steps))
    ]
    return [(part, max(moved, least)) for (part, moved), least in zip(steps, later, strict=True)]


@settings(max_examples=600)
@given(
    st.one_of(
        st.tuples(arrivals(VALUES, 60, 3), long(CORRELATION)),
        st.tuples(arrivals(NUMBERS, 60, 3), long(NUMERIC)),
    ),
    st.booleans(),
    st.sets(st.integers(0, 60), max_size=8),
    st.integers(1, 4),
    st.sampled_from([1, 3, 256]),
)
def test_long_episodes_equal_reference(drawn, hurry, restarts, linked, full):
    """So they do where no more is kept of an episode than its alert tells: the first matches, and
    of the others how many they are, when the last was, and how many values there were."""
    (matches, steps), correlation = drawn
    steps = hurried(steps) if hurry else steps
    with (
        mock.patch.object(group_module, "LINKED", linked),
        mock.patch.object(group_module, "MANY", linked + 1),
        mock.patch.object(group_module, "SMALL", 1),
        mock.patch.object(chunks, "FULL", full),
    ):
        finals, left, fallen = play(correlation, steps, restarts, lambda one: told(one, linked))
    expect = [
        (*opened, start, end, len(uids), uids[:linked], values)
        for *opened, start, end, uids, values in expected(matches, correlation)
    ]
    shown = slice(None if distinct(correlation) else -1)  # only then an alert names them
    assert [final[shown] for final in finals] == [final[shown] for final in expect]
    assert left == set()
    assert {uid for _, uid, *_ in finals}.isdisjoint(fallen)


@settings(max_examples=400)
@given(arrivals(NUMBERS), NUMERIC, st.sets(st.integers(0, 20), max_size=4))
def test_numeric_finals_equal_reference(arrived, correlation, restarts):
    """So do sums, averages and percentiles, which a later match can make smaller again."""
    matches, steps = arrived
    finals, left, fallen = play(correlation, steps, restarts)
    assert expected(matches, correlation) == finals
    assert left == set()
    assert {uid for _, uid, *_ in finals}.isdisjoint(fallen)


@settings(max_examples=400)
@given(arrivals(), ABSENT, st.sets(st.integers(0, 20), max_size=4))
def test_absence_equals_reference(arrived, correlation, restarts):
    """So does absence: an answer may come before the match that it answers, within lateness."""
    matches, steps = arrived
    finals, left, fallen = play(correlation, steps, restarts)
    assert expected(matches, correlation) == finals
    assert left == set()
    assert fallen == []


@settings(max_examples=300)
@given(arrivals(), EXTENDED, st.sets(st.integers(0, 20), max_size=4))
def test_extended_conditions_equal_reference(arrived, correlation, restarts):
    """So do extended conditions; one with `not` is judged when a window closes."""
    matches, steps = arrived
    finals, left, fallen = play(correlation, steps, restarts)
    assert expected(matches, correlation) == finals
    assert left == set()
    assert {uid for _, uid, *_ in finals}.isdisjoint(fallen)


def test_what_must_not_match_in_a_sequence():
    """Wherever it stands in the window; what has to match does so in the order of the list."""
    rule = extended(replace(BURST, value_columns=()), "temporal_ordered", "a and c and not b")
    for values, told in (
        ("ac", True),
        ("ca", False),
        ("abc", False),
        ("acb", False),
        ("aca", True),
    ):
        matches = [(n, f"u-{n}", value) for n, value in enumerate(values)]
        assert bool(judge(matches, rule, -1, 10**6).episodes) is told, values


@settings(max_examples=400)
@given(
    arrivals(), FIRST_SEEN, st.sets(st.integers(0, 20), max_size=4), st.sampled_from([1, 2, 5, 64])
)
def test_first_seen_equals_reference(arrived, correlation, restarts, crowded):
    """So does what is seen for the first time, however few matches a group keeps."""
    matches, steps = arrived
    with (
        mock.patch.object(group_module, "CROWD", crowded),
        mock.patch.object(chunks, "LITTLE", crowded),
    ):
        finals, left, fallen = play(correlation, steps, restarts)
    assert expected(matches, correlation) == finals
    assert left == set()
    assert {uid for _, uid, *_ in finals}.isdisjoint(fallen)


@settings(max_examples=300)
@given(arrivals(), FIRST_SEEN)
def test_first_seen_needs_the_edges_of_a_batch(arrived, correlation):
    """What is left out of a batch's matches changes no final alert."""
    matches, steps = arrived
    thinned = []
    for part, watermark in steps:
        found = pl.DataFrame(
            [(time, uid, "alice") for time, uid, _ in part],
            schema={"time": pl.Int64, "uid": pl.String, "g0": pl.String},
            orient="row",
        )
        kept = first_and_last(found, correlation.timespan_ms)
        thinned.append(([(time, uid, None) for time, uid, _ in kept.rows()], watermark))
    finals, left, _ = play(correlation, thinned)
    assert expected(matches, correlation) == finals
    assert left == set()


@settings(max_examples=400)
@given(arrivals(), st.one_of(CORRELATION, FIRST_SEEN))
def test_what_is_not_looked_at_again_says_nothing_new(arrived, correlation):
    """A match that comes late, within an episode, is passed over: looked at from the first match
    on, all would say the same at the same match."""

    def said():
        group, found = Group(MemoryStore(), KEY, correlation), []
        for part, _ in arrived[1]:
            if part:
                matches = part if counts_values(correlation) else [(*m[:2], None) for m in part]
                found.append([e.opened for e in group.add(matches, chunks.pack(matches), -1)])
        return found

    fast = said()
    with mock.patch.object(Group, "_follows", return_value=False):
        assert said() == fast


def test_late_matches_of_a_long_episode_cost_what_they_are():
    """Two partitions of a source bring a mass delete in turns, one a little behind: no batch of
    matches makes the group look at all that it has."""
    group, looks = Group(MemoryStore(), KEY, BURST), 0
    count = EventCount.add

    def counted(self, time, value):
        nonlocal looks
        looks += 1
        return count(self, time, value)

    with mock.patch.object(EventCount, "add", counted):
        for step in range(1_000):
            for partition in (0, 1):
                time = 10 * step + 5 * (1 - partition)
                matches = [(time + n, f"{partition}{step:05}{n}", None) for n in range(5)]
                group.add(matches, chunks.pack(matches), -1)
    assert looks < 20_000


def test_what_is_seen_every_day_keeps_little():
    """A user who comes to a host all day is known by the last time: a group of some hundred octets,
    as there may be a million of them for a month."""
    rule = replace(BURST, first_seen=True, timespan_ms=30 * 86_400_000, suppress_ms=0, count=1)
    store = MemoryStore()
    group = Group(store, KEY, rule)
    for step in range(1_000):
        matches = [(60_000 * step, f"2Tz1fQAAAAA-0-{step:09}", None)]
        group.add(matches, chunks.pack(matches), 60_000 * step - 30_000)
        if group.due() < 60_000 * step - 30_000:
            group.settle(60_000 * step - 30_000)
        group.flush()
        store.commit()
        if step > CROWD:
            assert sum(len(value) for _, value in store.items()) < 2_000
    assert len(store) == 2


@pytest.mark.parametrize("kind", ["event_count", "value_count"])
def test_an_alert_that_goes_on_keeps_few_matches(kind):
    """A backup reads for hours under a rule on mass reading: what its group holds, in memory and in
    the store, does not grow with what was read but for some octets of each value; nothing of that
    is lost by a restart, and the alert says how much it was."""
    rule = replace(
        BURST, type=kind, suppress_ms=3_600_000, value_columns=((("path",),),), timespan_ms=60_000
    )
    store = MemoryStore()
    group, kept = Group(store, KEY, rule), 0
    for step in range(600):
        times = range(100 * step, 100 * step + 100)
        value = "/data/a folder/file %d" if kind == "value_count" else None
        matches = [(n, f"0-{n:09}", value and value % (n // 2)) for n in times]
        group.add(matches, chunks.pack(matches), 100 * step - 1_000)
        group.flush()
        store.commit()
        if step % 100 == 50:
            group = restored(store, rule)
        kept = max(kept, len(group._matches()))
    assert kept < 2 * MANY
    octets = sum(len(value) for _, value in store.items())
    assert octets < (600_000 if kind == "value_count" else 360_000)
    (final,) = group.settle(10_000_000).finals
    assert (final.count, final.matches[0][0], final.end) == (60_000, 0, 59_999)
    assert [uid for _, uid, _ in final.matches[:LINKED]] == [f"0-{n:09}" for n in range(LINKED)]
    assert final.values == (30_000 if kind == "value_count" else 1)
    group.remove()
    store.commit()
    assert store.committed == {}


def test_an_alert_that_goes_on_ends_as_it_began():
    """A rule that mutes for less from now on takes nothing back of what was said before."""
    store, count = MemoryStore(), 2 * MANY
    rule = replace(BURST, suppress_ms=3_600_000)
    group = Group(store, KEY, rule)
    matches = [(n, f"0-{n:09}", None) for n in range(count)]
    for place in range(0, count, 500):
        part = matches[place : place + 500]
        group.add(part, chunks.pack(part), place - 500)
    group.flush()
    store.commit()
    group = restored(store, replace(rule, suppress_ms=1_000))
    early = group.settle(count)
    assert (early.finals, early.superseded, early.provisional) == ([], [], [])
    (final,) = group.settle(10_000_000).finals
    assert final.count == count


@settings(max_examples=400)
@given(arrivals(), st.one_of(CORRELATION, ABSENT), st.sets(st.integers(0, 20), max_size=4))
def test_nothing_is_final_before_the_group_is_due(arrived, correlation, restarts):
    """Each alert is judged when the watermark passes its end, by the rules of then: a change of
    rules between its end and a later one would judge it by the new ones."""
    store, watermark = MemoryStore(), -1
    group = Group(store, KEY, correlation)
    for number, (part, moved) in enumerate(arrived[1]):
        if part:
            matches = part if counts_values(correlation) else [(*m[:2], None) for m in part]
            group.add(matches, chunks.pack(matches), watermark)
        if number in restarts:
            group.flush()
            store.commit()
            group = restored(store, correlation)
        judged = judge(group._matches(), correlation, group._start, group.due())
        assert judged.episodes == []
        watermark = max(watermark, moved)
        if group.due() < watermark:
            group.settle(watermark)


@settings(max_examples=100)
@given(TIMES, CORRELATION)
def test_ordered_arrival_supersedes_nothing(times, correlation):
    """What is said at once about ordered matches stands."""
    ordered = sorted(times)
    matches = [(time, f"u-{n}", value) for n, (time, value) in enumerate(ordered)]
    steps = [(list(part), time) for time, part in groupby(matches, key=lambda match: match[0])]
    finals, left, fallen = play(correlation, [*steps, ([], 200)])
    assert expected(matches, correlation) == finals
    assert left == set()
    assert fallen == []


@settings(max_examples=300)
@given(
    TIMES, st.one_of(CORRELATION, ABSENT, FIRST_SEEN), st.lists(st.integers(0, 120), max_size=12)
)
def test_judged_in_steps(times, correlation, marks):
    """Judging at any watermarks, with only the matches kept so far, misses and repeats nothing."""
    matches = [(time, f"u-{n}", value) for n, (time, value) in enumerate(times)]
    matches.sort(key=reference.stands)
    if not counts_values(correlation):
        matches = [(time, uid, None) for time, uid, _ in matches]
    finals, start, keep = [], -1, -1
    for mark in [*sorted(marks), 200]:
        judged = judge([m for m in matches if m[0] > keep], correlation, start, mark)
        finals += [whole(episode) for episode in judged.episodes]
        start, keep = judged.start, max(keep, judged.keep)
        assert judged.due is None or judged.due >= mark
    assert reference.finals(matches, correlation) == finals


@settings(max_examples=200)
@given(TIMES, CORRELATION, st.one_of(CORRELATION, NUMERIC, ABSENT, FIRST_SEEN))
def test_a_rule_may_become_another(times, before, after):
    """What was kept for a rule's former type stops nothing, and no number is made of it."""
    store = MemoryStore()
    valued = counts_values(before)
    matches = sorted((t, f"u-{n}", v if valued else None) for n, (t, v) in enumerate(times))
    if matches:
        group = Group(store, KEY, before)
        group.add(matches, chunks.pack(matches), -1)
        group.flush()
        store.commit()
    group = restored(store, after)
    settled = group.settle(1_000)
    if after.numeric and after.count > 0:
        assert settled.finals == []
    assert group.idle(1_000)


def test_first_crossing_is_said_at_once():
    """The third match in a minute alerts when it arrives, with what is known by then."""
    correlation = minute(3)
    group = Group(MemoryStore(), KEY, correlation)
    assert group.add(matches_at(0, 1), b"", -1) == []
    (said,) = group.add(matches_at(50_000, 51_000), b"", -1)
    assert said.opened[0] == 50_000
    assert [match[0] for match in said.matches] == [0, 1, 50_000, 51_000]


@pytest.mark.parametrize(("gap", "alerts"), [(59_999, 1), (60_000, 0)])
def test_window_is_open_at_its_old_end(gap, alerts):
    """`(t - timespan, t]`: a match exactly one timespan ago is out."""
    group = Group(MemoryStore(), KEY, minute(2))
    said = group.add(matches_at(0, gap), b"", -1)
    assert len(said) == alerts


@pytest.mark.parametrize("restarted", [False, True])
def test_what_an_alert_took_counts_for_no_other(restarted):
    """After the mute a condition needs matches of its own; each match is in one alert at most."""
    store, correlation = MemoryStore(), minute(3)
    group = Group(store, KEY, correlation)

    def arrive(*times):
        part = matches_at(*times)
        return [time for ep in group.add(part, chunks.pack(part), -1) for time, *_ in ep.matches]

    assert arrive(0, 1, 2) == [0, 1, 2]
    assert arrive(60_000, 60_002) == []
    if restarted:
        finals = group.settle(60_003).finals
        group.flush()
        store.commit()
        group = restored(store, correlation)
    assert arrive(60_003, 60_004) == []
    assert arrive(60_005) == [60_003, 60_004, 60_005]
    if not restarted:
        finals = group.settle(120_006).finals
    assert [match[0] for match in finals[0].matches] == [0, 1, 2, 60_000, 60_002]


@settings(max_examples=100)
@given(TIMES, CORRELATION.filter(lambda correlation: correlation.rising))
def test_every_final_was_said_at_once(times, correlation):
    """Of ordered matches, the one that opens an alert says it when it comes."""
    valued = counts_values(correlation)
    ordered = [
        (time, f"u-{n}", value if valued else None) for n, (time, value) in enumerate(sorted(times))
    ]
    group = Group(MemoryStore(), KEY, correlation)
    said = [
        episode.opened[:2]
        for match in ordered
        for episode in group.add([match], chunks.pack([match]), -1)
    ]
    assert said == [(time, uid) for time, uid, *_ in reference.finals(ordered, correlation)]


def minute(count):
    return Correlation(
        rule=Rule("rule", "Rule", "high"),
        type="event_count",
        members=(0,),
        group_by=("user",),
        group_columns=((("user",),),),
        value_columns=((),),
        timespan_ms=60_000,
        suppress_ms=60_000,
        operator="gte",
        count=count,
    )


def matches_at(*times):
    return [(time, f"u{time:08}", None) for time in times]


def test_below_threshold_stays_small():
    """A group that never alerts forgets what no window needs, in memory and in the store."""
    store = MemoryStore()
    group = Group(store, KEY, minute(100))
    for time in range(0, 40_000_000, 10_000):
        part = matches_at(time)
        assert group.add(part, chunks.pack(part), time - 30_000) == []
        group.flush()
    store.commit()
    assert sum(len(part) for value in store.committed.values() for part in chunks.read(value)) < 600


def test_every_type_is_there():
    """What the compiler lets through is what can be evaluated."""
    assert set(CORRELATION_TYPES) == set(TYPES)

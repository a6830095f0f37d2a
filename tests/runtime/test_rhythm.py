"""When commits are due: soon when quiet, at the interval under load, never later."""

from hypothesis import given
from hypothesis import strategies as st

from app.runtime.rhythm import BEHIND, SHARE, SOONEST, Rhythm

INTERVAL = 0.1
SECONDS = st.floats(min_value=0, max_value=10)


def test_the_first_commit_waits_for_nothing() -> None:
    """What ends a silence is due at once, and a poll gathers nothing on top of it."""
    rhythm = Rhythm(INTERVAL)
    assert rhythm.due < 0
    assert rhythm.gather_until() < 0


def test_cheap_cycles_leave_the_least_time_between_commits() -> None:
    """However little there is to do, brokers do not get more commits than so many."""
    rhythm = Rhythm(INTERVAL)
    rhythm.worked(0.001)
    rhythm.committed(5.0, 5.002)
    assert rhythm.due == 5.0 + SOONEST


def test_costly_cycles_are_further_apart() -> None:
    """All work and the commit count, so that a slow machine has at least half of its time left."""
    rhythm = Rhythm(INTERVAL)
    rhythm.worked(0.010)
    rhythm.worked(0.008)
    rhythm.committed(5.0, 5.012)
    assert rhythm.due == 5.0 + SHARE * (0.010 + 0.008 + (5.012 - 5.0))


def test_a_backlog_waits_for_the_interval() -> None:
    """Under load transactions are as large as before; it counts again from the last commit."""
    rhythm = Rhythm(INTERVAL)
    rhythm.committed(5.0, 5.002)
    rhythm.polled(BEHIND + 1)
    assert rhythm.due == 5.0 + INTERVAL
    rhythm.polled(BEHIND)
    assert rhythm.due == 5.0 + SOONEST


def test_gathering_leaves_time_for_the_work() -> None:
    """Records are gathered for as long as the work that they lead to fits before the commit."""
    rhythm = Rhythm(INTERVAL)
    rhythm.worked(0.004)
    rhythm.committed(5.0, 5.002)
    assert rhythm.gather_until() == rhythm.due - 0.004


@given(st.floats(min_value=0, max_value=5), SECONDS, SECONDS, st.integers(-5, 10**6))
def test_never_later_than_the_interval(
    interval: float, work: float, commit: float, left: int
) -> None:
    """`commit_interval` is the most that may lie between two commits, also when it is tiny."""
    rhythm = Rhythm(interval)
    rhythm.worked(work)
    rhythm.committed(5.0, 5.0 + commit)
    rhythm.polled(left)
    assert rhythm.due <= 5.0 + interval


def test_aborted_work_is_no_cost() -> None:
    """What was in work before an abort does not make the next commit wait."""
    rhythm = Rhythm(INTERVAL)
    rhythm.worked(1.0)
    rhythm.aborted()
    rhythm.committed(5.0, 5.002)
    assert rhythm.due == 5.0 + SOONEST

"""At most so many of a rule in a time, the rest counted: also over kills and several processes."""

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.deliver.destination import UnreachableError
from app.respond.limit import LOOK_MS, Limits
from app.respond.notification import Notification
from tests.respond.findings import RULE, alert

HOUR = 3_600_000


class Clock:
    """Moves when it is told."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def limits(folder: Path, clock: Clock, most: int = 2) -> Limits:
    made = Limits("page", most, HOUR, folder, clock)
    made.open()
    return made


def take(found: Limits, each: Notification) -> bool:
    """As a response does: whether it was told."""
    if found.allows(each.rule):
        found.told(each)
        return True
    found.held(each)
    return False


def test_rest_is_summed_up(tmp_path: Path) -> None:
    """Two of a rule are told, the others in one summary when the hour is over; then it begins
    anew. Another rule has its own."""
    clock = Clock()
    found = limits(tmp_path, clock)
    critical = replace(RULE, level="critical")
    assert [take(found, alert(number)) for number in range(4)] == [True, True, False, False]
    assert not take(found, alert(4, rule=critical))
    assert take(found, alert(5, rule=replace(RULE, id="other")))
    clock.now = HOUR - 1
    assert not list(found.due())
    clock.now = HOUR
    ((rule, told),) = found.due()
    assert rule == RULE.id
    said = told.attributes
    assert said["count"] == 3
    assert said["message"] == (
        "Mass delete by one user: 3 more alerts from 2025-11-27T11:59:00.002Z to "
        "2025-11-27T12:00:00.004Z, beside 2 that were told one by one"
    )
    assert said["unmapped.alerts"] == ["uid-2", "uid-3", "uid-4"]
    assert (said["severity"], said["unmapped.state"]) == ("Critical", "summary")
    assert said["finding_info.title"] == RULE.title
    assert said["metadata.tenant_uid"] == "acme"
    assert told.key == "uid-2.0.page.summary"
    found.summed_up(rule)
    assert not list(found.due())
    assert take(found, alert(6))


def test_summary_keeps_its_key(tmp_path: Path) -> None:
    """One that could not be told is told later, in another process too, under the same key."""
    clock = Clock()
    found = limits(tmp_path, clock, most=1)
    take(found, alert(0))
    take(found, alert(1))
    clock.now = HOUR
    ((_, first),) = found.due()
    found.close()
    clock.now = 5 * HOUR
    ((_, second),) = limits(tmp_path, clock, most=1).due()
    assert (first.key, first.value) == (second.key, second.value)


def test_what_was_counted_is_known(tmp_path: Path) -> None:
    """After a kill records come again; what was told or counted is neither told nor counted."""
    clock = Clock()
    found = limits(tmp_path, clock)
    for number in range(3):
        take(found, alert(number))
    assert found.dirty
    found.keep()
    assert not found.dirty
    take(found, alert(3))
    os.close(found._lock)  # the process is gone, and did not come to write the last one
    again = Limits("page", 2, HOUR, tmp_path, clock)
    again.open()
    assert [again.knows(alert(number).key) for number in range(4)] == [True, True, True, False]
    assert not take(again, alert(3))


def test_several_processes(tmp_path: Path) -> None:
    """What one has told counts for the others; those that go on sum up what one that is gone has
    counted, without a restart."""
    clock = Clock()
    one, two = limits(tmp_path, clock, most=2), limits(tmp_path, clock, most=2)
    assert take(one, alert(0))
    one.keep()
    clock.now = LOOK_MS
    two.look()
    assert [take(two, alert(number)) for number in (10, 11)] == [True, False]
    two.keep()
    clock.now = 2 * LOOK_MS
    one.look()
    assert not take(one, alert(1))
    one.keep()
    os.close(one._lock)  # killed
    clock.now = HOUR + 2 * LOOK_MS
    two.look()
    ((_, told),) = two.due()
    assert told.attributes["count"] == 2
    assert sorted(told.attributes["unmapped.alerts"]) == ["uid-1", "uid-11"]
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_what_all_processes_have_told_is_enough_for_one_that_told_none(tmp_path: Path) -> None:
    """It counts from the first one that is too many, and tells them when its own time is over."""
    clock = Clock()
    one, two = limits(tmp_path, clock, most=1), limits(tmp_path, clock, most=1)
    take(one, alert(0))
    one.keep()
    clock.now = LOOK_MS
    two.look()
    assert not take(two, alert(1))
    clock.now = HOUR + LOOK_MS
    ((_, told),) = two.due()
    assert told.attributes["unmapped.alerts"] == ["uid-1"]


def test_a_clock_that_is_set_back_holds_nothing_back(tmp_path: Path) -> None:
    """A machine that starts with its clock ahead by a year: what was too much then is not told a
    year later."""
    clock = Clock()
    clock.now = 9_000 * HOUR
    found = limits(tmp_path, clock, most=1)
    assert [take(found, alert(number)) for number in range(2)] == [True, False]
    clock.now -= HOUR - 1
    assert not list(found.due())
    clock.now = HOUR
    ((rule, told),) = found.due()
    assert told.attributes["count"] == 1
    found.summed_up(rule)
    assert take(found, alert(2))


def test_what_cannot_be_taken_over_counts_once(tmp_path: Path) -> None:
    """A full disk: what a process that is gone has counted is looked at again, not added again."""
    clock = Clock()
    gone = limits(tmp_path, clock, most=0)
    found = limits(tmp_path, clock, most=0)
    take(gone, alert(1))
    gone.close()
    full = tmp_path / "page.1.new"
    full.mkdir()
    for _ in range(3):
        clock.now += LOOK_MS
        with pytest.raises(UnreachableError):
            found.look()
    full.rmdir()
    clock.now = HOUR + LOOK_MS
    found.look()
    ((_, told),) = found.due()
    assert told.attributes["count"] == 1


def test_files_are_private(tmp_path: Path) -> None:
    """They hold alerts."""
    found = limits(tmp_path, Clock())
    take(found, alert())
    found.close()
    modes = {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    assert modes == {0o600}


def test_broken_file(tmp_path: Path) -> None:
    """A file that somebody has spoilt is named, and nothing is told meanwhile."""
    (tmp_path / "page.0.json").write_text("{")
    with pytest.raises(UnreachableError, match=r"page.0.json: cannot be read; remove it"):
        limits(tmp_path, Clock())


@given(
    steps=st.lists(st.tuples(st.integers(0, 2), st.integers(0, HOUR // 2)), max_size=60),
    most=st.integers(1, 4),
    kills=st.sets(st.integers(0, 60)),
)
def test_nothing_lost_nothing_invented(
    steps: list[tuple[int, int]],
    most: int,
    kills: set[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Whatever comes when, and whenever the process is replaced: each alert is told or counted in
    a summary, once, and no hour from the first on has more than so many of a rule."""
    folder, clock = tmp_path_factory.mktemp("limits"), Clock()
    found = limits(folder, clock, most)
    told: dict[str, list[int]] = {}
    summed = 0
    for number, (rule, later) in enumerate(steps):
        clock.now += later
        if number in kills:
            found.close()
            found = limits(folder, clock, most)
        for name, each in list(found.due()):
            summed += each.attributes["count"]
            found.summed_up(name)
        if take(found, alert(number, rule=replace(RULE, id=str(rule)))):
            told.setdefault(str(rule), []).append(clock.now)
    clock.now += HOUR
    summed += sum(each.attributes["count"] for _, each in found.due())
    assert sum(map(len, told.values())) + summed == len(steps)
    for moments in told.values():
        begun, count = -HOUR, 0
        for moment in moments:
            if moment >= begun + HOUR:
                begun, count = moment, 0
            count += 1
            assert count <= most
    found.close()

"""A whole day without an incident, of a tenth of the events, raises no high or critical alert."""

import pytest

from app.rules import load_rules
from bench import benign_lines
from bench.benign import HIGH, RULES, START_MS, alerts
from bench.benign_day import SOURCES, SPAN_MS, Day, Line
from topology.match.compile import RuleSet

EVENTS = 100_000
FEWEST = 40_000


@pytest.fixture(scope="module")
def rules() -> RuleSet:
    """All that Northbound brings along, those for hunting too."""
    return load_rules([RULES], None)


def test_a_benign_day_is_quiet(rules: RuleSet, seed: int) -> None:
    """Nothing above medium, though folders are copied and emptied and jobs have old passwords."""
    found = alerts(Day(seed, EVENTS, START_MS), rules)
    assert {entry for entry in found if entry[0] in HIGH} == set()
    assert found["medium", "Mass delete by one user"] >= 3
    assert found["medium", "Mass read by one user"] >= 3
    assert found["medium", "Windows password of one user guessed"] >= 1
    assert sum(count for (level, _), count in found.items() if level == "medium") < 50


def test_an_incident_on_such_a_day_is_seen(rules: RuleSet, seed: int) -> None:
    """The same rules alert when somebody guesses a password in between."""
    day = Day(seed, FEWEST, START_MS)
    for number in range(13):
        at = day.at("12:30") + number * 2_000
        outcome = "Accepted" if number == 12 else "Failed"
        text = f"{outcome} password for omar.lang from 10.27.0.77 port 4022 ssh2"
        day.add("sshd", at, benign_lines.sshd(at, "git1", text))
    day.lines["sshd"].sort()
    found = alerts(day, rules)
    severe = {entry: count for entry, count in found.items() if entry[0] in HIGH}
    assert severe == {("high", "SSH logon with a password after many failures"): 1}


def test_a_day_is_that_of_its_seed(seed: int) -> None:
    """As many lines as asked for, in order, all within the day, the same for the same seed."""
    one, same, other = (Day(number, FEWEST, START_MS) for number in (seed, seed, seed + 1))
    assert one.lines == same.lines
    assert one.lines != other.lines
    lines: list[Line] = [line for found in one.lines.values() for line in found]
    assert len(lines) == FEWEST
    assert set(one.lines) == {name for name, found in one.lines.items() if found} == set(SOURCES)
    assert all(START_MS <= line.time < START_MS + SPAN_MS for line in lines)
    assert all(found == sorted(found) for found in one.lines.values())
    assert max(line.time for found in one.past.values() for line in found) < START_MS


def test_too_short_a_day_is_refused() -> None:
    """What happens once needs room; the message says how many lines it is."""
    with pytest.raises(ValueError, match=r"1000 events are too few for a day; it has at least \d+"):
        Day(1, 1_000, START_MS)

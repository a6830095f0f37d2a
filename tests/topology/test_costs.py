"""What stages and rules cost, on a clock of the test's own and on the whole topology."""

import time

import pytest

from app.rules import load_rules
from tests.topology.deployment import RAW, RULES, START, driver, line
from topology.costs import Costs, Part, costs
from topology.events import EventsSubTopology
from topology.isolate import stage
from topology.records import Batch, Outcome


class Clock:
    """Seconds that work takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def work(self, seconds: float) -> None:
        self.now += seconds


def test_a_stage_inside_another_is_not_counted_twice() -> None:
    """Each second belongs to the innermost stage; what no stage claims is `other`."""
    clock = Clock()
    books = Costs(clock)
    with books.measure():
        clock.work(1.0)
        with stage("parse", "qumulo"):
            clock.work(2.0)
        with stage("match", "rules"):
            clock.work(3.0)
            with costs().stage("match", "automata"):
                clock.work(4.0)
            clock.work(5.0)
    clock.work(100.0)  # outside
    assert books.stages == {
        ("other", ""): 1.0,
        ("parse", "qumulo"): 2.0,
        ("match", "rules"): 8.0,
        ("match", "automata"): 4.0,
    }


def test_a_stage_that_raises_has_its_cost() -> None:
    """And what comes after it is not charged to it."""
    clock = Clock()
    books = Costs(clock)
    with books.measure():
        with pytest.raises(ValueError, match="bad"):
            _break(clock)
        clock.work(1.0)
    assert books.stages == {("other", ""): 1.0, ("parse", "json"): 2.0}


def _break(clock: Clock) -> None:
    with costs().stage("parse", "json"):
        clock.work(2.0)
        raise ValueError("bad")


def test_rules_add_up_to_their_stage_though_few_passes_are_looked_at() -> None:
    """A hundred passes over a rule of 3 ms and one of 1 ms: 300 and 100 ms, a few looks."""
    clock = Clock()
    books = Costs(clock)
    looked = 0
    cheap, dear = ("1", "cheap"), ("2", "dear")
    count = 500
    with books.measure():
        for _ in range(400):
            with costs().rule_pass("match", "conditions", count) as worked:
                looked += worked is not None
                for rule, seconds in ((dear, 0.003), (cheap, 0.001)):
                    clock.work(seconds)
                    if worked is not None:
                        worked(rule)
    assert looked < 100
    assert books.rules[dear] / books.rules[cheap] == pytest.approx(3.0)
    assert sum(books.rules.values()) == pytest.approx(books.stages["match", "conditions"], rel=0.1)


def test_without_books_nothing_is_measured() -> None:
    """A stage that runs outside of an engine finds books that never look at a clock."""
    with stage("parse", "json"), costs().rule_pass("match", "conditions", 1) as worked:
        assert worked is None
    assert costs().stages == {}


def test_every_stage_and_rule_of_the_topology_is_in_the_books(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Parse to encode, correlation's part, and the rules that ran, by id and title; the stages add
    up to the CPU time of all of it."""
    books = Costs(time.thread_time)
    process = EventsSubTopology.process
    spent = 0.0

    def measured(self: EventsSubTopology, batch: Batch) -> Outcome:
        nonlocal spent
        before = time.thread_time()
        with books.measure():
            outcome = process(self, batch)
        spent += time.thread_time() - before
        return outcome

    monkeypatch.setattr(EventsSubTopology, "process", measured)
    whole = driver(max_batch=2_000)
    for number in range(6_000):
        name = f"/data/{number}.txt"
        whole.pipe(RAW, line(START + number, f"u{number % 9}", path=name), timestamp=START + number)
    whole.run()
    stages = {name for name, _ in books.stages}
    assert stages == {"other", "parse", "normalize", "match", "encode"}
    assert ("encode", "ocsf-json") in books.stages
    assert sum(books.stages.values()) == pytest.approx(spent, rel=0.05)
    assert ("match", "conditions") in books.stages
    loaded = {(each.rule.id, each.rule.title) for each in load_rules([RULES]).rules.events}
    assert set(books.rules) == loaded
    conditions: Part = ("match", "conditions")
    assert 0 < sum(books.rules.values()) <= books.stages[conditions] * 1.001

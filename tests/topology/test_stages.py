"""Mutations and filters in the flow: each record still has one outcome, wherever stages share."""

from collections import Counter
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode as read_avro
from tests.topology.deployment import NORMALIZED, RAW, SOURCE, START, driver, line
from topology import exposed
from topology.filters import Filter, FilterErrors, Filters
from topology.mutate.mutation import Mutation
from topology.operations import OPERATIONS
from topology.testing import TopologyTestDriver

EVENTS, LETTERS = "northbound.acme.events", "dead-letters"
EXPOSED = frozenset({"normalized"})


def mutation(name: str, setting: Any, field: str, target: str) -> Mutation:
    return Mutation(name, field, target, OPERATIONS[name](setting, "UTC"))


STAGED = replace(
    SOURCE,
    mutations=(
        mutation("lower", True, "actor.user.name", "actor.user.name"),
        mutation("regexp", "^/([^/]+)/", "file.path", "unmapped.share"),
    ),
    filters=Filters(
        [
            Filter("scratch", keep=False, detection={"it": {"unmapped.share": "scratch"}}),
            Filter(
                "people",
                keep=True,
                detection={
                    "robots": {"actor.user.name|startswith": "svc-"},
                    "condition": "not robots",
                },
            ),
        ]
    ),
)


def fill(run: TopologyTestDriver, count: int = 100) -> None:
    """Every fifth line is of a robot, every fourth in scratch, and some are broken."""
    for number in range(count):
        user = "SVC-backup" if number % 5 == 0 else "Eve"
        share = "scratch" if number % 4 == 0 else "data"
        raw = b"\xff" if number % 31 == 7 else line(START + number, user, path=f"/{share}/{number}")
        run.pipe(RAW, raw, timestamp=START + number + 5, partition=number % 3)


def events(run: TopologyTestDriver) -> Counter[bytes]:
    return Counter(record.value or b"" for record in run.read(EVENTS))


@pytest.mark.parametrize("expose", [frozenset(), EXPOSED])
def test_each_record_has_one_outcome(expose: frozenset[str]) -> None:
    """Events, filtered and dead letters together are the records; what is kept was mutated."""
    run = driver(raw=3, expose=expose, source=STAGED, max_batch=17)
    fill(run)
    run.run()
    counts = run.counts
    assert counts["records"] == 100
    assert counts["filtered"] == counts["filter.q.scratch"] + counts["filter.q.people"]
    assert (counts["filter.q.scratch"], counts["filter.q.people"]) == (25, 15)
    assert counts["events"] + counts["filtered"] + counts["dead_letters"] == 100
    found = [orjson.loads(value) for value in events(run)]
    assert len(found) == counts["events"]
    assert {event["actor"]["user"]["name"] for event in found} == {"eve"}
    assert {event["unmapped"]["share"] for event in found} == {"data"}
    assert all("Eve" in event["raw_data"] for event in found)


def test_placements_give_equal_results() -> None:
    """Also for an event that travels as its line, and for watermarks behind what was dropped."""
    runs = [driver(raw=3, expose=expose, source=STAGED) for expose in (frozenset(), EXPOSED)]
    for run in runs:
        fill(run)
        long = line(START + 200, "Eve", path="/data/" + "\x01" * 180_000 + ".txt")
        run.pipe(RAW, long, timestamp=START + 200)
        for partition in range(3):  # the last on each partition is dropped
            run.pipe(
                RAW, line(START + 90_000, "svc-x"), timestamp=START + 90_000, partition=partition
            )
        run.run()
    fused, cut = runs
    assert events(fused) == events(cut)
    assert fused.counts["events"] == cut.counts["events"]
    assert fused.read("matches")[-1].value == cut.read("matches")[-1].value
    values = [record.value or b"" for record in cut.read(NORMALIZED)]
    assert any(exposed.WHOLE.encode() in value for value in values)
    assert len(values) == cut.counts["events"] + 3


@settings(max_examples=15)
@given(st.integers(1, 40), st.integers(1, 3), st.lists(st.sampled_from("scr"), max_size=6))
def test_cuts_and_crashes_change_nothing(max_batch: int, workers: int, faults: list[str]) -> None:
    """However records are cut, the same events go on and windows close at the same time."""
    whole = driver(raw=3, source=STAGED)
    fill(whole)
    whole.run()
    run = driver(raw=3, workers=workers, max_batch=max_batch, expose=EXPOSED, source=STAGED)
    fill(run)
    for fault in faults:
        {"s": run.step_once, "c": run.crash, "r": run.restart}[fault]()
    run.run()
    assert events(run) == events(whole)


def test_a_condition_that_breaks_on_one_event() -> None:
    """What cannot be filtered is a dead letter with its reason, and its neighbours go on."""

    def broken(_: Any) -> Any:
        raise ValueError("no such thing")

    staged = replace(SOURCE, mutations=(Mutation("lower", "file.path", "file.path", broken),))
    run = driver(raw=3, source=staged)
    fill(run, 5)
    run.run()
    assert run.counts["dead_letters"] == 5
    _, letter = read_avro(run.read(LETTERS)[0].value or b"")
    assert (letter["stage"], letter["component"]) == ("mutate", "q")
    assert "no such thing" in letter["reason"]


@pytest.mark.parametrize(
    ("detection", "key", "told"),
    [
        ({"a": {"b|nonsense": 1}}, "a.b|nonsense", "Unknown modifier"),
        ({"a": {"b": 1}, "c": {"b": 2}}, "", "at least one condition"),
        ({"a": {"b": 1}, "condition": "a and d"}, "condition", "d"),
        ({"a": {"b|expand": "%list%"}}, "", "has no list of values"),
    ],
)
def test_filters_that_cannot_be_meant(detection: dict[str, Any], key: str, told: str) -> None:
    """They are refused at the start, and it is said where."""
    with pytest.raises(FilterErrors) as caught:
        Filters(
            [Filter("good", keep=True, detection={"x": {"y": 1}}), Filter("bad", True, detection)]
        )
    (problem,) = caught.value.problems
    assert (problem.number, problem.key) == (1, key)
    assert told in problem.text

"""Similar events become one in the flow: none is lost or counted twice, however records are cut."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import orjson
import pytest
from confluent_kafka import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from app.backtesting import Backtest
from schemas.codec import decode as read_avro
from tests.topology.deployment import RAW, SOURCE, START, driver, line, plan, steps
from topology.aggregate.aggregation import Aggregation
from topology.aggregations import Aggregations
from topology.events import EventsSubTopology
from topology.filters import Filter, Filters
from topology.records import Batch, Position, StoreError
from topology.testing import MemoryStore, TopologyTestDriver

EVENTS, STORE = "northbound.acme.events", "aggregated.q"
PLACEMENTS = frozenset(), frozenset({"normalized"})
MINUTE = 60_000
DELETES = Filters(
    [Filter("deletes", keep=False, detection={"it": {"metadata.event_code": "fs_delete"}})]
)
BY_USER = Aggregation("by-user", ("actor.user.name",), MINUTE)


def aggregating(*entries: Aggregation, conditions: Filters | None = None) -> Any:
    """The source with these aggregations, and half a minute of lateness."""
    aggregations = (
        Aggregations(entries, conditions) if conditions is not None else Aggregations(entries)
    )
    return replace(SOURCE, aggregations=aggregations)


@dataclass(frozen=True)
class Line:
    """One raw record: `at` and `behind` (ms) are when it comes and how far before that it was."""

    at: int
    behind: int
    user: str
    partition: int

    @property
    def time(self) -> int:
        return START + self.at - self.behind


def fill(run: TopologyTestDriver, lines: Sequence[Line]) -> None:
    for number, each in enumerate(lines):
        raw = line(each.time, each.user, path=f"/data/{number}")
        run.pipe(RAW, raw, timestamp=START + each.at, partition=each.partition)


def finish(run: TopologyTestDriver) -> None:
    """Read all there is, and let the windows of sources that say nothing more end."""
    run.run()
    run.advance_wall_clock(START + 3_600_000)
    run.run()


def events(run: TopologyTestDriver) -> list[dict[str, Any]]:
    return [orjson.loads(record.value or b"") for record in run.read(EVENTS)]


def texts(run: TopologyTestDriver) -> Counter[bytes]:
    return Counter(record.value or b"" for record in run.read(EVENTS))


def kind(event: dict[str, Any]) -> str:
    return str(event["unmapped"]["northbound_kind"])


def finals(run: TopologyTestDriver) -> Counter[bytes]:
    values = [record.value or b"" for record in run.read("northbound.acme.alerts")]
    return Counter(each for each in values if orjson.loads(each)["unmapped"]["state"] == "final")


LINES = st.lists(
    st.builds(
        Line,
        st.integers(0, 400_000),
        st.sampled_from([0, 0, 0, 5_000, 40_000, 120_000, -90_000]),
        st.sampled_from(["eve", "bob"]),
        st.integers(0, 2),
    ),
    max_size=60,
).map(lambda lines: sorted(lines, key=lambda each: each.at))


def reference(lines: Sequence[Line], limit: int | None) -> Counter[tuple[str, int, int, int, str]]:
    """Kind, count, first and last time and user, one record after the other."""
    found: Counter[tuple[str, int, int, int, str]] = Counter()
    greatest: dict[int, int] = {}
    held: dict[tuple[int, int, str], list[int]] = {}
    for each in lines:
        capped = min(each.time, START + each.at)
        end = capped - capped % MINUTE + MINUTE
        before = greatest.get(each.partition)
        if before is not None and end <= before - SOURCE.lateness_ms:
            found["base", 0, each.time, each.time, each.user] += 1
        else:
            times = held.setdefault((each.partition, end, each.user), [])
            times.append(each.time)
            if len(times) == limit:
                found["aggregated", len(times), min(times), max(times), each.user] += 1
                times.clear()
        greatest[each.partition] = max(capped, before if before is not None else capped)
    for (_, _, user), times in held.items():
        if times:
            found["aggregated", len(times), min(times), max(times), user] += 1
    return found


def told(event: dict[str, Any]) -> tuple[str, int, int, int, str]:
    time = event["time"]
    return (
        kind(event),
        event.get("count", 0),
        event.get("start_time", time),
        event.get("end_time", time),
        event["actor"]["user"]["name"],
    )


@settings(max_examples=60)
@given(LINES, st.sampled_from([None, 1, 3]), st.integers(1, 40), st.sampled_from(PLACEMENTS))
def test_the_same_as_one_after_the_other(
    lines: list[Line], limit: int | None, max_batch: int, expose: frozenset[str]
) -> None:
    """Counts and times are what a simple reference says; late events go on by themselves."""
    source = aggregating(replace(BY_USER, limit=limit))
    run = driver(raw=3, source=source, max_batch=max_batch, expose=expose)
    fill(run, lines)
    finish(run)
    assert Counter(map(told, events(run))) == reference(lines, limit)
    counts = run.counts
    assert counts["events"] + counts["aggregated"] + counts["dead_letters"] == len(lines)
    assert run.store(STORE) == {}
    uids = [event["metadata"]["uid"] for event in events(run)]
    assert len(set(uids)) == len(uids)
    assert counts["matches_after_close"] == 0


@settings(max_examples=40)
@given(
    LINES,
    st.integers(1, 40),
    st.integers(1, 3),
    st.lists(st.sampled_from("scr"), max_size=8),
    st.sampled_from(PLACEMENTS),
)
def test_cuts_crashes_and_restarts_change_nothing(
    lines: list[Line], max_batch: int, workers: int, faults: list[str], expose: frozenset[str]
) -> None:
    """Byte for byte the same events and final alerts, wherever stages share a step."""
    source = aggregating(replace(BY_USER, limit=20))
    whole = driver(raw=3, source=source)
    fill(whole, lines)
    finish(whole)
    run = driver(raw=3, workers=workers, max_batch=max_batch, expose=expose, source=source)
    fill(run, lines)
    for fault in faults:
        {"s": run.step_once, "c": run.crash, "r": run.restart}[fault]()
    finish(run)
    assert texts(run) == texts(whole)
    assert finals(run) == finals(whole)
    run.replay(workers=1, max_batch=13)
    run.run()
    assert texts(run) == texts(whole)
    assert finals(run) == finals(whole)


def test_a_silent_source_closes_its_windows() -> None:
    """A tick is enough, and nothing goes on before the watermark has reached the end."""
    run = driver(source=aggregating(BY_USER))
    for second in range(3):
        run.pipe(RAW, line(START + second * 1_000, "eve"), timestamp=START + second * 1_000)
    run.run()
    end = START - START % MINUTE + MINUTE
    run.advance_wall_clock(end + SOURCE.lateness_ms - 1)
    run.run()
    assert events(run) == []
    assert len(run.store(STORE)) == 1
    run.advance_wall_clock(end + SOURCE.lateness_ms)
    run.run()
    (event,) = events(run)
    assert (event["count"], event["start_time"], event["end_time"]) == (3, START, START + 2_000)
    assert event["time"] == START
    assert event["metadata"]["uid"] == "AAAAAAAAAAA-0-0-aggregated"
    assert run.store(STORE) == {}


def test_what_is_kept_and_what_goes_on_as_well() -> None:
    """`keep` chooses beside `by`, `when` whom it is about, and `originals` go on, counted once."""
    source = aggregating(
        Aggregation("deletes", ("src_endpoint.ip",), MINUTE, keep=("actor", "file.path"), when=0),
        replace(BY_USER, originals=True),
        conditions=DELETES,
    )
    run = driver(source=source)
    for number, operation in enumerate(["fs_delete", "fs_delete", "fs_rename", "fs_rename"]):
        raw = line(START + number, "eve", operation, path=f"/data/{number}")
        run.pipe(RAW, raw, timestamp=START + number)
    finish(run)
    found = events(run)
    by_kind = {each: [event for event in found if kind(event) == each] for each in map(kind, found)}
    assert [len(by_kind[each]) for each in ("base", "aggregated")] == [2, 2]
    chosen, whole = sorted(by_kind["aggregated"], key=lambda event: "raw_data" in event)
    assert chosen["file"]["path"] == "/data/0"
    assert chosen["actor"]["user"]["name"] == "eve"
    assert "status" not in chosen
    assert "raw_data" not in chosen
    assert set(chosen["file"]) == {"path"}
    assert whole["raw_data"] == by_kind["base"][0]["raw_data"]
    assert run.counts["aggregated"] == 2
    assert run.counts["events"] == 2
    assert run.counts["aggregate.q.by-user"] == 2


def test_absent_equals_absent_and_types_stay_apart() -> None:
    """An attribute that no event has is no reason to lose one; different types are not similar."""
    run = driver(source=aggregating(Aggregation("x", ("no.such.thing",), MINUTE)))
    for number, operation in enumerate(["fs_delete", "fs_rename", "fs_delete"]):
        run.pipe(RAW, line(START + number, "eve", operation), timestamp=START + number)
    finish(run)
    assert sorted(event["count"] for event in events(run)) == [1, 2]


def test_a_correlation_is_not_late_for_aggregated_events() -> None:
    """They come when their window has ended, and count as one event each at their own time."""
    run = driver(source=aggregating(Aggregation("by-path", ("file.path",), MINUTE)))
    for number in range(200):
        raw = line(START + number, "eve", path=f"/data/{number}")
        run.pipe(RAW, raw, timestamp=START + number)
    finish(run)
    assert run.counts["matches_late"] == run.counts["matches_after_close"] == 0
    plain = driver()
    for number in range(200):
        raw = line(START + number, "eve", path=f"/data/{number}")
        plain.pipe(RAW, raw, timestamp=START + number)
    finish(plain)
    assert finals(plain)

    def gist(run: TopologyTestDriver) -> list[tuple[Any, ...]]:
        found = map(orjson.loads, finals(run))
        return sorted((each["message"], each["start_time"], each["end_time"]) for each in found)

    assert gist(run) == gist(plain)


def test_a_backtest_has_the_same_finals() -> None:
    """What rules would have said of the past sees aggregated events, too."""
    source = aggregating(Aggregation("by-path", ("file.path",), MINUTE))
    run = driver(source=source)
    lines = [
        (START + number * 100, line(START + number * 100, "eve", path=f"/data/{number}"))
        for number in range(300)
    ]
    for time, raw in lines:
        run.pipe(RAW, raw, timestamp=time)
    finish(run)
    backtest = Backtest(plan(source=source), {(RAW, 0): 0})
    found = backtest.take(
        [
            Message(topic=RAW, partition=0, offset=offset, value=raw, timestamp=(1, time))
            for offset, (time, raw) in enumerate(lines)
        ]
    )
    found += backtest.finish()
    expected = [orjson.loads(each) for each in finals(run)]
    uids = sorted(each["finding_info"]["uid"] for each in expected if each)
    acme = [each for each in found if each["metadata"]["tenant_uid"] == "acme"]
    assert uids == sorted(each["finding_info"]["uid"] for each in acme)
    assert uids


@pytest.mark.parametrize("expose", PLACEMENTS)
def test_what_was_open_ends_after_an_aggregation_is_taken_out(expose: frozenset[str]) -> None:
    """With an empty list nothing is opened any more, and nothing that was open is lost."""
    first = driver(source=aggregating(BY_USER), expose=expose)
    first.pipe(RAW, line(START, "eve"), timestamp=START)
    first.run()
    first.place(steps(plan(expose=expose, source=aggregating())))
    first.pipe(RAW, line(START + 1, "eve"), timestamp=START + 1)
    finish(first)
    assert sorted(map(kind, events(first))) == ["aggregated", "base"]


@pytest.mark.parametrize("first", [0, 1])
def test_another_placement_goes_on_with_what_is_open(first: int) -> None:
    """The store goes along, so the events are those of one placement alone."""
    source = aggregating(BY_USER)
    lines = [Line(number * 1_000, 0, "eve", number % 3) for number in range(200)]
    whole = driver(raw=3, source=source)
    fill(whole, lines)
    finish(whole)
    run = driver(raw=3, source=source, expose=PLACEMENTS[first], workers=2)
    fill(run, lines[:90])
    run.run()
    assert run.store(STORE)
    run.place(steps(plan(expose=PLACEMENTS[1 - first], source=source)))
    fill(run, lines[90:])
    finish(run)
    assert Counter(map(told, events(run))) == Counter(map(told, events(whole)))


def test_one_that_breaks_a_format_is_a_dead_letter() -> None:
    """With itself for the raw bytes: what it counted is not lost."""
    chosen = plan(source=aggregating(BY_USER))
    tenant = replace(chosen.tenants["acme"], format="nonsense")
    chosen = replace(chosen, tenants={"acme": tenant})
    run = TopologyTestDriver(steps(chosen))
    for number in range(7):
        run.pipe(RAW, line(START + number, "eve"), timestamp=START + number)
    finish(run)
    (record,) = run.read("dead-letters")
    _, letter = read_avro(record.value or b"")
    raw = orjson.loads(letter["raw"])
    assert (letter["stage"], raw["events"], raw["first"]["actor.user.name"]) == ("encode", 7, "eve")
    assert run.counts["aggregated_dead_letters"] == 1
    assert run.counts["dead_letters"] == 0
    assert run.counts["aggregated"] == 7


def test_a_store_that_cannot_be_read_is_no_fault_of_the_data() -> None:
    """The worker ends, and nothing of the batch is committed."""

    class Broken(MemoryStore):
        def get(self, _: bytes) -> bytes | None:
            raise StoreError("no disk")

    events = EventsSubTopology(plan(source=aggregating(replace(BY_USER, limit=5))))
    events.assign({(RAW, 0): Position(0)}, {(STORE, 0): Broken()})
    one = np.zeros(1, dtype=np.int64)
    batch = Batch(RAW, one.astype(np.int32), one, one + START, [None], [line(START, "eve")])
    with pytest.raises(StoreError, match="no disk"):
        events.process(batch)


def test_a_large_event_goes_on_by_itself() -> None:
    """A record of the changelog could not hold it for sure."""
    run = driver(source=aggregating(BY_USER))
    run.pipe(RAW, line(START, "eve", path="/data/" + "x" * 300_000), timestamp=START)
    run.pipe(RAW, line(START, "eve"), timestamp=START)
    finish(run)
    assert sorted(map(kind, events(run))) == ["aggregated", "base"]
    assert run.counts["aggregate_large"] == 1


def test_bad_lines_are_dead_letters_as_ever() -> None:
    """Each record has one outcome beside aggregation."""
    run = driver(source=aggregating(BY_USER), max_batch=4)
    for number in range(20):
        raw = b"\xff" if number % 5 == 0 else line(START + number, "eve")
        run.pipe(RAW, raw, timestamp=START + number)
    finish(run)
    letters = [read_avro(record.value or b"")[1] for record in run.read("dead-letters")]
    assert len(letters) == run.counts["dead_letters"] == 4
    (event,) = events(run)
    assert event["count"] == run.counts["aggregated"] == 16

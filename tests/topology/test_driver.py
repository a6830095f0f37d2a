"""The whole topology in the test driver: what comes out depends on what goes in, and on no more."""

import random
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from schemas.codec import decode, header
from tests.topology.deployment import RAW, START, driver, line, plan, steps
from topology.correlate import partial_columns
from topology.kept_batches import KIND
from topology.keys import SUFFIX
from topology.testing import TopologyTestDriver

END = START + 3_600_000
STEPS = 100
"""Restarts, each after a batch; each is followed by watermarks, so that steps alone never end."""


def _finals(run: TopologyTestDriver, tenant: str = "acme") -> list[bytes]:
    values = [record.value or b"" for record in run.read(f"northbound.{tenant}.alerts")]
    return sorted(value for value in values if orjson.loads(value)["unmapped"]["state"] == "final")


def _fill(run: TopologyTestDriver, seed: int, partitions: int) -> int:
    """Deletes of four users, two of them too many, in order of time within each partition."""
    chooser = random.Random(seed)
    rows = [
        (START + chooser.randrange(120_000), user)
        for user, count in {"eve": 260, "mallory": 250, "alice": 60, "bob": 20}.items()
        for _ in range(count)
    ]
    for at, user in sorted(rows):
        run.pipe(
            RAW,
            line(at, user, path=f"/data/{chooser.randrange(10**6)}"),
            timestamp=at + 5,
            partition=chooser.randrange(partitions),
        )
    return len(rows)


def test_every_record_has_one_outcome() -> None:
    """Events and dead letters together are the raw records, each once, with its bytes."""
    run = driver(raw=3, workers=2, max_batch=17)
    expected: Counter[bytes] = Counter()
    for number in range(200):
        raw = b"\xffbroken" if number % 9 == 0 else line(START + number, f"u{number % 7}")
        expected[raw] += 1
        run.pipe(RAW, raw, timestamp=START + number, key=f"{number % 5}".encode())
    run.run()
    events = [orjson.loads(record.value or b"") for record in run.read("northbound.acme.events")]
    letters = [decode(record.value or b"")[1] for record in run.read("dead-letters")]
    seen = Counter([event["raw_data"].encode() for event in events])
    seen.update(letter["raw"] for letter in letters)
    assert expected == seen
    uids = [event["metadata"]["uid"] for event in events] + [each["uid"] for each in letters]
    assert len(set(uids)) == len(uids) == 200


def test_a_window_closes_when_its_source_falls_silent() -> None:
    """Ticks are the only clock: no final before they pass the window, one after."""
    run = driver()
    for number in range(120):
        run.pipe(RAW, line(START + number * 100, "eve"), timestamp=START + number * 100)
    run.run()
    assert _finals(run) == []
    run.advance_wall_clock(END)
    run.run()
    found = [orjson.loads(value) for value in _finals(run)]
    assert [finding["count"] for finding in found] == [120]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(("matches", "max_batch"), [(1, 1_000), (5, 7)])
def test_finals_do_not_depend_on_cuts_partitions_or_workers(
    seed: int, workers: int, matches: int, max_batch: int
) -> None:
    """One worker and ten give the same bytes; so does any batch size."""
    reference = driver(raw=3)
    other = driver(raw=3, matches=matches, workers=workers, max_batch=max_batch)
    for run in (reference, other):
        _fill(run, seed, 3)
        run.run()
        run.advance_wall_clock(END)
        run.run()
    assert len(_finals(reference)) == 2
    assert _finals(reference) == _finals(other)


@pytest.mark.parametrize("matches", [1, 5])
def test_groups_that_share_records_have_the_same_finals(
    seed: int, matches: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a record of `matches` holds one group or many: the same bytes, over restarts too."""
    reference = driver(raw=3)
    other = driver(raw=3, matches=matches, workers=2, max_batch=20)
    _fill(reference, seed, 3)
    reference.run()
    reference.advance_wall_clock(END)
    reference.run()
    monkeypatch.setattr(partial_columns, "MANY", 1)
    monkeypatch.setattr(partial_columns, "GROUPS", 1)
    _fill(other, seed, 3)
    for _ in range(STEPS):
        other.step_once()
        other.restart()
    other.run()
    shared = [record.value for record in other.read("matches") if record.value]
    assert sum(value.startswith(header("PartialBatch")) for value in shared) > 20
    other.advance_wall_clock(END)
    other.run()
    for tenant in ("acme", "other"):
        assert len(_finals(reference, tenant)) == 2
        assert _finals(reference, tenant) == _finals(other, tenant)
    assert not [key for key in other.store("alerts") if not key.startswith(b"\0")]
    assert other.counts["dead_letters"] == 0


def test_what_older_workers_read_is_written_on_demand(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without shared records `matches` and the store have none, and the finals are the same."""
    monkeypatch.setattr(partial_columns, "MANY", 1)
    monkeypatch.setattr(partial_columns, "GROUPS", 1)
    found = []
    for shared in (True, False):
        chosen = replace(plan(2), shared_records=shared)
        run = TopologyTestDriver(steps(chosen), partitions={RAW: 3, "matches": 2}, max_batch=20)
        _fill(run, seed, 3)
        run.run()
        values = [record.value or b"" for record in run.read("matches")]
        batches = [value for value in values if value.startswith(header("PartialBatch"))]
        kept = [key for key in run.store("alerts") if key[-SUFFIX:-8] == KIND]
        assert (bool(batches), bool(kept)) == (shared, shared)
        run.advance_wall_clock(END)
        run.run()
        found.append(_finals(run))
    assert len(found[0]) == 2
    assert found[0] == found[1]


def test_a_replay_of_the_same_topics_gives_the_same_finals(seed: int) -> None:
    """Live in small steps with a restart, then from the start with other workers: same bytes."""
    run = driver(raw=3, matches=2, max_batch=40)
    _fill(run, seed, 3)
    run.step_once()
    run.restart(workers=2)
    run.run()
    run.advance_wall_clock(END)
    run.run()
    live = _finals(run)
    run.replay(workers=3, max_batch=11)
    run.run()
    assert live == _finals(run)


def test_a_first_batch_that_reaches_far_on_one_partition_closes_no_window_of_another() -> None:
    """A backlog is read for the first time: partitions come along at different speeds, and those
    that all move with the first commit wait for each other as later ones do."""

    def finals(max_batch: int) -> list[bytes]:
        run = driver(raw=2, max_batch=max_batch)
        for number in range(40):
            run.pipe(RAW, line(START + number * 60_000, "bob"), timestamp=END, partition=0)
            run.pipe(RAW, line(START + number, "bob"), timestamp=END, partition=1)
        for number in range(120):
            run.pipe(RAW, line(START + 1_000 + number, "eve"), timestamp=END, partition=1)
        run.advance_wall_clock(END)
        run.run()
        assert not run.counts["matches_after_close"]
        return _finals(run)

    assert len(finals(1)) == 1
    assert finals(40) == finals(1) == finals(1_000)


def test_a_crash_between_commits_doubles_nothing(seed: int) -> None:
    """What was not committed comes again, and only then counts."""
    run = driver(raw=3, matches=2, max_batch=25, commit_every=1_000)
    count = _fill(run, seed, 3)
    for _ in range(4):
        run.step_once()
        run.crash()
    run.run()
    run.advance_wall_clock(END)
    run.run()
    events = run.read("northbound.acme.events")
    assert count == len({orjson.loads(each.value or b"")["metadata"]["uid"] for each in events})
    assert count == len(events)
    reference = driver(raw=3)
    _fill(reference, seed, 3)
    reference.run()
    reference.advance_wall_clock(END)
    reference.run()
    assert _finals(reference) == _finals(run)


def test_late_events_are_delivered_but_join_no_window() -> None:
    """An event 31 seconds behind its partition reaches the consumer and no count."""
    run = driver()
    for number in range(99):
        run.pipe(RAW, line(START + number, "eve"), timestamp=START + number)
    run.pipe(RAW, line(START + 40_000, "bob"), timestamp=START + 40_000)
    run.pipe(RAW, line(START + 100, "eve"), timestamp=START + 40_001)
    run.run()
    run.advance_wall_clock(END)
    run.run()
    assert _finals(run) == []
    assert len(run.read("northbound.acme.events")) == 101
    assert run.counts["matches_late"] > 0


def test_a_late_event_alerts_by_itself() -> None:
    """A host whose clock is behind, or a dead letter that is sent again: what a rule says of one
    event needs no window."""
    run = driver()
    run.pipe(RAW, line(START + 40_000, "bob"), timestamp=START + 40_000)
    late = line(START, "eve", "fs_tree_delete")
    run.pipe(RAW, late, timestamp=START + 40_001, key=b"\0replay:BBBBBBBBBBB-0-9")
    run.run()
    (alert,) = map(orjson.loads, _finals(run))
    assert alert["finding_info"]["title"] == "Directory tree deleted"
    assert alert["time"] == START
    assert [each["uid"] for each in alert["finding_info"]["related_events"]] == ["BBBBBBBBBBB-0-9"]
    assert run.counts["matches_late"] > 0  # the sequence that a tree delete ends


def test_tenants_get_alerts_of_their_own(seed: int) -> None:
    """The same matches give each tenant an alert with a uid of its own, and `other` no events."""
    run = driver()
    _fill(run, seed, 1)
    run.run()
    run.advance_wall_clock(END)
    run.run()
    ours, theirs = (
        {orjson.loads(value)["finding_info"]["uid"] for value in _finals(run, tenant)}
        for tenant in ("acme", "other")
    )
    assert len(ours) == len(theirs) == 2
    assert not ours & theirs
    assert run.read("northbound.other.events") == []


def test_a_dead_letter_sent_again_keeps_its_uid() -> None:
    """A consumer that saw the event before drops it by its uid."""
    run = driver()
    run.pipe(RAW, line(START, "eve"), timestamp=START, key=b"\0replay:BBBBBBBBBBB-0-9")
    run.run()
    (event,) = run.read("northbound.acme.events")
    assert orjson.loads(event.value or b"")["metadata"]["uid"] == "BBBBBBBBBBB-0-9"


def test_a_batch_of_sound_lines_is_worked_on_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Halving a batch is for bad rows; lines in the usual forms must never cause it."""
    import topology.isolate

    def refuse(row: int, error: Exception) -> None:
        raise AssertionError(f"row {row} was isolated") from error

    monkeypatch.setattr(topology.isolate, "_failure", refuse)
    run = driver()
    for number in range(300):
        body = line(START + number, f"u{number % 9}", path=f"/data/ünter, {number}/a.txt")
        run.pipe(RAW, b"not a line" if number == 5 else body, timestamp=START + number)
    run.run()
    assert len(run.read("northbound.acme.events")) == 299

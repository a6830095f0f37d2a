"""Raw records that hold several events, through the whole topology and in either placement."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import orjson
import polars as pl
import pytest

from schemas.codec import decode as read_avro
from tests.topology.deployment import NORMALIZED, RAW, SOURCE, START, plan, steps
from topology.enrich.dictionary import Dictionary
from topology.exposed import LARGEST, WHOLE
from topology.filters import NO_FILTERS, Filter, Filters
from topology.parse import several, syslog_array
from topology.testing import Record, TopologyTestDriver
from topology.uid import REPLAY

EVENTS, LETTERS = "northbound.acme.events", "dead-letters"
CUT = frozenset({"normalized"})
CLOUDWATCH = replace(SOURCE, format="qumulo-cloudwatch")
PLACEMENTS = pytest.mark.parametrize("expose", [frozenset(), CUT], ids=["fused", "cut"])


def _event(number: int, user: str = "bob", path: str = "/d/a.txt") -> dict[str, Any]:
    record = {"operation": "fs_delete", "user": user, "path_1": path, "result": "ok"}
    return {"id": str(number), "timestamp": START + number, "message": json.dumps(record)}


def _envelope(*events: object) -> bytes:
    return json.dumps({"logGroup": "/q", "logEvents": events}).encode() + b"\n"


class Breaking(Dictionary):
    """A dictionary that raises for one user."""

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        if (events["@user"] == "eve").any():
            raise ValueError("eve")
        return super().apply(events)


class BreakingMessage(Dictionary):
    """One that raises for a message."""

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        if (events["message"] == "eve").any():
            raise ValueError("eve")
        return events


BREAKING = Breaking("people", "user", "actor.user.name", [{"user": "bob", "department": "x"}])


def _driver(expose: frozenset[str], max_batch: int = 64) -> TopologyTestDriver:
    chosen = replace(plan(expose=expose, source=CLOUDWATCH), enrichers=(BREAKING,))
    return TopologyTestDriver(
        steps(chosen), partitions={RAW: 1, NORMALIZED: 1}, max_batch=max_batch
    )


def _uids(run: TopologyTestDriver) -> list[str]:
    return [orjson.loads(each.value or b"")["metadata"]["uid"] for each in run.read(EVENTS)]


def _letters(records: list[Record]) -> Iterator[dict[str, Any]]:
    return (read_avro(each.value or b"")[1] for each in records)


@PLACEMENTS
@pytest.mark.parametrize("max_batch", [1, 64])
def test_each_event_has_its_own_outcome(expose: frozenset[str], max_batch: int):
    """Events, and dead letters of what fails in parse and later, with their own bytes and uids."""
    run = _driver(expose, max_batch)
    bad, eve = {"id": "x", "message": "no JSON"}, _event(2, "eve")
    run.pipe(RAW, _envelope(_event(0), bad, eve, _event(3)), timestamp=START + 9, key=b"k")
    run.pipe(RAW, _envelope(_event(4)), timestamp=START + 9)
    run.pipe(RAW, b"broken", timestamp=START + 9)
    run.run()
    stem = "AAAAAAAAAAA-0"
    assert _uids(run) == [f"{stem}-0", f"{stem}-0-3", f"{stem}-1"]
    raws = [orjson.loads(each.value or b"")["raw_data"] for each in run.read(EVENTS)]
    assert [f"{raw}\n".encode() for raw in raws] == [
        _envelope(_event(number)) for number in (0, 3, 4)
    ]
    letters = {letter["uid"]: letter for letter in _letters(run.read(LETTERS))}
    assert letters.keys() == {f"{stem}-0-1", f"{stem}-0-2", f"{stem}-2"}
    assert letters[f"{stem}-0-1"]["raw"] == _envelope(bad)
    assert letters[f"{stem}-0-1"]["stage"] == "parse"
    assert letters[f"{stem}-0-2"]["raw"] == _envelope(eve)
    assert letters[f"{stem}-0-2"]["stage"] == "enrich"
    assert {letter["offset"] for letter in letters.values()} == {0, 2}
    assert letters[f"{stem}-0-2"]["key"] == b"k"
    counts = run.counts
    assert counts["records"] + counts["several"] == counts["events"] + counts["dead_letters"] == 6


@PLACEMENTS
def test_a_dead_letter_that_is_sent_again_gives_its_event_alone(expose: frozenset[str]):
    """Under the uid that it would have had: none of its neighbours is there twice."""
    run = _driver(expose)
    run.pipe(RAW, _envelope(_event(0), _event(1, "eve"), _event(2)), timestamp=START + 9)
    run.run()
    (letter,) = _letters(run.read(LETTERS))
    again = letter["raw"].replace(b"eve", b"bob")  # as if what broke on it were mended
    run.pipe(RAW, again, timestamp=START + 10, key=REPLAY + letter["uid"].encode())
    run.run()
    stem = "AAAAAAAAAAA-0-0"
    assert sorted(_uids(run)) == [stem, f"{stem}-1", f"{stem}-2"]


@PLACEMENTS
def test_an_event_too_large_for_a_record_goes_by_itself(expose: frozenset[str]):
    """The topic between takes its part of the envelope, not all of it for each event; no tenant's
    topic takes the event."""
    run = _driver(expose)
    long = "/" + "\x01" * 300_000
    users = ("bob", "bob", "eve")
    events = [_event(number, user, long) for number, user in enumerate(users)]
    run.pipe(RAW, _envelope(*events), timestamp=START + 9)
    run.run()
    letters = {letter["uid"]: letter["raw"] for letter in _letters(run.read(LETTERS))}
    stem = "AAAAAAAAAAA-0-0"
    uids = (stem, f"{stem}-1", f"{stem}-2")
    assert letters == {uid: _envelope(each) for uid, each in zip(uids, events, strict=True)}
    values = [record.value or b"" for record in run.read(NORMALIZED)] if expose else []
    assert all(WHOLE.encode() in value and len(value) < LARGEST * 4 / 3 for value in values)


@PLACEMENTS
@pytest.mark.parametrize("max_batch", [1, 64])
def test_arrays_behind_a_syslog_header(expose: frozenset[str], max_batch: int):
    """Each element has one outcome under a uid of its own; a dead letter that is sent again keeps
    uid, bytes and reason, or becomes the event it could not be."""
    chosen = plan(expose=expose, source=replace(SOURCE, format="json"))
    breaking = replace(chosen, enrichers=(BreakingMessage("people", "user", "message", []),))
    parts = {RAW: 1, NORMALIZED: 1}
    run = TopologyTestDriver(steps(breaking), partitions=parts, max_batch=max_batch)
    header = b"<14>1 2026-01-27T14:12:23Z n-1 app - - - "
    array = b'[{"message":"a"}, 7,{"message":"eve"} ,{"message":"b"}]'
    for record in (array, b"[]", b'[{"message":"a"},{"mess', b'{"message":"c"}'):
        run.pipe(RAW, header + record + b"\n", timestamp=START + 9, key=b"k")
    run.run()
    stem = "AAAAAAAAAAA-0"
    assert _uids(run) == [f"{stem}-0", f"{stem}-0-3", f"{stem}-3"]
    events = [orjson.loads(each.value or b"") for each in run.read(EVENTS)]
    assert [event["message"] for event in events] == ["a", "b", "c"]
    assert events[1]["raw_data"] == (header + b'{"message":"b"}').decode()
    letters = {letter["uid"]: letter for letter in _letters(run.read(LETTERS))}
    assert {uid: (letter["stage"], letter["raw"]) for uid, letter in letters.items()} == {
        f"{stem}-0-1": ("parse", header + b"[7]\n"),
        f"{stem}-0-2": ("enrich", header + b'{"message":"eve"}\n'),
        f"{stem}-1": ("parse", header + b"[]\n"),
        f"{stem}-2": ("parse", header + b'[{"message":"a"},{"mess\n'),
    }
    counts = run.counts
    assert counts["records"] + counts["several"] == counts["events"] + counts["dead_letters"] == 7
    again = TopologyTestDriver(steps(chosen), partitions=parts, max_batch=max_batch)
    for uid, letter in letters.items():
        again.pipe(RAW, letter["raw"], timestamp=START + 10, key=REPLAY + uid.encode())
    again.run()
    assert _uids(again) == [f"{stem}-0-2"]
    refused = {letter["uid"]: letter["raw"] for letter in _letters(again.read(LETTERS))}
    assert refused == {
        uid: letter["raw"] for uid, letter in letters.items() if uid != f"{stem}-0-2"
    }


def test_placements_agree_on_arrays_of_objects():
    """Events, dead letters of a filter that breaks, and bytes with the end of the record."""

    class Broken(Filters):
        def apply(self, events: pl.DataFrame) -> tuple[pl.DataFrame, Counter[str]]:
            if events["raw_data"].str.contains("eve").any():
                raise ValueError("eve")
            return super().apply(events)

    found = []
    filters = Broken([Filter("none", keep=False, detection={"it": {"message": "none"}})])
    for expose in (frozenset[str](), CUT):
        for enrichers in ((), (BreakingMessage("people", "user", "message", []),)):
            source = replace(
                SOURCE, format="json", filters=filters if not enrichers else NO_FILTERS
            )
            chosen = replace(plan(expose=expose, source=source), enrichers=enrichers)
            run = TopologyTestDriver(steps(chosen), partitions={RAW: 1, NORMALIZED: 1})
            raw = b'[{"message": "a"}, {"message": "eve"},{"message":"b"}]\r\n'
            run.pipe(RAW, raw, timestamp=START + 9, key=b"k")
            run.run()
            letters = list(_letters(run.read(LETTERS)))
            assert [letter["raw"] for letter in letters] == [b'{"message": "eve"}\r\n']
            assert [letter["uid"] for letter in letters] == ["AAAAAAAAAAA-0-0-1"]
            found.append(([each.value for each in run.read(EVENTS)], letters))
    assert found[0] == found[2]
    assert found[1] == found[3]


@PLACEMENTS
def test_filtered_events_of_a_record_are_counted(expose: frozenset[str]):
    """So that records and what there are more of events equal all outcomes."""
    filters = Filters([Filter("bob", keep=False, detection={"it": {"actor.user.name": "bob"}})])
    chosen = plan(expose=expose, source=replace(CLOUDWATCH, filters=filters))
    run = TopologyTestDriver(steps(chosen), partitions={RAW: 1, NORMALIZED: 1})
    run.pipe(RAW, _envelope(_event(0), _event(1, "eve"), _event(2), 3), timestamp=START + 9)
    run.run()
    counts = run.counts
    assert (counts["events"], counts["filtered"], counts["dead_letters"]) == (1, 2, 1)
    assert counts["records"] + counts["several"] == 4


def test_a_record_that_breaks_what_takes_it_apart_is_one_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
):
    """As in every stage: the worker goes on, and the others of the batch pass."""

    def split(record: bytes) -> list[bytes] | None:
        if b"eve" in record:
            raise TypeError("eve")
        return several.split_array(record)

    broken = replace(syslog_array.SPLITTER, split=split)
    monkeypatch.setattr("topology.formats.splitter_of", lambda _: broken)
    run = TopologyTestDriver(
        steps(plan(source=replace(SOURCE, format="json"))), partitions={RAW: 1}
    )
    for record in (b'[{"a":1}]', b'[{"a":"eve"}]', b'{"a":2}'):
        run.pipe(RAW, record, timestamp=START + 9)
    run.run()
    assert _uids(run) == ["AAAAAAAAAAA-0-0", "AAAAAAAAAAA-0-2"]
    (letter,) = _letters(run.read(LETTERS))
    assert (letter["stage"], letter["reason"]) == ("parse", "TypeError: eve")
    assert letter["raw"] == b'[{"a":"eve"}]'

"""`expose: [normalized]`: two agents and a topic between them give what one agent gives."""

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode as read_avro
from tests.topology.deployment import NORMALIZED, RAW, START, driver, line, plan, steps
from topology import exposed, formats, normalized
from topology.dimension import SMALL
from topology.enrich.dictionary import Dictionary
from topology.normalization import NormalizeSubTopology
from topology.normalize import qumulo
from topology.records import Position
from topology.testing import Record, TopologyTestDriver

EXPOSE = frozenset({"normalized"})
END = START + 3_600_000
BROKEN = b"\xffno line"
EVENTS, LETTERS = "northbound.acme.events", "dead-letters"


def _finals(run: TopologyTestDriver, tenant: str = "acme") -> list[bytes]:
    values = [record.value or b"" for record in run.read(f"northbound.{tenant}.alerts")]
    return sorted(value for value in values if orjson.loads(value)["unmapped"]["state"] == "final")


def _outcome(run: TopologyTestDriver) -> dict[str, Any]:
    """Everything that a placement may not change."""
    return {
        "events": Counter((each.key, each.value) for each in run.read(EVENTS)),
        "dead letters": Counter((each.key, each.value) for each in run.read(LETTERS)),
        "alerts": _finals(run),
        "other alerts": _finals(run, "other"),
        "counts": {
            name: count
            for name in ("records", "ticks", "events", "dead_letters", "matches", "matches_late")
            if (count := run.counts[name])
        },
        "watermarks": _watermarks(run),
    }


def _watermarks(run: TopologyTestDriver) -> dict[tuple[str, int], int]:
    """The last word that `matches` heard of each raw partition."""
    found: dict[tuple[str, int], int] = {}
    for each in run.read("matches"):
        name, content = read_avro(each.value or b"")
        if name == "Watermark":
            at = content["topic"], content["partition"]
            found[at] = max(content["watermark"], found.get(at, content["watermark"]))
    return found


def _fill(run: TopologyTestDriver, records: list[tuple[int, Record]]) -> None:
    for partition, record in records:
        run.pipe(RAW, record.value, timestamp=record.timestamp, key=record.key, partition=partition)


def _finish(run: TopologyTestDriver) -> dict[str, Any]:
    run.run()
    run.advance_wall_clock(END)
    run.run()
    return _outcome(run)


def _stream(seed: int, count: int, partitions: int = 3) -> list[tuple[int, Record]]:
    """Lines of every kind: late, in the future, with line ends, not UTF-8, broken, ticks."""
    chooser = random.Random(seed)
    records = []
    for number in range(count):
        now = START + number * 20
        time = now + chooser.choice([-40_000, -500, -3, 0, 0, 90_000])
        path = chooser.choice(["/data/a.txt", "/d/ü\t", "//", "C:\\\\x\\\\y", "/日本 \u2028/b.c.d"])
        raw: bytes | None = line(time, chooser.choice(["eve", "eve", "AD\\\\bob"]), path=path)
        assert raw is not None
        match chooser.randrange(20):
            case 0:
                raw = BROKEN
            case 1:
                raw += b"\r\n"
            case 2:
                raw = raw.replace(b"/d", b"/\xff\xfe") + b"\n"
            case 3:
                raw = None
            case 4:
                raw = line(time, "mallory", operation="fs_rename").replace(b',""', b',"/to/b"')
        key = chooser.choice([None, b"10.1.1.1", b"\0replay:BBBBBBBBBBB-0-%d" % number])
        records.append((chooser.randrange(partitions), Record(key, raw, now)))
    return records


def test_placements_give_equal_results(seed: int) -> None:
    """Events, keys, uids, dead letters, finals, lateness and watermarks do not show the cut."""
    records = _stream(seed, 3_000)
    fused, cut = driver(raw=3, matches=2), driver(raw=3, matches=2, expose=EXPOSE)
    for run in (fused, cut):
        _fill(run, records)
    expected = _finish(fused)
    assert expected == _finish(cut)
    assert len(expected["alerts"]) >= 1
    assert expected["counts"]["matches_late"] > 100
    assert expected["counts"]["dead_letters"] > 50


@settings(max_examples=10)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 3), st.integers(1, 5), st.data())
def test_cuts_workers_crashes_and_restarts_change_nothing(
    stream: int, max_batch: int, workers: int, commit_every: int, data: st.DataObject
) -> None:
    """However both agents are cut, stopped and killed, each record still has its one outcome."""
    records = _stream(stream, 150)
    fused = driver(raw=3)
    _fill(fused, records)
    expected = _finish(fused)
    cut = driver(
        raw=3, workers=workers, max_batch=max_batch, commit_every=commit_every, expose=EXPOSE
    )
    _fill(cut, records)
    for fault in data.draw(st.lists(st.sampled_from(["step", "crash", "restart"]), max_size=8)):
        if fault == "step":
            cut.step_once()
        elif fault == "crash":
            cut.crash()
        else:
            cut.restart(workers=data.draw(st.integers(1, 3)))
    found = _finish(cut)
    del expected["counts"], found["counts"]  # what a crash undid was counted
    assert expected == found


def test_a_replay_gives_the_same_bytes(seed: int) -> None:
    """From the start, with other workers and cuts: the same members in the topic between, too."""
    cut = driver(raw=3, matches=2, max_batch=90, expose=EXPOSE)
    _fill(cut, _stream(seed, 1_000))
    first, between = _finish(cut), [_event(each) for each in cut.read(NORMALIZED)]
    cut.replay(workers=2, max_batch=1_000)
    cut.run()
    assert first == _outcome(cut)
    assert between == [_event(each) for each in cut.read(NORMALIZED)]


def test_a_running_deployment_is_cut_and_fused_again(seed: int) -> None:
    """The agents of the other placement go on where the last ones stopped, lateness included."""
    records = _stream(seed, 1_500)
    fused = driver(raw=3)
    _fill(fused, records)
    expected = _finish(fused)
    run = driver(raw=3, max_batch=50)
    for start, expose in ((0, frozenset()), (500, EXPOSE), (1_000, frozenset())):
        run.run()
        run.place(steps(plan(expose=expose)))
        _fill(run, records[start : start + 500])
        run.step_once()
    assert expected == _finish(run)
    assert run.read(NORMALIZED)


def _event(record: Record) -> dict[str, Any]:
    found = orjson.loads(record.value or b"")
    del found["form"]
    return dict(found)


def test_what_a_consumer_of_the_topic_sees() -> None:
    """Plain JSON, an object an event under the raw record's key, in its partition; ticks too."""
    cut = driver(raw=2, expose=EXPOSE)
    cut.pipe(RAW, line(START, "eve"), timestamp=START + 7, key=b"10.1.1.1", partition=1)
    cut.pipe(RAW, BROKEN, timestamp=START + 8, partition=1)
    cut.pipe(RAW, None, timestamp=START + 9, key=b"tick", partition=1)
    cut.run()
    event, tick = cut.read(NORMALIZED)
    assert event.key == b"10.1.1.1"
    found = _event(event)
    assert found["version"] == 1
    assert found["class_uid"] == 6006
    assert found["file.path"] == found["@path"] == "/data/a.txt"
    assert found["actor.user.name"] == found["@user"] == "eve"
    assert found["metadata.uid"] == "AAAAAAAAAAA-1-0"
    assert found["raw_data"].encode() == line(START, "eve")
    assert not [name for name, value in found.items() if value is None]
    assert "@raw.stream_time" not in found
    assert _event(tick) == {
        "version": 1,
        "@raw.partition": 1,
        "@raw.offset": 2,
        "@raw.timestamp": START + 9,
        "@raw.stream_time": START,
    }


def test_an_event_larger_than_a_record_travels_as_its_line() -> None:
    """Text that JSON makes six times longer has the outcome that it has without the topic."""
    long = "\x01" * 300_000
    kinds = (long, long * 2 + "é", "/data/" + long + ".txt")
    fused, cut = driver(), driver(expose=EXPOSE)
    for run in (fused, cut):
        for number, path in enumerate(kinds):
            raw = line(START + number, "eve", path=path) + b"\n" * number
            run.pipe(RAW, raw, timestamp=START + number, key=b"k%d" % number)
        run.pipe(
            RAW, line(START, "eve").replace(b"/data", b"\xff" + b"\1" * 700_000), timestamp=START
        )
    expected = _finish(fused)
    assert expected == _finish(cut)
    assert expected["counts"]["dead_letters"] > 0
    values = [record.value or b"" for record in cut.read(NORMALIZED)]
    assert max(map(len, values)) < 4_194_304
    assert any(exposed.WHOLE.encode() in value for value in values)


def _twice(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:
    """Two events of each record of eve's, the second one a minute later."""
    events = qumulo.normalize(fields, options).with_columns(sub=pl.lit(0, dtype=pl.UInt16))
    later = pl.col("time") + 60_000
    more = events.filter(pl.col("@user") == "eve").with_columns(
        sub=pl.lit(1, dtype=pl.UInt16), time=later
    )
    return pl.concat([events, more]).sort("row", "sub")


def test_several_events_of_one_record(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """They keep their uids, and none makes another of the same record late, wherever it is cut."""
    chain = formats.CHAINS["qumulo"]
    several = replace(chain, normalizer=replace(chain.normalizer, normalize=_twice))
    for registry in (formats.CHAINS, formats.SOURCE_FORMATS):
        monkeypatch.setitem(registry, "qumulo", several)  # type: ignore[arg-type]
    records = _stream(seed, 600)
    fused = driver(raw=3)
    _fill(fused, records)
    expected = _finish(fused)
    assert any(key.endswith("-1") for key in _uids(expected))
    for max_batch in (1, 7, 1_000):
        cut = driver(raw=3, max_batch=max_batch, expose=EXPOSE)
        _fill(cut, records)
        assert expected == _finish(cut)


def _uids(outcome: dict[str, Any]) -> list[str]:
    return [orjson.loads(value)["metadata"]["uid"] for _, value in outcome["events"]]


class Breaking(Dictionary):
    """A dictionary that raises for one user."""

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        if (events["@user"] == "eve").any():
            raise ValueError("eve")
        return super().apply(events)


def test_a_later_stage_that_breaks_gives_the_same_dead_letters(seed: int) -> None:
    """The raw bytes, key, offset, time stamp and uid are those of the raw record in both."""
    rows = [{"user": "bob", "department": "x"}]
    broken = Breaking("people", "user", "actor.user.name", rows)
    found = []
    for expose in (frozenset[str](), EXPOSE):
        chosen = replace(plan(expose=expose), enrichers=(broken,))
        run = TopologyTestDriver(steps(chosen), partitions={RAW: 3, NORMALIZED: 3}, max_batch=64)
        _fill(run, _stream(seed, 400))
        found.append(_finish(run))
    assert found[0] == found[1]
    letters = [read_avro(value or b"")[1] for _, value in found[0]["dead letters"]]
    enrich = [each for each in letters if each["stage"] == "enrich"]
    assert len(enrich) > 100
    assert any(each["raw"].endswith(b"\r\n") for each in enrich)
    assert any(b"\xff\xfe" in each["raw"] for each in enrich)


def test_a_wrong_record_is_a_dead_letter_and_no_others() -> None:
    """What someone else writes into the topic costs neither the worker nor the events around it."""
    cut = driver(expose=EXPOSE)
    cut.pipe(RAW, line(START, "eve"), timestamp=START)
    for value in (
        b"\xff",
        b"{}",
        b'{"version":2}',
        b'{"version":1,"form":"00000000"\n,"a":1\n}',
        None,
    ):
        cut.pipe(NORMALIZED, value, timestamp=START)
    cut.run()
    assert len(cut.read(EVENTS)) == 1
    letters = [read_avro(each.value or b"")[1] for each in cut.read(LETTERS)]
    assert [each["raw"] for each in letters] == [
        b"\xff",
        b"{}",
        b'{"version":2}',
        b'{"version":1,"form":"00000000"\n,"a":1\n}',
    ]
    assert {(each["stage"], each["component"]) for each in letters} == {("events", "normalized")}
    assert {each["topic"] for each in letters} == {NORMALIZED}


TEXTS = st.one_of(
    st.none(), st.text(max_size=12), st.sampled_from(['"', "\\", "\n", "null", '\\",'])
)
COLUMNS: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
    "file.path": lambda: TEXTS,
    'odd "name"\\': lambda: TEXTS,
    "unmapped.before:json": lambda: st.one_of(st.none(), st.just('{"a": [1.0, null]}')),
    "@share": lambda: st.one_of(st.none(), st.booleans()),
    "file.size": lambda: st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
    "score": lambda: st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    "metadata.profiles": lambda: st.one_of(st.none(), st.lists(st.text(max_size=3), max_size=3)),
    "class_uid": lambda: st.sampled_from([None, 6006, 3002]),
    "status": lambda: TEXTS,
}
TYPES: dict[str, Any] = {
    "@share": pl.Boolean,
    "file.size": pl.Int64,
    "score": pl.Float64,
    "metadata.profiles": pl.List(pl.String),
    "class_uid": pl.Int64,
}


@given(st.data(), st.integers(1, 9))
def test_every_column_comes_back_as_it_was(data: st.DataObject, rows: int) -> None:
    """Values, nulls and types; what is spliced in by code as well; and it is JSON."""
    schema = {name: TYPES.get(name, pl.String) for name in COLUMNS}
    frame = pl.DataFrame(
        {name: [data.draw(draw()) for _ in range(rows)] for name, draw in COLUMNS.items()},
        schema=schema,
    )
    if data.draw(st.booleans()):
        shared = frame.select(pl.struct("class_uid", "status").alias("s")).to_series()
        codes = shared.rank("dense").cast(pl.UInt32) if shared.null_count() == 0 else None
        if codes is not None:
            frame = frame.with_columns((codes * 3).alias("@class"))
    numbers = pl.Series(range(5, 5 + rows), dtype=pl.UInt32)
    frame = frame.with_columns(row=numbers, time=numbers.cast(pl.Int64) * 1_000)
    values = normalized.encode(frame)
    for value, row in zip(
        values, frame.drop("row", "@class", strict=False).rows(named=True), strict=True
    ):
        found = orjson.loads(value)
        assert {name: item for name, item in row.items() if item is not None} == {
            name: item for name, item in found.items() if name not in {"version", "form", "@class"}
        }
    many = SMALL // rows + 1 if data.draw(st.booleans()) else 1
    written = pl.concat([pl.DataFrame([frame["row"], values.alias("value")])] * many)
    (back,) = normalized.decode(written)
    assert back.height == rows * many
    back = back.tail(rows)
    for column in frame.drop("@class", strict=False):
        if column.null_count() < rows:
            assert back[column.name].equals(column, null_equal=True), column.name
            assert back.schema[column.name] == column.dtype
        else:
            assert column.name not in back.columns
    if "@class" in frame.columns and many > 1:
        pairs = {tuple(pair) for pair in zip(frame["@class"], back["@class"], strict=True)}
        assert len(pairs) >= frame["@class"].n_unique()


@pytest.mark.parametrize("expose", [frozenset(), EXPOSE], ids=["fused", "cut"])
def test_a_partition_of_broken_lines_holds_no_window_open(expose: frozenset[str]) -> None:
    """A sender of another format, for which nobody ticks as it is not quiet, must not keep alerts
    on everybody else from becoming final."""
    run = driver(raw=2, expose=expose, max_batch=7)
    for number in range(100):
        run.pipe(RAW, line(START + number, "eve"), timestamp=START + number, partition=0)
    for second in range(600):
        now = START + 1_000 * second
        run.pipe(RAW, BROKEN, timestamp=now, partition=1)
        run.pipe(RAW, line(now, "bob", "fs_read_data"), timestamp=now, partition=0)
    run.run()
    assert len(_finals(run)) == 1
    run.restart()
    assert len(_finals(run)) == 1


def test_normalize_keeps_event_time_in_the_offset() -> None:
    """A take-over in either placement judges lateness by what the other one committed."""
    for expose in (frozenset(), EXPOSE):
        (first, *_) = steps(plan(expose=expose))
        sub_topology = first.make()
        sub_topology.assign({(RAW, 0): Position(5, "t1:77")}, {})
        assert sub_topology.before_commit().metadata == {(RAW, 0): "t1:77"}
    assert isinstance(sub_topology, NormalizeSubTopology)

"""Records that hold several events: each event by itself, and no byte of any lost."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands.parse import event_texts
from topology.formats import decode, read
from topology.parse.parsed import MalformedError
from topology.parse.several import LARGEST, MOST, SPLITTER, split, split_array

RECORD = {"operation": "fs_open", "user": "a", "path_1": "/é"}


def _event(number: int, message: object = None) -> dict[str, Any]:
    text = json.dumps(RECORD) if message is None else message
    return {"id": str(number), "timestamp": 1_769_523_143_000 + number, "message": text}


def _envelope(*events: object) -> bytes:
    around = {"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "/qumulo/c"}
    return json.dumps({**around, "logEvents": events, "logStream": 'a "b"'}).encode()


def _raw(records: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(records)), "raw": records, "received": [7] * len(records)},
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )


def test_each_part_is_the_envelope_with_one_event():
    """As if the forwarder had sent one record for each."""
    parts = split(_envelope(*(_event(number) for number in range(3))))
    assert parts == [_envelope(_event(number)) for number in range(3)]


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"[]",
        b'"logEvents"',
        b'{"logEvents": []}',
        _envelope(),
        _envelope(_event(1)),
        b'{"logEvents": [1, 2',
        b'{"logEvents": [1, 2]',
        b'{"logEvents": [1, 2,]}',
        b'{"logEvents": [1 2]}',
        b'{"logEvents": [1, 2]} more',
        b'{"logEvents": [1, 2], "logEvents": [3, 4]}',
        b'{"logEvents": {"a": [1, 2]}}',
        b'{"a": {"logEvents": [1, 2]}}',
        b"{logEvents: [1, 2]}",
        b'{"logEvents": ' + b"[" * 100_000,
        b'{"a": ' + b'{"a":' * 100_000,
        b'{"logEvents": [1, 2], }',
    ],
)
def test_what_has_no_several_events_stays_whole(record: bytes):
    """The parser reads it, or says what is wrong."""
    assert split(record) is None


@pytest.mark.parametrize("repeats", [1, 60])
def test_what_cannot_be_parsed_fails_alone(repeats: int):
    """With its number and its reason; the others are events, in their order, with their times."""
    mixed = _envelope(_event(0), _event(1, "no JSON"), _event(2), _event(3, "{}"))
    records = [mixed, _envelope(_event(4)), b"broken", mixed + b"\r\n"] * repeats
    decoded = decode("qumulo-cloudwatch", _raw(records), {})
    assert decoded.events.select("row", "sub", "time").rows() == [
        (row + 4 * number, sub, 1_769_523_143_000 + time)
        for number in range(repeats)
        for row, sub, time in ((0, 0, 0), (0, 2, 2), (1, 0, 4), (3, 0, 0), (3, 2, 2))
    ]
    failures = decoded.failures.select("row", "sub", "stage", "component").rows()
    assert failures == [
        (row + 4 * number, sub, "parse", "qumulo-cloudwatch")
        for number in range(repeats)
        for row, sub in ((0, 1), (0, 3), (2, 0), (3, 1), (3, 3))
    ]
    reasons = decoded.failures["reason"].to_list()
    assert reasons[0].startswith("not JSON")
    assert reasons[1] == "JSON without a Qumulo `operation`"
    texts = decoded.events["raw_data"].to_list()
    assert texts[:2] == [_envelope(_event(number)).decode() for number in (0, 2)]


def test_parse_prints_an_object_for_each_event():
    """And what fails with its own bytes."""
    lines = [_envelope(_event(0), _event(1, "no JSON")), b'{"operation": "fs_open"}']
    first, second, third = map(json.loads, event_texts(lines, "qumulo-cloudwatch", {}, 7))
    assert first["raw_data"] == _envelope(_event(0)).decode()
    assert second["raw"] == _envelope(_event(1, "no JSON")).decode()
    assert second["error"]["reason"].startswith("not JSON")
    assert third["time"] == 7


def test_fields_come_by_event_too():
    """With the row of their record and their number."""
    found = read("qumulo-cloudwatch", _raw([_envelope(_event(0), _event(1))]), {})
    (fields,) = found.fields
    assert fields.frame.select("row", "sub", "operation").rows() == [
        (0, 0, "fs_open"),
        (0, 1, "fs_open"),
    ]


def test_bytes_that_are_not_utf8_are_kept_by_the_event_that_has_them():
    """The others are as they are."""
    record = _envelope(_event(0, {"operation": "fs_open", "path_1": "/XX"}), _event(1))
    record = record.replace(b"/XX", b"/\xff\xfe")
    events = decode("qumulo-cloudwatch", _raw([record]), {}).events
    kept = events["unmapped.raw_base64"].to_list()
    assert (kept[0] is None, kept[1] is None) == (False, True)


def test_what_is_around_the_events_cannot_be_multiplied_without_end():
    """A record that would become a thousand times larger is refused as a whole."""
    record = json.dumps({"a": "x" * 100_000, "logEvents": [{}] * (LARGEST // 100_000)}).encode()
    with pytest.raises(MalformedError, match="log events with"):
        split(record)
    decoded = decode("qumulo-cloudwatch", _raw([record, _envelope(_event(0))]), {})
    assert decoded.failures.select("row", "sub", "stage").rows() == [(0, None, "parse")]
    assert decoded.events.select("row", "sub").rows() == [(1, 0)]


PIECES = st.sampled_from(
    ['{"logEvents":', '"logEvents"', "[", "]", "{", "}", ",", ":", '"a"', '"}"', '"\\\\"', "1", " "]
)


def _is_one(record: bytes) -> bool:
    assert SPLITTER.single is not None
    return bool(pl.DataFrame({"raw": [record]}).select(SPLITTER.single).item())


@given(text=st.lists(PIECES, max_size=14).map("".join))
def test_what_is_taken_for_one_event_is_one(text: str):
    """Without a look at it: no record with several is among them."""
    for record in (text, f'{{"logEvents":[{text}]}}', f'{{"logEvents":[{{"a":1}}{text}]}}'):
        if _is_one(record.encode()):
            assert split(record.encode()) is None


def test_one_event_is_known_by_its_form():
    """As forwarders write it, with text that looks like several inside."""
    for message in (None, '{"a": [{}, {}]}', '}], "logEvents": [{}, {}'):
        assert _is_one(_envelope(_event(0, message)))
    assert not _is_one(_envelope(_event(0), _event(1)))
    assert not _is_one(_envelope(_event(0, {"operation": "fs_open"})))


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4), st.floats()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
BLANKS = st.text(alphabet=" \t", max_size=2)


@given(
    events=st.lists(JSON, min_size=2, max_size=6),
    before=st.dictionaries(st.text(max_size=3), JSON, max_size=2),
    blanks=st.lists(BLANKS, min_size=6, max_size=6),
)
def test_every_byte_is_in_a_part(events: list[Any], before: dict[str, Any], blanks: list[str]):
    """What is around in each, each event in its own, only the commas between them in none."""

    def dumps(value: object) -> str:
        return json.dumps(value, ensure_ascii=False)

    around = "".join(f"{dumps(name)}: {dumps(value)}, " for name, value in before.items())
    texts = [dumps(event) for event in events]
    begin = "{" + around + f'{blanks[0]}"logEvents"{blanks[1]}:{blanks[2]}[{blanks[3]}'
    end = f'{blanks[4]}], "z": 1}}{blanks[5]}\n'
    record = (begin + f"{blanks[3]},{blanks[4]}".join(texts) + end).encode()
    assert split(record) == [(begin + text + end).encode() for text in texts]


@given(values=st.lists(JSON, min_size=1, max_size=6), blanks=st.lists(BLANKS, min_size=3))
def test_an_array_of_objects_gives_each(values: list[Any], blanks: list[str]):
    """As it is written, with the end of the record; an array of anything else stays one value."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    record = f"[{blanks[0]}{f'{blanks[1]},{blanks[2]}'.join(texts)}{blanks[1]}]\r\n".encode()
    objects = all(isinstance(value, dict) for value in values)
    assert split_array(record) == ([f"{text}\r\n".encode() for text in texts] if objects else None)


def test_objects_of_an_array_are_events_of_their_own():
    """In json and auto, with their own times; what is no array of objects is one event."""
    records = [
        b'[{"time": 1769523143, "a": 1}, {"time": 1769523144}]\n',
        b'[{"only": 1}]',
        b"[]",
        b'[1, {"a": 2}]',
        b'{"a": [{"b": 1}, {"b": 2}]}',
        b'[{"a": 1}, {"a": }]',
    ]
    for name in ("json", "auto"):
        decoded = decode(name, _raw(records), {})
        texts = {
            (row, sub): text
            for row, sub, text in decoded.events.select("row", "sub", "raw_data").rows()
        }
        assert texts[0, 0] == '{"time": 1769523143, "a": 1}'
        assert texts[0, 1] == '{"time": 1769523144}'
        assert texts[1, 0] == '{"only": 1}'
        assert [texts[row, 0].encode() for row in (2, 3, 4)] == records[2:5]
        assert decoded.events["time"].to_list()[:2] == [1_769_523_143_000, 1_769_523_144_000]
        failed = decoded.failures.select("row", "sub").rows()
        assert failed == ([(5, 0)] if name == "json" else [])


def test_a_record_cannot_hold_events_without_end():
    """A record of three bytes an event would become a thousand times larger."""
    record = b"[" + b"{}," * MOST + b"{}]"
    with pytest.raises(MalformedError, match="events in one record"):
        split_array(record)
    assert len(split_array(record[:-4] + b"]") or ()) == MOST


@given(data=st.binary(max_size=40))
def test_no_record_makes_it_raise(data: bytes):
    """Whatever the bytes; two events are the least of an envelope."""
    for record in (data, b"[" + data, b"[{}," + data + b"]"):
        split_array(record)
    for record in (data, b'{"logEvents": [' + data, b'{"logEvents": [1,' + data + b"]}"):
        parts = split(record)
        assert parts is None or len(parts) >= 2

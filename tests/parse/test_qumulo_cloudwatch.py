"""Qumulo records from CloudWatch: every shape gives the record, and comparison with a reference."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, frame, one
from topology.formats import decode
from topology.parse import qumulo_cloudwatch
from topology.parse.qumulo_cloudwatch import PARSER, RECORD

ENTRY = {
    "ip_address": "10.0.0.1",
    "user": "AD\\alice",
    "protocol": "smb2",
    "operation": "fs_rename",
    "result": "ok",
    "object_id": "140624751830626345080086044861",
    "path_1": '/a "b"',
    "path_2": "",
}
EVENT = {"timestamp": 1_769_523_143_123, "message": json.dumps(ENTRY)}
SHAPES = [
    EVENT,
    {"timestamp": 1_769_523_143_123, "message": ENTRY},
    {"messageType": "DATA_MESSAGE", "logGroup": "/qumulo/c", "logEvents": [{"id": "1", **EVENT}]},
]


@pytest.mark.parametrize("shape", [ENTRY, *SHAPES])
def test_shapes(shape: dict[str, Any]):
    """The record's values, empty ones as null, and the time from around it."""
    seen = one(PARSER, json.dumps(shape))
    assert {column: seen[column] for column in RECORD} == {
        column: ENTRY[name] or None for column, name in RECORD.items()
    }
    written = None if shape is ENTRY else "1769523143123"
    assert seen["@timestamp"] == written
    assert (seen["timestamp"] is None) == (written is None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        ("{}", "without a Qumulo `operation`"),
        ("[]", "no object"),
        ('{"timestamp": 1, "message": "text"}', "not JSON"),
        (json.dumps({"logEvents": [EVENT, EVENT]}), "several log events"),
    ],
)
def test_what_is_refused(text: str, reason: str):
    """The reason says why."""
    assert reason in one(PARSER, text)["error"]
    assert_same(PARSER, [text, *map(json.dumps, SHAPES)])


def test_events_are_those_of_the_qumulo_format():
    """The same record by syslog and by CloudWatch gives the same event, but for its raw text."""
    syslog = (
        '<14>1 2026-01-27T14:12:23.123Z - qumulo - - - 10.0.0.1,"AD\\alice",smb2,fs_rename,ok,'
        '140624751830626345080086044861,"/a ""b""",""'
    )

    def event(name: str, text: str) -> dict[str, Any]:
        texts = frame([text])
        raw = texts.select("row", "received", raw=texts["text"].cast(pl.Binary))
        decoded = decode(name, raw, {})
        assert decoded.failures.height == 0
        row = decoded.events.row(0, named=True)
        own = ("raw_data", "metadata.original_time")
        return {k: v for k, v in row.items() if v is not None and k not in own}

    assert event("qumulo", syslog) == event("qumulo-cloudwatch", json.dumps(EVENT))


VALUES = st.one_of(st.text(alphabet='a"\\é ', max_size=4), st.none(), st.integers())
RECORDS = st.dictionaries(st.sampled_from(sorted(RECORD.values())), VALUES, max_size=8)
TEXTS = st.one_of(
    RECORDS.map(json.dumps),
    st.builds(
        lambda record, stamp: json.dumps({"timestamp": stamp, "message": json.dumps(record)}),
        RECORDS,
        st.one_of(st.integers(), st.text(max_size=3), st.none(), st.floats(allow_nan=False)),
    ),
    st.text(alphabet='{}[]":,1a\\', max_size=12),
)


@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_columns_and_the_exact_path_agree(texts: list[str]):
    """Whatever is in the batch."""
    assert_same(PARSER, texts)


@given(record=RECORDS)
def test_every_value_of_a_record_is_in_its_column(record: dict[str, Any]):
    """Texts as they are, numbers as they are written."""
    seen = one(qumulo_cloudwatch.PARSER, json.dumps(record))
    expected = {
        column: (None if record.get(name) is None else str(record[name])) or None
        for column, name in RECORD.items()
    }
    if expected["operation"] is None:
        assert "error" in seen
    else:
        assert expected == {column: seen[column] for column in RECORD}

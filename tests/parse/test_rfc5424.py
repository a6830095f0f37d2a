"""RFC 5424 messages: the exact path by cases, and columns by comparison with it."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.parse import rfc5424
from topology.parse.parsed import Parsed, parse_rows


def _frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(texts)), "text": texts}, schema={"row": pl.UInt32, "text": pl.String}
    )


def _one(text: str) -> dict[str, Any]:
    parsed = rfc5424.parse(_frame([text]), {})
    assert parsed.failures.height == 0, parsed.failures["reason"][0]
    return parsed.fields.row(0, named=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<0>1 - - - - - -", {"pri": 0, "hostname": None, "timestamp": None, "msg": None}),
        ("<191>999 - - - - - -", {"facility": 23, "severity": 7, "version": 999}),
        ("<1>1 - h a p m - x", {"hostname": "h", "appname": "a", "procid": "p", "msgid": "m"}),
        ("<1>1 - ::1 - - - - x", {"hostname": "::1"}),
        ("<1>1 - - - - - - ", {"msg": None}),
        ("<1>1 - - - - - - -", {"msg": "-"}),
        ("<1>1 - - - - - -  padded", {"msg": "padded"}),
        ("<1>1 - - - - - - \ufeffbom", {"msg": "bom"}),
        ("<1>1 - - - - - - \ufeff", {"msg": None}),
        ("<1>1 - - - - - - two\nlines", {"msg": "two\nlines"}),
        ("<1>1 - - - - - [id]", {"sd:json": '{"id":{}}', "msg": None}),
        ("<1>1 - - - - - [id] m", {"sd:json": '{"id":{}}', "msg": "m"}),
        ('<1>1 - - - - - [a][b c=""][d] [m', {"sd:json": '{"a":{},"b":{"c":""},"d":{}}'}),
        ('<1>1 - - - - - [o ip="1" ip="2" ip="3"]', {"sd:json": '{"o":{"ip":["1","2","3"]}}'}),
        (r'<1>1 - - - - - [x y="\" \] \\ \n"]', {"sd:json": r'{"x":{"y":"\" ] \\ \\n"}}'}),
        ('<1>1 - - - - - [x y="two words] m', None),
        (
            "<1>1 2026-01-27T14:12:23.5-01:00 - - - - -",
            {"@timestamp": "2026-01-27T14:12:23.5-01:00"},
        ),
        ("", "expected <PRI>VERSION"),
        ("garbage", "expected <PRI>VERSION"),
        ("<192>1 - - - - - -", "over 191"),
        ("<01>1 - - - - - -", "expected <PRI>VERSION"),
        ("<1> - - - - - -", "expected <PRI>VERSION"),
        ("<1>1000 - - - - - -", "expected <PRI>VERSION"),
        ("<1>1 - - - - -", "expected 7 fields before the message, saw 6"),
        ("<1>1 2026-02-30T00:00:00Z - - - - -", "TIMESTAMP"),
        ("<1>1  - - - - - -", "TIMESTAMP"),
        ("<1>1 -  - - - - -", "empty or has control characters"),
        ("<1>1 - \nhost - - - -", "empty or has control characters"),
        ("<1>1 - - - - - X", "STRUCTURED-DATA"),
        ("<1>1 - - - - - []", "STRUCTURED-DATA"),
        ("<1>1 - - - - - [=]", "STRUCTURED-DATA"),
        ('<1>1 - - - - - [a b="c"', "STRUCTURED-DATA"),
        ('<1>1 - - - - - [a b="]"]', "STRUCTURED-DATA"),
        ('<1>1 - - - - - [a b= "c"]', "STRUCTURED-DATA"),
        ("<1>1 - - - - - [a b]", "STRUCTURED-DATA"),
        ("<1>1 - - - - - [a]x", "STRUCTURED-DATA"),
        ("215 <1>1 - - - - - -", "expected <PRI>VERSION"),
    ],
)
def test_cases(text: str, expected: dict[str, Any] | str | None):
    """What a message gives, or the reason why it gives nothing."""
    if isinstance(expected, dict):
        seen = _one(text)
        assert expected == {name: seen[name] for name in expected}
    else:
        failures = rfc5424.parse(_frame([text]), {}).failures
        assert failures.height == 1
        assert (expected or "STRUCTURED-DATA") in failures["reason"][0]


PIECES = st.sampled_from(
    [
        *("-", "", "<34>1", "<0>1", "<192>1", "<1>999", "<1>0", "1", "host", "a-b.c", "ümläut"),
        *("2026-01-27T14:12:23.9558Z", "2026-01-27T14:12:23+01:00", "2026-13-01T00:00:00Z"),
        *("[a]", '[a b="c"]', '[a b="c d"]', '[a b="\\]"][c]', '[a b="c', "[a b=c]", "]", '"'),
        *("\ufeff", "\ufeffx", "message", "two\nlines", "\x00", "\x7f", "\u00a0", "日本"),
    ]
)
LINES = st.one_of(
    st.lists(PIECES, max_size=12).map(" ".join),
    st.lists(PIECES, max_size=5).map(
        lambda tail: " ".join(["<14>1", "2026-01-27T14:12:23.5Z", "h", "a", "-", "-", *tail])
    ),
    st.text(max_size=40),
)


@given(st.lists(LINES, min_size=1, max_size=20))
def test_columns_agree_with_the_exact_path(lines: list[str]):
    """Whatever the lines, many at once give what each alone gives, in the same order."""
    frame = _frame(lines * (SMALL // len(lines) + 1))
    exact = parse_rows(frame, rfc5424.parse_line, rfc5424.SCHEMA)
    _assert_equal(exact, rfc5424.parse(frame, {}))


def _assert_equal(expected: Parsed, seen: Parsed) -> None:
    assert expected.fields.schema == seen.fields.schema
    assert expected.fields.rows() == seen.fields.rows()
    assert expected.failures.rows() == seen.failures.rows()


def test_structured_data_is_json():
    """The column can be decoded, and has the strings of the message."""
    row = _one('<1>1 - - - - - [ex@32473 k="é\\"日本" k="\x01"]')
    assert json.loads(row["sd:json"]) == {"ex@32473": {"k": ['é"日本', "\x01"]}}

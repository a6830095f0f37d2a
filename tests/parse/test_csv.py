"""Records of separated values: the exact path by cases, and columns by comparison with it."""

import csv as reference
import io
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import csv

OPTIONS: list[dict[str, str]] = [
    {},
    {"delimiter": ";"},
    {"delimiter": " "},
    {"delimiter": "]"},
    {"delimiter": "\t", "columns": "a,b"},
    {"columns": 'a,"b,c",a'},
    {"columns": "a"},
]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a", ["a"]),
        (",", ["", ""]),
        ("a,b,", ["a", "b", ""]),
        ('"a,b","c""d",""', ["a,b", 'c"d', ""]),
        ('""""', ['"']),
        ('"two\nlines",x', ["two\nlines", "x"]),
        ('a"b,c', ['a"b', "c"]),
        ('"a"b,c', ["ab", "c"]),
        ('"open,x', ["open,x"]),
        (' "a",b', [' "a"', "b"]),
        ("é,→", ["é", "→"]),
    ],
)
def test_lines(text: str, columns: list[str]):
    """Values as RFC 4180 has them, and what lines that break its rules mean."""
    assert one(csv.PARSER, text)["columns"] == columns
    assert_same(csv.PARSER, [text, "1,2", '"3",4'])


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "the line is empty"), ("a\nb", "not comma"), ("a\rb", "a line end within the record")],
)
def test_what_is_no_record(text: str, reason: str):
    """The reason says so."""
    assert reason in one(csv.PARSER, text)["error"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3", {"fields": {"ip": "1", "the user": "2", "op": "3"}}),
        ("1", {"fields": {"ip": "1"}}),
        (
            "1,2,3,4,5",
            {"fields": {"ip": "1", "the user": "2", "op": "3", "column_4": "4", "column_5": "5"}},
        ),
        (
            '"ip",the user,op',
            {"error": "the line is the head of a file: the names of option columns"},
        ),
        ("ip,x,op", {"fields": {"ip": "ip", "the user": "x", "op": "op"}}),
    ],
)
def test_named_columns(text: str, expected: dict[str, Any]):
    """The option names the values; the head of a file is no record."""
    options = {"columns": 'ip,"the user",op'}
    seen = one(csv.PARSER, text, options)
    assert expected == {name: seen[name] for name in expected}
    assert_same(csv.PARSER, [text, "1,2,3"], options)


def test_tabs():
    """`tsv` is the same with tabs."""
    assert one(csv.TSV, 'a,b\t"c\td"\t')["columns"] == ["a,b", "c\td", ""]


PIECES = st.sampled_from(
    ['"', '""', ",", ";", " ", "]", "\t", "\n", "\r", "a", "b", "é", '"x,y"', "\x00"]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@given(texts=st.lists(TEXTS, min_size=1, max_size=12), options=st.sampled_from(OPTIONS))
@example(texts=['"a""b"', '""', '"",""""'], options={})
@example(texts=["a", "a,x", '"a"'], options={"columns": "a"})
def test_columns_and_the_exact_path_agree(texts: list[str], options: dict[str, str]):
    """Values and reasons are equal, whatever is in the batch."""
    assert_same(csv.PARSER, texts, options)


@given(
    records=st.lists(
        st.lists(st.text(alphabet='a",; \né', max_size=5), min_size=1, max_size=5),
        min_size=1,
        max_size=5,
    )
)
def test_what_a_writer_writes_comes_back(records: list[list[str]]):
    """As Python's writer quotes it."""
    texts = []
    for record in records:
        out = io.StringIO()
        reference.writer(out).writerow(record)
        texts.append(out.getvalue().removesuffix("\r\n"))
    assert [one(csv.PARSER, text)["columns"] for text in texts] == records
    assert_same(csv.PARSER, texts)

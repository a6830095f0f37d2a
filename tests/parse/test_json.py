"""JSON texts: what is one, by comparison of batches with single texts and with Python's reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import json as parser

PIECES = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        '"a"',
        ":",
        ",",
        "1",
        "-0",
        "1.50",
        "1e5",
        "true",
        "null",
        "NaN",
        " ",
        "\t",
    ]
)
GARBAGE = st.lists(PIECES, max_size=8).map("".join)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(texts=st.lists(st.one_of(VALUES.map(json.dumps), GARBAGE), min_size=1, max_size=8))
def test_a_text_gives_the_same_in_any_company(texts: list[str]):
    """A bad one makes no other one bad."""
    assert_same(parser.PARSER, texts)


@given(value=VALUES)
def test_the_text_is_kept(value: object):
    """To the last digit, without white space around it."""
    assert json.loads(one(parser.PARSER, f" {json.dumps(value)}\n")["value:json"]) == value


@pytest.mark.parametrize("text", ["", "{", "{'a':1}", '{"a":NaN}', '{"a":1} x', r'"\ud83d"'])
def test_what_is_no_json(text: str):
    """The reason says so."""
    assert "not JSON" in one(parser.PARSER, text)["error"]

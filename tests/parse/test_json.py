"""JSON texts: what is one, by comparison of batches with single texts and with Python's reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import json as parser
from topology.parse.nesting import DEEPEST, TOO_DEEP, is_deep

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


@pytest.mark.parametrize(("begin", "end"), [('{"a":', "}"), ("[", "]"), ('[{"[{":', "}]")])
def test_what_readers_could_not_take_is_refused(begin: str, end: str):
    """In columns, too; text that looks like levels is none."""
    levels = begin.replace('"[{"', "").count("{") + begin.replace('"[{"', "").count("[")

    def nested(depth: int) -> str:
        return begin * (depth // levels) + '"]}[{\\"[["' + end * (depth // levels)

    good, bad = nested(DEEPEST), nested(DEEPEST + levels)
    assert one(parser.PARSER, good)["value:json"] == good
    assert one(parser.PARSER, bad) == {"error": TOO_DEEP}
    assert "not JSON" in one(parser.PARSER, begin * 500)["error"]
    assert one(parser.PARSER, begin * 100_000) == {"error": TOO_DEEP}
    assert_same(parser.PARSER, [good, bad, "{}", "{", f'["{"[" * 1000}"]'])


def test_levels_are_counted_from_where_the_text_begins():
    """A part of a text is judged by itself."""
    text = "[" * 100 + "[" * DEEPEST + "]" * DEEPEST + "]" * 100
    assert is_deep(text)
    assert not is_deep(text, 100, 100 + 2 * DEEPEST)
    assert is_deep(text, 100, 100 + 2 * DEEPEST, around=1)

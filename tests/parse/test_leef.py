"""LEEF records: the exact path by cases, and columns by comparison with it."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import leef

HEAD = "LEEF:1.0|v|p|1|id|"
HEAD2 = "LEEF:2.0|v|p|1|id|"


@pytest.mark.parametrize(
    ("text", "ext"),
    [
        (HEAD, {}),
        (HEAD + "a=1\tb=2", {"a": "1", "b": "2"}),
        (HEAD + "\ta=1\t\tb=2\t", {"a": "1", "b": "2"}),
        (HEAD + "a= x y \tb==|=", {"a": " x y ", "b": "=|="}),
        (HEAD + "a=1\tmore\tb=2", {"a": "1\tmore", "b": "2"}),
        (HEAD + "a=1\ta=2", {"a": ["1", "2"]}),
        (HEAD + r"a=C:\temp\new", {"a": r"C:\temp\new"}),
        (HEAD + "^|a=1^b=2", {"^|a": "1^b=2"}),
        (HEAD2, {}),
        (HEAD2 + "^", {}),
        (HEAD2 + "^|", {}),
        (HEAD2 + "^|a=1^b=2\tc", {"a": "1", "b": "2\tc"}),
        (HEAD2 + "|a=1\tb=2", {"a": "1", "b": "2"}),
        (HEAD2 + "a=1\tb=2", {"a": "1", "b": "2"}),
        (HEAD2 + "a=1|2\tb=2", {"a": "1|2", "b": "2"}),
        (HEAD2 + "0x5E|a=1^b=2", {"a": "1", "b": "2"}),
        (HEAD2 + "x5e|a=1^b=2", {"a": "1", "b": "2"}),
        (HEAD2 + r"\x5e|a=1^b=2", {"a": "1", "b": "2"}),
        (HEAD2 + "0x7C|a=1|b=2", {"a": "1", "b": "2"}),
        (HEAD2 + "0x09|a=1\tb=2", {"a": "1", "b": "2"}),
        (HEAD2 + r"\t|a=1" + "\tb=2", {"a": "1", "b": "2"}),
        (HEAD2 + "é|a=1éb=2", {"a": "1", "b": "2"}),
        (HEAD2 + "]|a=1]b=2", {"a": "1", "b": "2"}),
    ],
)
def test_attributes(text: str, ext: dict[str, Any]):
    """Names and values, between them what the record says, in any spelling."""
    seen = one(leef.PARSER, text)
    assert seen["ext"] == ext
    assert_same(leef.PARSER, [text, HEAD + "x=1\ty=2", HEAD2 + "#|x=1#y=2"])


def test_the_option_goes_before_what_the_record_says():
    """PAN-OS writes LEEF:1.0 with pipes between attributes."""
    for option in ("|", "0x7C"):
        options = {"field_delimiter": option}
        text = HEAD + "a=1|b=two words|c="
        assert one(leef.PARSER, text, options)["ext"] == {"a": "1", "b": "two words", "c": ""}
        assert_same(leef.PARSER, [text, HEAD2 + "^|a=1^b=2"], options)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("CEF:0|a|b|c|d|e|f|", "no LEEF:VERSION|"),
        ("LEEF:1.0|a|b|c", "expected 5 fields in the header, saw 4"),
    ],
)
def test_what_is_no_record(text: str, reason: str):
    """The reason says what is missing."""
    assert reason in one(leef.PARSER, text)["error"]


def test_what_belongs_to_no_field_is_kept():
    """Text before the mark and before the first name."""
    seen = one(leef.PARSER, "<x> " + HEAD + "free\ta=1")
    assert (seen["prefix"], seen["rest"], seen["ext"]) == ("<x> ", "free", {"a": "1"})


PIECES = st.sampled_from(
    [
        "|",
        "\\",
        "\\|",
        "=",
        " ",
        "\t",
        "^",
        "a",
        "b=",
        "\tc=",
        "^d=",
        "é",
        "0x5E|",
        "^|",
        "||",
        "\x1e",
        "\x1f",
        "0xD800|",
        "\\t|",
        "=|",
        "\x00",
        "\n",
    ]
)
TEXTS = st.builds(
    lambda head, pieces: head + "".join(pieces),
    st.sampled_from([HEAD, HEAD2, HEAD2, "LEEF:01|a|b|c|d|", "LEEF:2|a|b|c|d", "x LEEF:2.0|a|b|"]),
    st.lists(PIECES, max_size=14),
)


@given(
    texts=st.lists(TEXTS, min_size=1, max_size=12),
    options=st.sampled_from([{}, {}, {"field_delimiter": "^"}, {"field_delimiter": "0x0a"}]),
)
@example(texts=[HEAD2 + "^|a=1^b=2", HEAD + "a=1", HEAD2 + "#|a=1"], options={})
@example(texts=[HEAD2 + "\x1e", HEAD2 + "\x1f|a=1", HEAD2 + "\x1e|a=1\x1eb=2"], options={})
def test_columns_and_the_exact_path_agree(texts: list[str], options: dict[str, str]):
    """Fields and reasons are equal, whatever is in the batch."""
    assert_same(leef.PARSER, texts, options)

"""CEF records: the exact path by cases, and columns by comparison with it."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import cef

HEAD = "CEF:0|v|p|1|id|name|5|"


@pytest.mark.parametrize(
    ("extension", "ext"),
    [
        ("", {}),
        ("src=1", {"src": "1"}),
        (" src=1  dst=2 ", {"src": "1", "dst": "2"}),
        ("a=b c d=e", {"a": "b c", "d": "e"}),
        ("a= b=", {"a": "", "b": ""}),
        ("a=b=c d=e==", {"a": "b=c", "d": "e=="}),
        ("url=http://x/?a=b&c=d e=f", {"url": "http://x/?a=b&c=d", "e": "f"}),
        (r"a=x\=y b=c\=d e", {"a": "x=y", "b": "c=d e"}),
        (r"a=one b\=two c=3", {"a": "one b=two", "c": "3"}),
        (r"a=C:\new\\temp\\", {"a": "C:\new\\temp\\"}),
        (r"a=\r\n\|\x\\n", {"a": "\r\n|\\x\\n"}),
        ("a=p|q b=1", {"a": "p|q", "b": "1"}),
        ("a=1 b=2 a=3", {"a": ["1", "3"], "b": "2"}),
        ("ad.nn=1 x_y=2 list[0]=3 k-1=4", {"ad.nn": "1", "x_y": "2", "list[0]": "3", "k-1": "4"}),
        ("msg=Ünï → ✓ dst=é", {"msg": "Ünï → ✓", "dst": "é"}),
        ("a=1\tb=2\nc=3", {"a": "1", "b": "2", "c": "3"}),
    ],
)
def test_extensions(extension: str, ext: dict[str, Any]):
    """Keys and values, with what escapes, blanks and signs within values mean."""
    seen = one(cef.PARSER, HEAD + extension)
    assert seen["ext"] == ext
    assert seen["rest"] is None
    assert_same(cef.PARSER, [HEAD + extension, HEAD])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            r"CEF:1|a\|b|c\\d|e\f||n|Very-High|x=1",
            ("1", "a|b", r"c\d", r"e\f", "", "n", "Very-High"),
        ),
        ("CEF:0|a|b|c|d|e|f", ("0", "a", "b", "c", "d", "e", "f")),
        ("Jan 1 host CEF: 0|a|b|c|d|e|f|x=1", ("0", "a", "b", "c", "d", "e", "f")),
        ("CEF:0.1|a|b|c|d|e|f\\", ("0.1", "a", "b", "c", "d", "e", "f\\")),
    ],
)
def test_headers(text: str, expected: tuple[str, ...]):
    """The seven fields, escapes resolved; a last pipe may be missing."""
    seen = one(cef.PARSER, text)
    assert tuple(seen[name] for name in cef.HEADER) == expected
    assert_same(cef.PARSER, [text, HEAD])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no CEF:VERSION|"),
        ("CEF:x|a|b|c|d|e|f|", "no CEF:VERSION|"),
        ("xCEF:0|a|b|c|d|e|f|", "no CEF:VERSION|"),
        ("CEF:0|a|b|c|d|e", "expected 7 fields in the header, saw 6"),
        (r"CEF:0|a\|b|c|d|e|f", "saw 6"),
    ],
)
def test_what_is_no_record(text: str, reason: str):
    """The reason says what is missing."""
    assert reason in one(cef.PARSER, text)["error"]


def test_what_belongs_to_no_field_is_kept():
    """Text before the mark and before the first key."""
    seen = one(cef.PARSER, "x y: " + HEAD + r"free a\=b text k=v")
    assert (seen["prefix"], seen["rest"], seen["ext"]) == ("x y: ", r"free a\=b text", {"k": "v"})


PIECES = st.sampled_from(
    [
        "CEF:0",
        "CEF:0|",
        "|",
        "\\",
        "\\|",
        "\\=",
        "=",
        " ",
        "\t",
        "\n",
        "a",
        "b=",
        " c=",
        "é",
        "\\n",
        "\x1e",
        "\x1f",
        "[1]=",
        "d.e=",
        "\\\\",
        "\x00",
    ]
)
TEXTS = st.builds(
    lambda head, pieces: head + "".join(pieces),
    st.sampled_from([HEAD, "", "CEF:0|", "x CEF:1|a|b|", "CEF:0|a|b|c|d|e|f"]),
    st.lists(PIECES, max_size=14),
)


@given(texts=st.lists(TEXTS, min_size=1, max_size=12))
@example(texts=[HEAD + " a=1", HEAD, HEAD + r" a=\= b=\\"])
def test_columns_and_the_exact_path_agree(texts: list[str]):
    """Fields and reasons are equal, whatever is in the batch."""
    assert_same(cef.PARSER, texts)


VALUES = st.text(alphabet="ab=|\\ \n\ré", max_size=8).map(lambda text: "v" + text.strip(" \n\r"))


@given(ext=st.dictionaries(st.from_regex(r"\A[a-z][A-Za-z0-9]{0,8}\Z"), VALUES, max_size=8))
def test_what_a_sender_escapes_comes_back(ext: dict[str, str]):
    """Values written as the standard says are read as they were."""

    def written(value: str) -> str:
        escapes = {"\\": "\\\\", "=": "\\=", "\n": "\\n", "\r": "\\r"}
        return "".join(escapes.get(sign, sign) for sign in value)

    text = HEAD + " ".join(f"{name}={written(value)}" for name, value in ext.items())
    assert one(cef.PARSER, text)["ext"] == ext
    assert_same(cef.PARSER, [text])

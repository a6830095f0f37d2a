"""Key-value lists: the exact path by cases, and columns by comparison with it."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import keyvalue

OPTIONS: list[dict[str, str]] = [
    {},
    {"field_delimiter": ";"},
    {"field_delimiter": ",", "key_value_delimiter": ":"},
    {"field_delimiter": "||", "key_value_delimiter": "--"},
    {"field_delimiter": "\t"},
    {"key_value_delimiter": ":"},
    {"field_delimiter": "]"},
    {"field_delimiter": "^", "key_value_delimiter": "-"},
]


@pytest.mark.parametrize(
    ("text", "fields", "rest"),
    [
        ("", {}, None),
        ("a", {}, "a"),
        ("a=b c=d", {"a": "b", "c": "d"}, None),
        ("  a=b\tc=d  ", {"a": "b", "c": "d"}, None),
        ("a=b=c ==d e==", {"a": "b=c ==d", "e": "="}, None),
        ("msg=two words x=1", {"msg": "two words", "x": "1"}, None),
        ("sshd said a=1", {"a": "1"}, "sshd said"),
        ("""a="'b'" c='"d"' e=''""", {"a": "'b'", "c": '"d"', "e": ""}, None),
        ('a="b c" d=e', {"a": "b c", "d": "e"}, None),
        ('a="b=c d=e" f=""', {"a": "b=c d=e", "f": ""}, None),
        ("msg='op=login acct=\"x\"' r=1", {"msg": 'op=login acct="x"', "r": "1"}, None),
        (r'a="\"b\" \\ \n"', {"a": r'"b" \ \n'}, None),
        (r"a=\n\"b", {"a": r"\n\"b"}, None),
        ('a="b c=d', {"a": '"b', "c": "d"}, None),
        ("a=don't b='x", {"a": "don't", "b": "'x"}, None),
        ('a="b"c d=e', {"a": '"b"c', "d": "e"}, None),
        ('a="b" stray words d=e', {"a": "b", "d": "e"}, "stray words"),
        ("a=1 a=2", {"a": ["1", "2"]}, None),
        ("a.b-c[0]/d=1 (e=2", {"a.b-c[0]/d": "1", "(e": "2"}, None),
        ('ключ="значение" é=→', {"ключ": "значение", "é": "→"}, None),
    ],
)
def test_lines(text: str, fields: dict[str, Any], rest: str | None):
    """Names, values and the words that belong to none."""
    seen = one(keyvalue.PARSER, text)
    assert (seen["fields"], seen["rest"]) == (fields, rest)
    assert_same(keyvalue.PARSER, [text, "x=1", 'y="2"'])


@pytest.mark.parametrize(
    ("options", "text", "fields"),
    [
        (1, 'action:"x"', {}),
        (1, "a=1; b = two words ;;c=3;", {"a": "1", "b": "two words", "c": "3"}),
        (
            1,
            "TTY=pts/0 ; PWD=/x ; COMMAND=/bin/ls -l",
            {"TTY": "pts/0", "PWD": "/x", "COMMAND": "/bin/ls -l"},
        ),
        (1, 'a="x; b=y"; c=1', {"a": "x; b=y", "c": "1"}),
        (1, "a=1;more;b=2", {"a": "1;more", "b": "2"}),
        (2, "a:1,b c : 2, d:e:f", {"a": "1", "b c": "2", "d": "e:f"}),
        (3, "a -- 1 || b--2 ||", {"a": "1", "b": "2"}),
        (4, "a=x y\tb=2", {"a": "x y", "b": "2"}),
        (5, "a:1 b: 2", {"a": "1", "b": "2"}),
    ],
)
def test_delimiters(options: int, text: str, fields: dict[str, Any]):
    """Other signs than a blank and `=`; blanks around them are no part of names and values."""
    assert one(keyvalue.PARSER, text, OPTIONS[options])["fields"] == fields
    assert_same(keyvalue.PARSER, [text, 'a="1"'], OPTIONS[options])


PIECES = st.sampled_from(
    [
        '"',
        "'",
        "\\",
        '\\"',
        "=",
        " ",
        "\t",
        "\n",
        ";",
        ",",
        ":",
        "|",
        "-",
        "a",
        "b=",
        " c=",
        ' d="',
        '"x y"',
        "'z'",
        "\"'",
        "'\"",
        "é",
        "\x1e",
        "\x1f",
        ";e=",
        "||f--",
        ",g:",
        "\x00",
        ']h="i"',
        " j: k",
        "^",
    ]
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)


@given(texts=st.lists(TEXTS, min_size=1, max_size=12), options=st.sampled_from(OPTIONS))
@example(texts=['a="b" c=d', "a=b c", 'a="b" c'], options={})
@example(texts=['a="b" ; c=d', ";", ' a = "b";'], options={"field_delimiter": ";"})
def test_columns_and_the_exact_path_agree(texts: list[str], options: dict[str, str]):
    """Every line is taken, and gives the same in any company."""
    assert keyvalue.parse_line(texts[0], options)
    assert_same(keyvalue.PARSER, texts, options)


@given(texts=st.lists(TEXTS, min_size=1, max_size=8))
def test_no_word_is_lost(texts: list[str]):
    """All letters of a line are in names, values and the rest."""
    for text in texts:
        pairs, rest = keyvalue.parse_line(text, {})
        kept = "".join(pair["name"] + pair["value"] for pair in pairs) + (rest or "")
        assert sorted(filter(str.isalpha, text)) == sorted(filter(str.isalpha, kept))

"""XML documents: the exact path by cases, and columns by comparison with it and ElementTree."""

from collections import Counter
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, one
from topology.parse import xml

BOMB = '<!DOCTYPE a [<!ENTITY b "cc"><!ENTITY c "&b;&b;">]><a>&c;</a>'
FETCH = '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x"><a/>'
FILE = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("<a/>", {"a": ""}),
        ("<a>x</a>", {"a": "x"}),
        ("<a b='1' c=\"2\">x</a>", {"a@b": "1", "a@c": "2", "a": "x"}),
        ("<a><b>1</b><c/><b>2</b></a>", {"a.b": ["1", "2"], "a.c": ""}),
        ("<a>\n  <b> x\n</b>\n</a>", {"a.b": " x\n"}),
        ("<a>one<b>2</b>three</a>", {"a.b": "2", "a": "onethree"}),
        ("<a b='&lt;&#xA;&quot;'>&amp;lt;&#233;</a>", {"a@b": '<\n"', "a": "&lt;é"}),
        ("<a b='x>y' c='=\"'>=\"q\" > &gt;</a>", {"a@b": "x>y", "a@c": '="', "a": '="q" > >'}),
        ("<a><![CDATA[<b>&]]></a>", {"a": "<b>&"}),
        ("<!-- c --><a><!-- d -->x<?p i?></a>", {"a": "x"}),
        ("<?xml version='1.0' encoding='UTF-8'?>\n<a>é</a> \n", {"a": "é"}),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><a>é</a>", {"a": "é"}),
        ("\ufeff<a xmlns='urn:x' n:b='1'>x</a>", {"a@xmlns": "urn:x", "a@n:b": "1", "a": "x"}),
        ("<a b = '1'/>", {"a@b": "1", "a": ""}),
        ("<a b='1\t2\n3'/>", {"a@b": "1 2 3", "a": ""}),
    ],
)
def test_documents(text: str, fields: dict[str, Any]):
    """Texts and attributes by name, entities resolved."""
    assert one(xml.PARSER, text)["fields"] == fields
    assert_same(xml.PARSER, [text, "<a>y</a>", "<a><b>1</b></a>"])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not XML"),
        ("x", "not XML"),
        ("<a>", "not XML"),
        ("<a></b>", "not XML"),
        ("<a b='1' b='2'/>", "duplicate attribute"),
        ("<a/><b/>", "not XML"),
        ("<a>&b;</a>", "undefined entity"),
        ("<a>]]></a>", "not XML"),
        ("<a>\x01</a>", "not XML"),
        (BOMB, "document type"),
        (FETCH, "document type"),
        (FILE, "document type"),
        ("<a>" * 200 + "</a>" * 200, "256 characters"),
        (f"<a {'b' * 300}='1'/>", "256 characters"),
    ],
)
def test_what_is_refused(text: str, reason: str):
    """The reason says why; no entity is expanded, nothing is fetched."""
    assert reason in one(xml.PARSER, text)["error"]
    assert_same(xml.PARSER, [text, "<a>y</a>"])


MARKUP = (
    """<a> </a> <b~c=' <b~c=" '> "> '/> </b> <b> <b/> x &lt; &#xA; & &amp;lt; ' " = ='1' """
    """="2" ~ > / < ]]> é <!-- --> <?p~?> <![CDATA[ ~d='1' <?xml~version='1.0'?> 7"""
)
CONTROLS = "\n\t\r\x1e\x1f\x00"
PIECES = st.sampled_from([*(each.replace("~", " ") for each in MARKUP.split(" ")), *CONTROLS])
GARBAGE = st.lists(PIECES, max_size=16).map("".join)
TEXTS = st.text(alphabet="ab=\"'>& \n\té&;/", max_size=6)


@st.composite
def _documents(draw: st.DrawFn) -> str:
    """A well-formed document, with white space or text between elements now and then."""

    def escaped(text: str) -> str:
        return text.replace("&", "&amp;").replace("<", "&lt;")

    def element(depth: int) -> str:
        name = draw(st.sampled_from("abc"))
        quote = draw(st.sampled_from("'\""))
        names = draw(st.lists(st.sampled_from("xyz"), unique=True, max_size=2))
        values = [
            escaped(draw(TEXTS)).replace(quote, "&quot;" if quote == '"' else "&apos;")
            for _ in names
        ]
        attributes = "".join(
            f" {each}={quote}{value}{quote}" for each, value in zip(names, values, strict=True)
        )
        if draw(st.booleans()) and depth < 3:
            between = draw(st.sampled_from(["", "", "\n ", "t", "='1'"]))
            inner = (
                between.join(element(depth + 1) for _ in range(draw(st.integers(1, 3)))) + between
            )
        elif draw(st.integers(0, 4)) == 0:
            return f"<{name}{attributes}/>"
        else:
            inner = escaped(draw(TEXTS))
        return f"<{name}{attributes}>{inner}</{name}>"

    return element(0)


@given(texts=st.lists(st.one_of(_documents(), GARBAGE), min_size=1, max_size=8))
@example(texts=["<a>" + "x='1'" + "</a>", "<a x='1'></a>"])
def test_columns_and_the_exact_path_agree(texts: list[str]):
    """Fields and reasons are equal, whatever is in the batch."""
    assert_same(xml.PARSER, texts)


@given(text=_documents())
def test_all_texts_are_those_of_another_parser(text: str):
    """Every attribute and every element's text of ElementTree's document is there."""
    expected: Counter[str] = Counter()
    for element in ET.fromstring(text).iter():
        expected.update(element.attrib.values())
        if len(element) == 0:
            expected[element.text or ""] += 1
    assert expected <= Counter(value for _, value in xml.read(text))

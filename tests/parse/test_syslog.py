"""The syslog header before another format's payload, and messages that stand for several."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.parse.both_paths import assert_same, frame, one
from topology.formats import decode, read
from topology.parse import repeated, syslog

PAYLOAD = 'a=1 b="2"'


@pytest.mark.parametrize(
    ("header", "hostname", "appname"),
    [
        ("<13>1 2026-01-27T14:12:23Z h app - - - ", "h", "app"),
        ('<13>1 2026-01-27T14:12:23Z h app - - [x y="z"] ', "h", "app"),
        ("<13>Jan 27 14:12:23 h app[7]: ", "h", "app"),
        ("<13>", None, None),
        ("Jan 27 14:12:23 h app: ", "h", "app"),
        ("2026-01-27T14:12:23Z h app: ", "h", "app"),
    ],
)
def test_headers(header: str, hostname: str | None, appname: str | None):
    """Either RFC's header is a field of its own; the payload is as it would be without it."""
    seen = one(syslog.PARSER, header + PAYLOAD)
    assert (seen["syslog"]["hostname"], seen["syslog"]["appname"]) == (hostname, appname)
    assert seen["msg"] == PAYLOAD


@pytest.mark.parametrize("text", ["", PAYLOAD, "<192>1 - - - - - - x", " <13>x", "<13", "Jan x"])
def test_no_header(text: str):
    """The text is the payload, to the last character."""
    assert one(syslog.PARSER, text) == {"row": 0, "syslog": None, "msg": text}


def test_a_time_alone_may_be_the_payload():
    """Where it might be a value, only PRI begins a header."""
    text = "2026-01-27T14:12:23Z,a"
    assert one(syslog.PRI_ONLY, text)["msg"] == text
    assert one(syslog.PRI_ONLY, "<13>Jan 27 14:12:23 h app: a,b")["msg"] == "a,b"


PIECES = st.sampled_from(
    [
        "<13>",
        "1 ",
        "2026-01-27T14:12:23Z ",
        "Jan 27 14:12:23 ",
        "h ",
        "app: ",
        "- ",
        "a=1",
        "é",
        " ",
    ]
)


@given(texts=st.lists(st.lists(PIECES, max_size=9).map("".join), min_size=1, max_size=8))
def test_a_line_gives_the_same_in_any_company(texts: list[str]):
    """Columns and the exact path agree."""
    for parser in (syslog.PARSER, syslog.PRI_ONLY):
        assert_same(parser, texts)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("message repeated 5 times: [ su: failed]", (5, "su: failed")),
        ("message repeated 5 times: [su: [failed]]", (5, "su: [failed]")),
        ("message repeated 2 times: []", (2, None)),
        ("last message repeated 7 times", (7, "last message repeated 7 times")),
        ("message repeated 5 times: [ cut", (None, "message repeated 5 times: [ cut")),
        ("last message repeated 5.2 times", (None, "last message repeated 5.2 times")),
        ("a message repeated 5 times: [x]", (None, "a message repeated 5 times: [x]")),
    ],
)
def test_repeated(text: str, expected: tuple[int | None, str | None]):
    """How often, and the message that it stands for."""
    seen = one(repeated.PARSER, text)
    assert (seen["repeated"], seen["msg"]) == expected
    assert_same(repeated.PARSER, [text, "x"])


def test_a_repeated_qumulo_record_is_read_and_counted():
    """As rsyslog relays it with RepeatedMsgReduction, among many that are as usual."""
    head = "<14>1 2026-01-27T14:12:23.5Z n-1 qumulo - - - "
    record = '10.0.0.1,"a",smb2,fs_read_data,ok,7,"/x",""'
    lines = [head + record] * 200
    lines[100] = f"{head}message repeated 3 times: [ {record}]"
    texts = frame(lines)
    raw = texts.select("row", "received", raw=texts["text"].cast(pl.Binary))
    decoded = decode("qumulo", raw, {})
    assert decoded.failures.height == 0
    assert decoded.events["count"].to_list() == [None] * 100 + [3] + [None] * 99
    assert decoded.events["file.path"].to_list() == ["/x"] * 200


def test_the_header_is_looked_for_before_every_payload():
    """`read` gives the payload's own fields, with the header beside them."""
    texts = frame(["<13>Jan 27 14:12:23 h app: " + PAYLOAD, PAYLOAD])
    found = read("kv", texts.select("row", "received", raw=texts["text"].cast(pl.Binary)), {})
    (fields,) = found.fields
    rows = fields.frame.to_dicts()
    assert rows[0]["fields:pairs"] == rows[1]["fields:pairs"]
    assert rows[0]["syslog"]["hostname"] == "h"
    assert rows[1]["syslog"] is None

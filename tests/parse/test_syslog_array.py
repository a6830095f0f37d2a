"""Arrays of JSON events behind a syslog header: each event by itself, and no byte of any lost."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.commands.parse import event_texts, field_texts
from topology.dimension import SMALL
from topology.formats import decode
from topology.parse import several, syslog_array
from topology.parse.nesting import DEEPEST
from topology.parse.parsed import MalformedError, Refused
from topology.parse.several import LARGEST, MOST
from topology.parse.syslog_array import split

HEADER = b"<14>1 2026-01-27T14:12:23Z n-1 app 7 m - "
HEADERS = st.sampled_from(
    [
        HEADER.decode(),
        '<14>1 - n-1 - - - [x@1 y="z"][u] ',
        '<14>1 - n-1 - - - [x y="{[\\]"] ',
        "<14>1 - - - - - - \ufeff",
        "<14>1 2026-01-27T14:12:23Z n-1 ",
        "<34>Jan 27 14:12:23 host app[12]: ",
        "<34>Jan 27 14:12:23 [::1] app: ",
        "<34>Jan 27 14:12:23 host ",
        "<34>Jan  7 14:12:23 é{host app:",
        "Jan 27 14:12:23 host app: ",
        " 2026-01-27T14:12:23Z host app: ",
        "<34>",
        "<34>app: ",
        "<189>123: host: 000456: *Mar  1 00:00:00.123 UTC: %SYS-5-CONFIG_I: ",
    ]
)
OBJECTS = st.dictionaries(
    st.text(max_size=3),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
        max_leaves=4,
    ),
    max_size=3,
)
OTHERS = st.sampled_from([7, -1.5, "x", "{", [], [{"a": 1}], None, True, False])
BLANKS = st.text(alphabet=" \t", max_size=2)
ENDS = st.sampled_from(["", "\n", "\r\n", "\r\n\0", "\0"])


def _raw(records: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "row": range(len(records)),
            "raw": records,
            "received": [1_769_523_200_000] * len(records),
        },
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )


def _without_places(events: pl.DataFrame) -> list[dict[str, Any]]:
    left = events.drop("row", "sub", strict=False)
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in left.iter_rows(named=True)
    ]


@given(
    header=HEADERS,
    values=st.lists(OBJECTS | OTHERS, min_size=1, max_size=5),
    blanks=st.lists(BLANKS, min_size=3, max_size=3),
    end=ENDS,
)
def test_each_object_is_what_a_message_of_its_own_would_be(
    header: str, values: list[Any], blanks: list[str], end: str
):
    """And each other value a dead letter; every element has exactly one outcome, and its bytes."""
    texts = [json.dumps(value, ensure_ascii=False) for value in values]
    begin = f"{header}{blanks[0]}"
    array = f"[{blanks[1]}{f'{blanks[1]},{blanks[2]}'.join(texts)}{blanks[2]}]"
    record = f"{begin}{array}{blanks[0]}{end}".encode()
    objects = [isinstance(value, dict) for value in values]
    alone = [
        f"{begin}{text if good else f'[{text}]'}{blanks[0]}{end}".encode()
        for text, good in zip(texts, objects, strict=True)
    ]
    parts = split(record)
    assert parts is not None
    assert [part.raw if isinstance(part, Refused) else part for part in parts] == alone
    assert [not isinstance(part, Refused) for part in parts] == objects
    decoded = decode("json", _raw([record]), {})
    assert decoded.events["row"].to_list() == [0] * sum(objects)
    numbers = [number for number, good in enumerate(objects) if good]
    others = [number for number, good in enumerate(objects) if not good]
    assert (decoded.events["sub"].to_list() if numbers else []) == numbers
    assert decoded.failures.select("row", "sub", "stage").rows() == [
        (0, number, "parse") for number in others
    ]
    single = decode("json", _raw([alone[number] for number in numbers]), {}) if numbers else None
    if single is not None:
        assert single.failures.height == 0
        assert _without_places(decoded.events) == _without_places(single.events)


@given(
    header=HEADERS,
    values=st.lists(OBJECTS, min_size=1, max_size=3),
    cut=st.integers(min_value=1, max_value=40),
)
def test_a_cut_array_is_a_dead_letter_with_all_its_bytes(header: str, values: list[Any], cut: int):
    """Its events would be there twice if the sender sent it again in full."""
    array = json.dumps(values)
    record = f"{header}{array[: max(1, len(array) - cut)]}".encode()
    decoded = decode("json", _raw([record]), {})
    assert decoded.events.height == 0
    assert decoded.failures.select("row", "stage").rows() == [(0, "parse")]
    (text,) = event_texts([record], "json", {}, 7)
    assert json.loads(text)["raw"].encode() == record


def test_bytes_that_are_not_utf8_may_be_in_the_header():
    """Where they are in the event, too: the bytes of each part are those of the record."""
    header = b'<14>1 - h\xfe - - - [x@1 y="\xff\xfe"] '
    assert split(header + b'[{"a":1},{"a":"\xff"}]') == [
        header + b'{"a":1}',
        header + b'{"a":"\xff"}',
    ]


def test_arrays_among_other_lines_of_a_large_batch():
    """Columns and the exact path agree, and neighbours keep their places."""
    lines = [
        HEADER + b'[{"a":1},5,{"b":[{"c":2}]}]',
        HEADER + b'{"a":[{"b":1}]}',
        b'{"plain":[1]}',
        HEADER + b"[]",
        b'[{"x":1},{"y":2}]',
        HEADER + b'[{"a":"\xff"},{"b":1}]\n',
        HEADER + b"no JSON [{",
    ]
    few = event_texts(lines, "json", {}, 7)
    assert event_texts(lines * SMALL, "json", {}, 7) == few * SMALL
    assert ["error" in json.loads(text) for text in few] == [
        *(False, True, False),
        False,
        False,
        True,
        *(False, False),
        *(False, False),
        True,
    ]
    assert field_texts(lines * SMALL, "json", {}, 7) == field_texts(lines, "json", {}, 7) * SMALL


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"<34>",
        b"[]",
        b"<34>x",
        b"<34>{}",
        b'<34>app[1]: {"a":[{"b":1},{"c":2}]}',
        b'<34>app: [{"a":1}',
        b'<34>app: [{"a":1}] more',
        b'<34>app: [{"a":1},]',
        b'<34>app: [{"a":1} {"b":2}]',
        b"<34>app: [error] something",
        b"<34>app: [" * 10,
        b'no header [{"a":1},{"b":2}]',
    ],
)
def test_what_is_no_array_behind_a_header_stays_whole(record: bytes):
    """The parser reads it, or says what is wrong."""
    assert split(record) is None


def test_a_record_cannot_hold_events_without_end():
    """Nor be multiplied by its header."""
    with pytest.raises(MalformedError, match="events in one record"):
        split(HEADER + b"[" + b"{}," * MOST + b"{}]")
    long = b"<14>1 - " + b"h" * 100_000 + b" - - - - ["
    with pytest.raises(MalformedError, match="characters around them"):
        split(long + b"{}," * (LARGEST // 100_000) + b"{}]")
    with pytest.raises(MalformedError, match="without events"):
        split(HEADER + b"[ \t]\r\n")


@pytest.mark.parametrize("levels", [DEEPEST, DEEPEST + 1, 100_000])
def test_how_deep_an_event_may_be_does_not_depend_on_who_asks(levels: int):
    """Python's reader gives up at a depth that depends on its caller's."""
    deep = b'{"a":' * levels + b'"[{]}"' + b"}" * levels
    array = b"[" + deep + b',{"b":"' + b"[" * 1000 + b'"}]'

    def asked(depth: int) -> object:
        return asked(depth - 1) if depth else (split(HEADER + array), several.split_array(array))

    parts = None if levels > DEEPEST else [deep, b'{"b":"' + b"[" * 1000 + b'"}']
    assert asked(0) == (parts and [HEADER + part for part in parts], parts)
    assert asked(300) == asked(0)
    (failure, *_) = decode("json", _raw([HEADER + array]), {}).failures.rows() or [None]
    assert (failure is None) == (levels <= DEEPEST)


@given(data=st.binary(max_size=40))
def test_no_record_makes_it_raise(data: bytes):
    """Whatever the bytes."""
    for record in (data, b"<34>" + data, HEADER + b"[" + data, HEADER + b"[{}," + data + b"]"):
        try:
            parts = split(record)
        except MalformedError:
            continue
        assert parts is None or parts


PIECES = st.sampled_from(
    ["[", "]", "{", "}", ",", ":", '"a"', '"', "\\", "1", " ", "x=", "app", "[7]: ", "é", "- "]
)


@given(header=HEADERS, text=st.lists(PIECES, max_size=12).map("".join))
def test_what_is_taken_for_one_event_is_not_asked_for(header: str, text: str):
    """What columns say at once agrees with the look at each, which a batch that has a line that is
    not UTF-8 takes instead."""
    record = (header + text).encode()
    frame = pl.DataFrame({"raw": [record]})
    single = syslog_array.SPLITTER.single
    assert single is not None
    if not frame.select(syslog_array.SPLITTER.looks).item() or frame.select(single).item():
        assert split(record) is None


def test_windows_events_come_in_arrays_too():
    """With a header and without one."""
    events = b'[{"EventID":4624,"Channel":"Security"},{"EventID":4625,"Channel":"Security"}]'
    for header in (b"", HEADER):
        seen = [json.loads(text) for text in field_texts([header + events], "windows", {}, 7)]
        assert [each["event_id"] for each in seen] == ["4624", "4625"]

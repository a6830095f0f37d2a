"""Source formats: nothing raises, nothing is lost, nothing is invented, whatever the bytes."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.normalizer_files import load_normalizer
from app.normalizer_tests import cases
from topology import formats
from topology.formats import CHAINS, SOURCE_FORMATS, Chain, decode, read
from topology.normalize import NORMALIZERS
from topology.normalize.normalizer import Normalizer
from topology.northbound import SERIALIZERS
from topology.parse import FORMATS

GOOD = [
    b'<14>1 2026-01-27T14:12:23.9558Z n-1 qumulo - - - ::1,"AD\\a",smb2,fs_rename,ok,1,"/a","/b"',
    b'<14>1 - n-1 qumulo - - - {"user_id":{"name":"AD\\a"},"operation":"fs_open","details":{}}',
    b'<14>1 2026-01-27T14:12:23Z n-1 qumulo - - - 10.0.0.1,"a",api,auth_add_group,ok,,"g",""',
    b'<34>1 2003-10-11T22:14:15.003Z host su - ID47 [a b="c"] it\'s text',
    b"<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed for lonvick on /dev/pts/8",
    b'{"time": "2026-01-27T14:12:23Z", "deep": [1, {"a": null}]}',
    b"a,b,c",
    b"",
]
PAYLOADS = [
    rb"<34>Oct 11 22:14:15 fw CEF:0|v\|w|p|1|id|name|5|src=::1 msg=two words\=x rt=1",
    b"LEEF:2.0|v|p|1|id|^|a=1^b=two words^a=2",
    b'<34>Oct 11 22:14:15 fw app: date=2026-01-27 msg="a \\"b\\"" user=\'joe\' x=y z',
    b'"a,b","c""d",e',
    b"<Event xmlns='x'><System><EventID>1</EventID></System><Data Name='a'>&lt;</Data></Event>",
    b'{"EventID": 1, "Channel": "Security", "deep": {"a": ["b", 1.50, null]}}',
    b'{"timestamp": 1, "message": "{\\"operation\\": \\"fs_open\\", \\"user\\": \\"a\\"}"}',
    b"<34>Oct 11 22:14:15 h a: message repeated 3 times: [ x=1]",
    b'{"logEvents": [{"message": {"operation": "fs_open", "ip_address": "::1", "path_1": "a"}}]}',
    b"<189>date=2026-01-27 time=14:12:23 devid=FG1 srcip=::1",
    b"a\tb\tc\td",
    b"1,2,3,4,five",
]
NORMALIZER_FILES = (Path(__file__).parents[2] / "normalizers").glob("*.yaml")
OPTIONS = {"regexp": {"pattern": "(?P<word>[a-z]+)(?P<number>[0-9])?"}}


def _raw(lines: list[bytes]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(lines)), "raw": lines, "received": [1_769_523_200_000] * len(lines)},
        schema={"row": pl.UInt32, "raw": pl.Binary, "received": pl.Int64},
    )


@st.composite
def _damage(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """A good line with a piece replaced."""
    line = draw(lines)
    start = draw(st.integers(0, len(line)))
    end = draw(st.integers(start, min(len(line), start + 5)))
    return line[:start] + draw(st.binary(max_size=4)) + line[end:]


LINES = st.lists(
    st.one_of(
        st.sampled_from(GOOD + PAYLOADS),
        _damage(st.sampled_from(GOOD + PAYLOADS)),
        st.binary(max_size=30),
    ),
    max_size=90,
)


@pytest.mark.parametrize("name", SOURCE_FORMATS)
@settings(max_examples=40)
@given(lines=LINES)
@example(lines=[])
@example(lines=[b"\xff\xfe", b"\r\n", b"\x00"] * 30)
@example(lines=(GOOD + PAYLOADS) * 10)
def test_every_line_is_an_event_or_a_failure(name: str, lines: list[bytes]):
    """Rows of events and failures are all rows, once each; the original text is kept."""
    decoded = decode(name, _raw(lines), OPTIONS.get(name, {}))
    events, failures = decoded.events["row"].to_list(), decoded.failures["row"].to_list()
    assert sorted(events + failures) == list(range(len(lines)))
    assert events == sorted(events)
    encoded = SERIALIZERS["ocsf-json"](decoded.events).to_list()
    for row, text in zip(events, encoded, strict=True):
        event = json.loads(text)
        exact = event.get("unmapped", {}).get("raw_base64")
        kept = base64.b64decode(exact) if exact else event["raw_data"].encode()
        assert kept.rstrip(b"\r\n") == lines[row].rstrip(b"\r\n")


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30)
@given(lines=LINES)
@example(lines=[b"\xff\xfe", b"\r\n", b"\x00"] * 60)
@example(lines=(GOOD + PAYLOADS) * 10)
def test_no_parser_raises(name: str, lines: list[bytes]):
    """By itself, with no net below it: each row is in its fields or has its reason."""
    texts = [line.decode(errors="replace") for line in lines]
    frame = pl.DataFrame(
        {"row": range(len(lines)), "text": texts, "received": [1_769_523_200_000] * len(lines)},
        schema={"row": pl.UInt32, "text": pl.String, "received": pl.Int64},
    )
    parsed = FORMATS[name].parse(frame, OPTIONS.get(name, {}))
    rows = parsed.fields["row"].to_list() + parsed.failures["row"].to_list()
    assert sorted(rows) == list(range(len(lines)))
    assert all(parsed.failures["reason"].to_list())


@pytest.mark.parametrize("path", sorted(NORMALIZER_FILES), ids=lambda path: path.stem)
@settings(max_examples=10)
@given(lines=LINES, data=st.data())
def test_no_shipped_normalizer_raises(path: Path, lines: list[bytes], data: st.DataObject):
    """Every line is an event or what its format refuses, never an exception's dead letter."""
    loaded = load_normalizer(path, "UTC")
    known = [
        line for log in cases(path) for line in log.read_bytes().removesuffix(b"\n").split(b"\n")
    ]
    lines = lines + data.draw(st.lists(_damage(st.sampled_from(known)), max_size=60))
    decoded = decode(loaded.format, _raw(lines), loaded.options, loaded.normalizer)
    events, failures = decoded.events["row"].to_list(), decoded.failures["row"].to_list()
    assert sorted(events + failures) == list(range(len(lines)))
    assert set(decoded.failures["stage"].to_list()) <= {"parse"}


@pytest.mark.parametrize("name", SOURCE_FORMATS)
@settings(max_examples=8)
@given(lines=LINES)
def test_a_line_gives_the_same_in_any_company(name: str, lines: list[bytes]):
    """Byte for byte what it gives alone, however many are with it."""
    lines = lines[:20] + (GOOD + PAYLOADS) * 6
    together = decode(name, _raw(lines), OPTIONS.get(name, {}))
    texts = SERIALIZERS["ocsf-json"](together.events).to_list()
    seen = dict(zip(together.events["row"].to_list(), texts, strict=True))
    for row, line in enumerate(lines[:25]):
        alone = decode(name, _raw([line]), OPTIONS.get(name, {}))
        assert SERIALIZERS["ocsf-json"](alone.events).to_list() == (
            [seen[row]] if row in seen else []
        )


@pytest.mark.parametrize("name", ["cef", "leef", "kv", "csv", "xml", "windows", "json"])
@pytest.mark.parametrize(
    "filler", [" ", "=", "|", "\t", '"', "'", "\\", "a ", ' a="', "<a", "<a>", "[", "{"]
)
def test_long_lines_take_no_longer_for_each_character(name: str, filler: str):
    """Lines on which a parser that looks back and forth would not end for hours."""
    head = {"cef": "CEF:0|a|b|c|d|e|f|", "leef": "LEEF:1.0|a|b|c|d|"}.get(name, "")
    line = (head + filler * (400_000 // len(filler)) + '"').encode()
    for options in ({}, {"field_delimiter": "|"}) if name in ("kv", "leef") else ({},):
        decoded = decode(name, _raw([line]), options)
        assert decoded.events.height + decoded.failures.height == 1


def test_a_row_that_breaks_a_stage_is_a_failure(monkeypatch: pytest.MonkeyPatch):
    """Its neighbours become events; stage, component, version and exception are named."""

    def fragile(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:
        if (fields["msg"] == "poison").any():
            raise ZeroDivisionError("poison")
        return NORMALIZERS["text"].normalize(fields, options)

    chain = Chain((FORMATS["plain"],), Normalizer("fragile", "7", fragile))
    monkeypatch.setattr(formats, "CHAINS", {**CHAINS, "fragile": chain})
    monkeypatch.setattr(formats, "SOURCE_FORMATS", {**SOURCE_FORMATS, "fragile": chain})
    lines = [b"poison" if row in (3, 4, 99) else b"line %d" % row for row in range(100)]
    decoded = decode("fragile", _raw(lines), {})
    assert decoded.failures.rows() == [
        (row, "normalize", "ZeroDivisionError: poison", "fragile", "7") for row in (3, 4, 99)
    ]
    assert decoded.events["raw_data"].to_list() == [
        line.decode() for line in lines if line != b"poison"
    ]


def test_a_panic_of_the_engine_is_a_failure_too(monkeypatch: pytest.MonkeyPatch):
    """Polars reports its own faults outside of Exception."""

    def panicking(*_: object) -> pl.DataFrame:
        raise pl.exceptions.PanicException("index out of bounds")

    chain = Chain((FORMATS["plain"],), Normalizer("panicking", "1", panicking))
    monkeypatch.setattr(formats, "CHAINS", {**CHAINS, "panicking": chain})
    monkeypatch.setattr(formats, "SOURCE_FORMATS", {**SOURCE_FORMATS, "panicking": chain})
    decoded = decode("panicking", _raw([b"a", b"b"]), {})
    assert decoded.failures["reason"].to_list() == ["PanicException: index out of bounds"] * 2


def test_fields_of_auto_come_with_the_format_that_read_them():
    """And they too are all rows, once each."""
    found = read("auto", _raw(GOOD), {})
    rows = {fields.format: fields.frame["row"].to_list() for fields in found.fields}
    assert rows == {
        "qumulo": [0, 1, 2],
        "rfc5424": [3],
        "rfc3164": [4],
        "json": [5],
        "plain": [6, 7],
    }
    assert found.failures.height == 0


def test_nuls_at_the_end_are_no_part_of_a_message():
    """Nor a carriage return before them; the original text has both."""
    line = b"<34>1 2026-01-27T14:12:23Z h su - - -"
    for ending, text in ((b"", None), (b" m", "m")):
        for trailer in (b"\0", b"\0\0", b"\r\0", b"\0\r\n"):
            decoded = decode("rfc5424", _raw([line + ending + trailer, line]), {})
            assert decoded.failures.height == 0
            assert decoded.events["message"][0] == text
            kept = (line + ending + trailer).rstrip(b"\r\n").decode()
            assert decoded.events["raw_data"][0] == kept


@pytest.mark.parametrize("rows", [1, 200])
def test_auto_reads_what_it_can_of_a_message_that_rfc5424_refuses(rows: int):
    """PRI, time and host as they are, and the rest as the message; nothing is lost."""
    lines = [
        b"<34>1 2026-01-27t14:12:23z h su - ID47 - lower case",
        b"<34>1 2026-01-27T14:12:23Z h su - ID47 no structured data",
        b"<34>1 - h su - ID47 [a b= c] a blank",
        b"<192>1 2026-01-27T14:12:23Z h su - - - PRI over 191",
    ] * rows
    found = read("auto", _raw(lines), {})
    fields = {each.format: each.frame for each in found.fields}
    assert found.failures.height == 0
    assert fields["rfc3164"].height == 3 * rows
    assert fields["plain"].height == rows
    columns = ["pri", "hostname", "appname", "msg"]
    assert fields["rfc3164"][:3].select(columns).rows() == [
        (34, "h", None, "su - ID47 - lower case"),
        (34, "h", None, "su - ID47 no structured data"),
        (34, "h", None, "su - ID47 [a b= c] a blank"),
    ]


def test_the_reception_decides_the_year_of_a_line():
    """Each line of a batch by its own time stamp, in the zone of the source."""
    lines = _raw([b"<34>Jan  1 00:30:00 h a: m"] * 400).with_columns(
        received=pl.Series([1_767_222_000_000 + (row % 2) * 31_536_000_000 for row in range(400)])
    )
    for name in ("rfc3164", "auto"):
        events = decode(name, lines, {"timezone": "Europe/Berlin"}).events
        # 2025-12-31T23:30:00Z, and a year later.
        assert events["time"].to_list() == [1_767_223_800_000, 1_798_759_800_000] * 200

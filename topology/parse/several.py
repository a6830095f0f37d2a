"""JSON records that hold several events, each given by itself, cut from the very bytes.

The envelope of a CloudWatch Logs subscription, `{"messageType", "owner", "logGroup", …,
"logEvents": [{…}, {…}]}`, holds as many events as the forwarder had at hand: each is given as the
envelope with this one alone. An array of objects gives each object.
"""

import json
import re
from typing import Final

import polars as pl

from topology.parse import nesting
from topology.parse.parsed import MalformedError, Splitter

MEMBER: Final = "logEvents"
MOST: Final = 65_536
"""Events that a record may hold."""
BLANK: Final = re.compile(r"[ \t\r\n]*")
ENDING: Final = " \t\r\n\0"
LARGEST: Final = 1 << 26
"""Bytes that what is around the events may come to with all of them."""
DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def split(record: bytes) -> list[bytes] | None:
    """The envelope for each log event; None where it has less than two, or is none.

    Raises MalformedError where there are too many, or what is around them is too large to be
    repeated.
    """
    text = record.decode("utf-8", "surrogateescape")
    try:
        spans = _spans(text)
    except (ValueError, IndexError, RecursionError):
        return None
    if len(spans) < 2:
        return None
    before, after = text[: spans[0][0]], text[spans[-1][1] :]
    bound(len(spans), len(before) + len(after), "log events")
    return [
        (before + text[start:end] + after).encode("utf-8", "surrogateescape")
        for start, end in spans
    ]


def split_array(record: bytes) -> list[bytes] | None:
    """Each object of an array of objects, with the record's end; None for any other text.

    Raises MalformedError.
    """
    text = record.decode("utf-8", "surrogateescape")
    try:
        spans, end = elements(text, 0)
    except (ValueError, IndexError, RecursionError):
        return None
    after = text[end:]
    if after.strip(ENDING) or any(text[start] != "{" for start, _ in spans):
        return None
    bound(len(spans))
    return [(text[start:end] + after).encode("utf-8", "surrogateescape") for start, end in spans]


def bound(count: int, around: int = 0, events: str = "events") -> None:
    """Raises MalformedError where a record holds too many events, or has more characters around
    them than can be repeated with each."""
    if count > MOST:
        raise MalformedError(f"{count} events in one record; expected at most {MOST}")
    if around * count > LARGEST:
        raise MalformedError(
            f"{count} {events} with {around} characters around them; expected at most {LARGEST} "
            "in all"
        )


def _spans(text: str) -> list[tuple[int, int]]:
    """Where each log event begins and ends. Raises ValueError or IndexError for other texts."""
    found: list[tuple[int, int]] | None = None
    at = skip(text, 0)
    mark = "{"
    while mark != "}":
        at = skip(text, _expect(text, at, mark))
        name, at = DECODER.raw_decode(text, at)
        at = skip(text, _expect(text, skip(text, at), ":"))
        if name != MEMBER:
            at = _value(text, at)
        elif found is None:
            found, at = elements(text, at)
        else:
            raise ValueError("two of them")
        at = skip(text, at)
        mark = "," if text[at] == "," else "}"
    if text[_expect(text, at, "}") :].strip(ENDING):
        raise ValueError("more behind it")
    return found or []


def elements(text: str, at: int) -> tuple[list[tuple[int, int]], int]:
    """Where each value of an array begins and ends, and the end of the array, which begins at
    `at`. Raises ValueError, IndexError or RecursionError for other texts, empty arrays and values
    of too many levels."""
    found = []
    mark = "["
    while mark != "]":
        start = skip(text, _expect(text, at, mark))
        end = _value(text, start)
        found.append((start, end))
        at = skip(text, end)
        mark = "," if text[at] == "," else "]"
    return found, at + 1


def _value(text: str, start: int) -> int:
    """Where a value ends."""
    _, end = DECODER.raw_decode(text, start)
    if nesting.is_deep(text, start, end):
        raise ValueError(nesting.TOO_DEEP)
    return end


def skip(text: str, at: int) -> int:
    """The first place from `at` on that has no JSON white space."""
    blank = BLANK.match(text, at)
    return blank.end() if blank else at


def _expect(text: str, at: int, mark: str) -> int:
    if text[at] != mark:
        raise ValueError(f"no {mark}")
    return at + 1


def _split_either(record: bytes) -> list[bytes] | None:
    return split_array(record) if record.startswith(b"[") else split(record)


RAW: Final = pl.col("raw")
TEXT: Final = '"(?:[^"\\\\]|\\\\.)*"'
FLAT: Final = rf"\{{(?:[^\"{{}}]|{TEXT})*\}}"
ONE: Final = RAW.cast(pl.String, strict=False).str.contains(
    rf'^\s*\{{(?:[^\"{{}}]|{TEXT})*"logEvents"\s*:\s*\[\s*{FLAT}\s*\](?:[^\"{{}}]|{TEXT})*\}}\s*$'
)
"""An envelope with one flat object, as nearly all are that hold one event."""
SPLITTER: Final = Splitter(RAW.bin.contains(b'"logEvents"'), split, ONE)
ARRAYS: Final = Splitter(RAW.bin.starts_with(b"["), split_array)
EITHER: Final = Splitter(SPLITTER.looks | ARRAYS.looks, _split_either, ONE)

"""JSON records that hold several events, each given by itself, cut from the very bytes.

The envelope of a CloudWatch Logs subscription, `{"messageType", "owner", "logGroup", …,
"logEvents": [{…}, {…}]}`, holds as many events as the forwarder had at hand: each is given as the
envelope with this one alone. An array of objects gives each object.
"""

import json
import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from topology.parse.parsed import MalformedError, Splitter

MEMBER: Final = "logEvents"
MOST: Final = 65_536
"""Events that a record may hold."""
BLANK: Final = re.compile(r"[ \t\r\n]*")
ENDING: Final = " \t\r\n\0"
LARGEST: Final = 1 << 26
"""Bytes that what is around the log events may come to with all of them."""
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
    _bound(spans)
    before, after = text[: spans[0][0]], text[spans[-1][1] :]
    around = len(before) + len(after)
    if around * len(spans) > LARGEST:
        raise MalformedError(
            f"{len(spans)} log events with {around} characters around them; expected at most "
            f"{LARGEST} in all"
        )
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
        spans, end = _elements(text, 0)
    except (ValueError, IndexError, RecursionError):
        return None
    after = text[end:]
    if after.strip(ENDING) or any(text[start] != "{" for start, _ in spans):
        return None
    _bound(spans)
    return [(text[start:end] + after).encode("utf-8", "surrogateescape") for start, end in spans]


def _bound(spans: Sequence[tuple[int, int]]) -> None:
    if len(spans) > MOST:
        raise MalformedError(f"{len(spans)} events in one record; expected at most {MOST}")


def _spans(text: str) -> list[tuple[int, int]]:
    """Where each log event begins and ends. Raises ValueError or IndexError for other texts."""
    found: list[tuple[int, int]] | None = None
    at = _skip(text, 0)
    mark = "{"
    while mark != "}":
        at = _skip(text, _expect(text, at, mark))
        name, at = DECODER.raw_decode(text, at)
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        if name != MEMBER:
            _, at = DECODER.raw_decode(text, at)
        elif found is None:
            found, at = _elements(text, at)
        else:
            raise ValueError("two of them")
        at = _skip(text, at)
        mark = "," if text[at] == "," else "}"
    if text[_expect(text, at, "}") :].strip(ENDING):
        raise ValueError("more behind it")
    return found or []


def _elements(text: str, at: int) -> tuple[list[tuple[int, int]], int]:
    found = []
    mark = "["
    while mark != "]":
        start = _skip(text, _expect(text, at, mark))
        _, end = DECODER.raw_decode(text, start)
        found.append((start, end))
        at = _skip(text, end)
        mark = "," if text[at] == "," else "]"
    return found, at + 1


def _skip(text: str, at: int) -> int:
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

"""One JSON text a line (RFC 8259), strictly: no NaN, no raw control characters, nothing after it,
no more levels than nesting.py says.

In: `row`, `text`. Out: `row`, `value:json`: the text itself without white space around it, so that
numbers of any size and repeated keys survive. Beside it, as each text is read once only, what an
object says of its time and message: `@time`, the first of TIMES that it has, where that is a text;
`@time_us`, that as RFC 3339 (microseconds since the epoch); `@time_number`, where it is a number;
`@message`, the first of MESSAGES, where that is a text. An array of objects is taken apart before
(several.py, syslog_array.py).
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from topology.parse import nesting, syslog_array, timestamp
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    MalformedError,
    Parsed,
    Schema,
    merge,
    parse_rows,
)

INEXACT: Final = re.compile(r"[:\[,]\s*-?(?:[0-9]{16}|[0-9]+[.eE])|[:\[,]\s*-0")
"""Numbers that may be written in another way once they were read as 64 bits or as a float."""
CHUNK: Final = 64
"""Texts that are read one by one when one of them is no JSON."""
TIMES: Final = ("time", "timestamp", "@timestamp")
MESSAGES: Final = ("message", "msg")
MEMBERS: Final[Schema] = {
    "@time": pl.String,
    "@time_us": pl.Int64,
    "@time_number": pl.Float64,
    "@message": pl.String,
}
SCHEMA: Final[Schema] = {"row": pl.UInt32, "value:json": pl.String, **MEMBERS}


class Members:
    """What objects say of themselves, in the order in which they are read."""

    def __init__(self) -> None:
        self.times: list[str | None] = []
        self.numbers: list[float | None] = []
        self.messages: list[str | None] = []

    def read(self, texts: Sequence[str]) -> None:
        """All texts or none of them. Raises orjson.JSONDecodeError or MalformedError."""
        times, numbers, messages = [], [], []
        for text in texts:
            # No value outlives its turn, else the garbage collector goes over all of them.
            value = orjson.loads(text)
            if nesting.is_deep(text):
                raise MalformedError(nesting.TOO_DEEP)
            time, number, message = _members(value) if type(value) is dict else NOTHING
            times.append(time)
            numbers.append(number)
            messages.append(message)
        self.times += times
        self.numbers += numbers
        self.messages += messages

    def skip(self, texts: Sequence[str]) -> None:
        """Nothing for texts that are read elsewhere."""
        nothing = [None] * len(texts)
        self.times += nothing
        self.numbers += nothing
        self.messages += nothing

    def columns(self) -> list[pl.Series]:
        """Those of MEMBERS."""
        written = pl.Series("@time", self.times, dtype=pl.String)
        if written.null_count() == len(written):
            micros = pl.Series("@time_us", [None], dtype=pl.Int64).new_from_index(0, len(written))
        else:
            found = timestamp.parse_many(written)
            micros = pl.Series("@time_us", found).set(pl.Series(found == timestamp.NONE), None)
        return [
            written,
            micros,
            pl.Series("@time_number", self.numbers, dtype=pl.Float64),
            pl.Series("@message", self.messages, dtype=pl.String),
        ]


NOTHING: Final = (None, None, None)


def _members(value: dict[str, Any]) -> tuple[str | None, float | None, str | None]:
    written = None
    for name in TIMES:
        if name in value:
            written = value[name]
            break
    message = value["message"] if "message" in value else value.get("msg")
    if type(message) is not str:
        message = None
    if type(written) is str:
        return written, None, message
    if type(written) is int or type(written) is float:
        return None, float(written), message
    return None, None, message


def parse_line(text: str) -> tuple[Any, ...]:
    """The text, checked, and its members. Raises MalformedError."""
    members = Members()
    try:
        members.read([text])
    except orjson.JSONDecodeError as error:
        raise MalformedError(nesting.not_json(error)) from None
    return (text.strip(" \t\r\n"), *(column[0] for column in members.columns()))


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """One value a row."""
    texts = frame["text"].to_list()
    usual = np.ones(frame.height, dtype=np.bool_)
    members = Members()
    for at in range(0, frame.height, CHUNK):
        part = texts[at : at + CHUNK]
        try:
            members.read(part)
        except (orjson.JSONDecodeError, MalformedError):
            usual[at : at + CHUNK] = False
            members.skip(part)
    fields = frame.select("row", pl.col("text").str.strip_chars(" \t\r\n").alias("value:json"))
    fields = fields.hstack(members.columns())
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    return merge(fields, usual, parse_rows(frame.filter(~usual), parse_line, SCHEMA))


PARSER = Format("json", "1", parse, splitter=syslog_array.SPLITTER)

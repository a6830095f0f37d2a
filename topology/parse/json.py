"""One JSON text a line (RFC 8259), strictly: no NaN, no raw control characters, nothing after it.

In: `row`, `text`. Out: `row`, `value:json`: the text itself without white space around it, so that
numbers of any size and repeated keys survive.
"""

import re
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

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
SCHEMA: Final[Schema] = {"row": pl.UInt32, "value:json": pl.String}


def parse_line(text: str) -> tuple[Any, ...]:
    """The text, checked. Raises MalformedError."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error}") from None
    return (text.strip(" \t\r\n"),)


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """One value a row. The check is one call of orjson for a text, without Python around it."""
    fields = frame.select("row", pl.col("text").str.strip_chars(" \t\r\n").alias("value:json"))
    texts = frame["text"].to_list()
    usual = np.ones(frame.height, dtype=np.bool_)
    for at in range(0, frame.height, CHUNK):
        try:
            deque(map(orjson.loads, texts[at : at + CHUNK]), maxlen=0)
        except orjson.JSONDecodeError:
            usual[at : at + CHUNK] = False
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    return merge(fields, usual, parse_rows(frame.filter(~usual), parse_line, SCHEMA))


PARSER = Format("json", "1", parse)

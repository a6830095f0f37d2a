"""One JSON text a line (RFC 8259), strictly: no NaN, no raw control characters, nothing after it.

In: `row`, `text`. Out: `row`, `value:json`: the text itself without white space around it, so that
numbers of any size and repeated keys survive.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
import polars as pl

from topology.parse.parsed import Format, MalformedError, Parsed, Schema, parse_rows

INEXACT: Final = re.compile(r"[:\[,]\s*-?(?:[0-9]{16}|[0-9]+[.eE])|[:\[,]\s*-0")
"""Numbers that may be written in another way once they were read as 64 bits or as a float."""
SCHEMA: Final[Schema] = {"row": pl.UInt32, "value:json": pl.String}


def parse_line(text: str) -> tuple[Any, ...]:
    """The text, checked. Raises MalformedError."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedError(f"not JSON: {error}") from None
    return (text.strip(" \t\r\n"),)


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """One value a row."""
    return parse_rows(frame, parse_line, SCHEMA)


PARSER = Format("json", "1", parse)

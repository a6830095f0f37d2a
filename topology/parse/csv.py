"""Comma-separated values (RFC 4180), one record a line, leniently.

In: `row`, `text`. Out: `row`, `columns:json` (array of strings). A quote inside an unquoted value
is a plain character; text after a closing quote belongs to the value; an unclosed quote ends with
the line. Options: `delimiter`, one character.
"""

import csv
from collections.abc import Mapping
from typing import Any, Final

import orjson
import polars as pl

from topology.parse.parsed import Format, MalformedError, Option, Parsed, Schema, parse_rows

SCHEMA: Final[Schema] = {"row": pl.UInt32, "columns:json": pl.String}

# The limit guards against an unclosed quote in a file; a line of ours is bounded by its reception.
csv.field_size_limit(2**31 - 1)


def split(text: str, delimiter: str = ",", *, strict: bool = False) -> list[str]:
    """The values of one record. `strict` refuses text after a closing quote and unclosed quotes."""
    try:
        records = list(csv.reader([text], delimiter=delimiter, strict=strict))
    except csv.Error as error:
        raise MalformedError(f"not comma-separated values: {error}") from None
    return records[0] if records else []


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
    """One record a row; a row without any value is a failure."""
    delimiter = options.get("delimiter", ",")

    def parse_line(text: str) -> tuple[Any, ...]:
        values = split(text, delimiter)
        if not values:
            raise MalformedError("the line is empty")
        return (orjson.dumps(values).decode(),)

    return parse_rows(frame, parse_line, SCHEMA)


PARSER = Format(
    "csv", "1", parse, {"delimiter": Option("one character between values", r'[^"\r\n]')}
)

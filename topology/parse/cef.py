"""Common Event Format of ArcSight (implementation standard, revision 25).

`CEF:VERSION|VENDOR|PRODUCT|VERSION|SIGNATURE|NAME|SEVERITY|EXTENSION`. In the header `\\|` and
`\\\\` are escapes, in values of the extension `\\=`, `\\\\`, `\\|`, `\\n` and `\\r`; a backslash
before any other character stays. Values may hold blanks and equal signs; blanks at their end are
none of them.

In: `row`, `text`. Out: the columns of SCHEMA. `prefix`: what is before `CEF:`; `rest`: what is in
the extension before the first key.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.dimension import SMALL
from topology.parse import delimited_pairs, piped_header
from topology.parse.delimited_pairs import BLANKS, Syntax, listed
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    Parsed,
    Schema,
    merge,
    parse_rows,
)
from topology.rows import overlay

HEADER: Final = (
    "cef_version",
    "device_vendor",
    "device_product",
    "device_version",
    "signature_id",
    "name",
    "severity",
)
SCHEMA: Final[Schema] = {
    "row": pl.UInt32,
    **dict.fromkeys(HEADER, pl.String),
    "ext:pairs": pairs.PAIRS,
    "prefix": pl.String,
    "rest": pl.String,
}
EXTENSION: Final = Syntax(
    separator=f"[{BLANKS}]+",
    name=r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:\[[0-9]+\])?",
    assign="=",
    first=" ",
    trim=BLANKS,
    skip=f"[{BLANKS}]++",
)
MARK: Final = "CEF"
ESCAPE: Final = re.compile(r"\\([=|\\nr])")
UNESCAPED: Final = {"n": "\n", "r": "\r"}
ESCAPES: Final = {r"\=": "=", r"\|": "|", "\\\\": "\\", r"\n": "\n", r"\r": "\r"}

TEXT: Final = pl.col("text")
HAS_BACKSLASH: Final = [TEXT.str.contains("\\", literal=True).fill_null(value=False)]
UNESCAPE: Final = [TEXT.str.replace_many(ESCAPES)]


def parse_line(text: str) -> tuple[Any, ...]:
    """One record, exactly: the columns of SCHEMA but `row`. Raises MalformedError."""
    header = piped_header.split_one(text, MARK, len(HEADER))
    found, rest = delimited_pairs.split_one(header.tail, EXTENSION)
    ext = [(name, ESCAPE.sub(_unescaped, value)) for name, value in found]
    return (*header.fields, listed(ext), header.prefix, rest)


def _unescaped(found: re.Match[str]) -> str:
    return UNESCAPED.get(found[1], found[1])


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """Records that begin their text go through columns, all others through `parse_line`."""
    if frame.height < SMALL:
        return parse_rows(frame, parse_line, SCHEMA)
    fields, usual = _parse_columns(frame)
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    return merge(fields, usual, parse_rows(frame.filter(~usual), parse_line, SCHEMA))


def _parse_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Fields of all rows, and which of the rows are right."""
    header = piped_header.split_many(frame["text"], MARK, len(HEADER))
    split = delimited_pairs.split_many(header.tail, EXTENSION)
    columns = [
        frame["row"],
        *header.fields,
        unescaped(split.pairs, header.tail),
        pl.Series([None], dtype=pl.String).new_from_index(0, frame.height),
        split.rest,
    ]
    named = [column.alias(name) for column, name in zip(columns, SCHEMA, strict=True)]
    return pl.DataFrame(named), header.good & split.good


def unescaped(found: pl.Series, texts: pl.Series) -> pl.Series:
    """The pairs with the escapes of their values resolved. `texts`: what they were read from."""
    rows = np.flatnonzero(texts.to_frame("text").select(HAS_BACKSLASH).to_series().to_numpy())
    if len(rows) == 0:
        return found
    flat = pairs.flatten(found[rows])
    values = flat.values.to_frame("text").select(UNESCAPE).to_series()
    built = pairs.build(flat._replace(values=values), len(rows)).alias(found.name)
    return overlay(found.to_frame(), rows, built.to_frame()).to_series()


PARSER = Format("cef", "1", parse)

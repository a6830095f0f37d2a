"""Log Event Extended Format of IBM QRadar, versions 1.0 and 2.0.

`LEEF:1.0|VENDOR|PRODUCT|VERSION|EVENT ID|ATTRIBUTES`; 2.0 has one more field before the attributes,
the character between them: as it is, or in hexadecimal (`^`, `0x5E`, `x5E`, `\\x5E`), empty or
absent for a tab. Values are as they are, without escapes.

In: `row`, `text`. Out: the columns of SCHEMA. `prefix`: what is before `LEEF:`; `rest`: what is
before the first name. Option: `field_delimiter`, which counts whatever the record says.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.dimension import SMALL, factorize
from topology.parse import delimited_pairs, piped_header
from topology.parse.delimited_pairs import Syntax, listed
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    Option,
    Parsed,
    Schema,
    merge,
    parse_rows,
)

HEADER: Final = ("leef_version", "vendor", "product", "product_version", "event_id")
SCHEMA: Final[Schema] = {
    "row": pl.UInt32,
    **dict.fromkeys(HEADER, pl.String),
    "ext:pairs": pairs.PAIRS,
    "prefix": pl.String,
    "rest": pl.String,
}
MARK: Final = "LEEF"
TAB: Final = "\t"
HEXADECIMAL: Final = r"(?:0|\\)?[xX][0-9A-Fa-f]{2,4}"
WRITTEN: Final = rf"(?s:[^|])?|{HEXADECIMAL}|\\t"
DELIMITER: Final = re.compile(WRITTEN)
OPTION: Final = "field_delimiter"

TAIL: Final = pl.col("tail")
DELIMITERS: Final = [
    pl.when(~pl.col("version").str.contains(r"^[01](?:\.|$)"))
    .then(TAIL.str.extract(rf"^({WRITTEN})(?:\||$)"))
    .alias("delimiter")
]
ATTRIBUTES: Final = [
    pl.when(pl.col("delimiter").is_null())
    .then(TAIL)
    .otherwise(TAIL.str.strip_prefix(pl.col("delimiter")).str.strip_prefix("|"))
    .alias("attributes")
]


@lru_cache(maxsize=256)
def character(written: str | None) -> str | None:
    """The delimiter that is meant; None for what names none."""
    if not written or written == "\\t":
        return TAB
    if len(written) == 1:
        return written
    code = int(written.lower().partition("x")[2], 16)
    return None if 0xD800 <= code < 0xE000 else chr(code)


@lru_cache(maxsize=256)
def syntax(delimiter: str) -> Syntax:
    """Attributes with this character between them."""
    sign = re.escape(delimiter)
    return Syntax(f"{sign}+", f"[^{sign}=]+", "=", delimiter, delimiter, f"{sign}++")


def parse_line(text: str, delimiter: str | None = None) -> tuple[Any, ...]:
    """One record, exactly: the columns of SCHEMA but `row`. Raises MalformedError."""
    header = piped_header.split_one(text, MARK, len(HEADER))
    tail = header.tail
    if header.fields[0].split(".")[0] not in ("0", "1"):
        written, _, attributes = tail.partition("|")
        said = character(written) if DELIMITER.fullmatch(written) else None
        if said is not None:
            delimiter, tail = delimiter or said, attributes
    found, rest = delimited_pairs.split_one(tail, syntax(delimiter or TAB))
    return (*header.fields, listed(found), header.prefix, rest)


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
    """Records that begin their text go through columns, all others through `parse_line`."""
    forced = options.get(OPTION)
    delimiter = None if forced is None else character(forced)

    def parse_one(text: str) -> tuple[Any, ...]:
        return parse_line(text, delimiter)

    if frame.height < SMALL:
        return parse_rows(frame, parse_one, SCHEMA)
    fields, usual = _parse_columns(frame, delimiter)
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    return merge(fields, usual, parse_rows(frame.filter(~usual), parse_one, SCHEMA))


def _parse_columns(
    frame: pl.DataFrame, delimiter: str | None
) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Fields of all rows, and which of the rows are right."""
    header = piped_header.split_many(frame["text"], MARK, len(HEADER))
    tails = pl.DataFrame([header.fields[0].alias("version"), header.tail.alias("tail")])
    tails = tails.with_columns(DELIMITERS)
    (said,) = factorize(tails, ["delimiter"])
    written = said.distinct(tails["delimiter"]).to_list()
    meant = [character(each) for each in written]
    good = header.good & np.array([each is not None for each in meant], dtype=np.bool_)[said.codes]
    attributes = tails.select(ATTRIBUTES).to_series()
    ext, rest, clean = _attributes(attributes, said.codes, [delimiter or each for each in meant])
    columns = [
        frame["row"],
        *header.fields,
        ext,
        pl.Series([None], dtype=pl.String).new_from_index(0, frame.height),
        rest,
    ]
    named = [column.alias(name) for column, name in zip(columns, SCHEMA, strict=True)]
    return pl.DataFrame(named), good & clean


def _attributes(
    texts: pl.Series, codes: npt.NDArray[np.uint32], delimiters: list[str | None]
) -> delimited_pairs.Split:
    """Pairs of all rows, by the delimiter of each."""
    distinct = sorted({each or TAB for each in delimiters})
    if len(distinct) == 1:
        return delimited_pairs.split_many(texts, syntax(distinct[0]))
    number = np.array([distinct.index(each or TAB) for each in delimiters])[codes]
    rows = [np.flatnonzero(number == place) for place in range(len(distinct))]
    splits = [
        delimited_pairs.split_many(texts[chosen], syntax(each))
        for chosen, each in zip(rows, distinct, strict=True)
    ]
    order = pl.Series(np.argsort(np.concatenate(rows)).astype(np.uint32))
    return delimited_pairs.Split(
        pl.concat([split.pairs for split in splits])[order],
        pl.concat([split.rest for split in splits])[order],
        np.concatenate([split.good for split in splits])[order.to_numpy()],
    )


PARSER = Format(
    "leef",
    "1",
    parse,
    {
        OPTION: Option(
            "one character between attributes, or its code such as 0x7C",
            rf"(?s:.)|{HEXADECIMAL}|\\t",
        )
    },
)

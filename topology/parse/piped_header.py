"""Headers of CEF and LEEF: `MARK:VERSION|field|field|…|`, where `\\|` and `\\\\` are escapes.

Senders put other things before the mark, so it is found at the first place where a word begins.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import factorize
from topology.parse.parsed import MalformedError
from topology.rows import unnest

VERSION: Final = r"[0-9]{1,9}(?:\.[0-9]{1,9})?"
FIELD: Final = re.compile(r"(?:[^|\\]|\\.|\\\Z)*", re.DOTALL)
ESCAPE: Final = re.compile(r"\\([|\\])")

TEXT: Final = pl.col("text")
HAS_BACKSLASH: Final = [
    (
        TEXT.str.find("\\", literal=True)
        < TEXT.str.len_bytes() - pl.col("tail").str.len_bytes().fill_null(0)
    ).fill_null(value=False)
]


class Header(NamedTuple):
    """`fields`: version and the others. `prefix`: what is before the mark. `tail`: what is after
    the header; a last pipe may be missing."""

    fields: list[str]
    prefix: str | None
    tail: str


class Headers(NamedTuple):
    """The same in columns, without prefixes. `good` is false where none of it is right."""

    fields: list[pl.Series]
    tail: pl.Series
    good: npt.NDArray[np.bool_]


@lru_cache(maxsize=8)
def mark(name: str) -> re.Pattern[str]:
    """How a record begins; group 1 is its version."""
    return re.compile(rf"(?:^|(?<=[^A-Za-z0-9_])){name}: ?({VERSION})\|")


def split_one(text: str, name: str, count: int) -> Header:
    """The exact path: `count` fields with the version. Raises MalformedError."""
    start = mark(name).search(text)
    if start is None:
        raise MalformedError(f"no {name}:VERSION| in {text[:40]!r}")
    fields, at = [start[1]], start.end()
    while len(fields) < count:
        found = FIELD.match(text, at)
        end = found.end() if found else at
        fields.append(ESCAPE.sub(r"\1", text[at:end]))
        at = end + 1
        if end == len(text):
            break
    if len(fields) < count:
        raise MalformedError(f"expected {count} fields in the header, saw {len(fields)}")
    return Header(fields, text[: start.start()] or None, text[at:])


def split_many(texts: pl.Series, name: str, count: int) -> Headers:
    """In columns, for records that begin their text and have no escapes in the header."""
    frame = texts.to_frame("text")
    version, *fields, tail = unnest(frame, TEXT.str.splitn("|", count + 1))
    (versions,) = factorize(version.to_frame("version"), ["version"])
    found = [mark(name).match(f"{text}|") for text in versions.distinct(version).to_list()]
    known = pl.Series([each[1] if each else None for each in found], dtype=pl.String)
    good = np.array([each is not None for each in found], dtype=np.bool_)[versions.codes]
    escaped = pl.DataFrame([frame["text"], tail.alias("tail")]).select(HAS_BACKSLASH)
    good &= ~escaped.to_series().to_numpy()
    good &= fields[-1].is_not_null().to_numpy()
    return Headers([known[versions.number], *fields], tail.fill_null(""), good)

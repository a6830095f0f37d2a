"""`name=value` pairs with a separator between them, where values may hold separators too.

A name counts only after a separator and before the sign of assignment, so that `a=b c d=e` is
`b c` and `e`, and `url=http://x/?y=z` one pair. What is before the first name belongs to none.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs

BLANKS: Final = " \t\r\n"
START: Final = "\x1e"
MIDDLE: Final = "\x1f"
PARTS: Final = pl.col("parts")
SPLIT: Final = [
    PARTS.list.first().alias("rest"),
    PARTS.list.slice(1)
    .list.eval(pl.element().str.splitn(MIDDLE, 2).struct.rename_fields(["name", "value"]))
    .alias("pairs"),
]


@dataclass(frozen=True)
class Syntax:
    """`separator`, `name` and `assign` are patterns in what Python's and Rust's have in common,
    without groups. `first`: a separator. `trim`: characters that end no value, and neither start
    nor end what is before the first name. `skip`: as many separators as there are, possessively.
    """

    separator: str
    name: str
    assign: str
    first: str
    trim: str
    skip: str

    @cached_property
    def pattern(self) -> str:
        """A separator, a name, which is group 1, and the sign of assignment."""
        return f"(?:{self.separator})({self.name})(?:{self.assign})"

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The same for the exact path, or separators that no name is after, without group 1.

        Python's expressions would try each of a million blanks in a row as the first, and look at
        all that follow each time.
        """
        return re.compile(f"{self.pattern}|{self.skip}")

    def search(self, text: str, at: int = 0) -> re.Match[str] | None:
        """The next name from here on."""
        found = self.compiled.finditer(text, at)
        return next((each for each in found if each[1] is not None), None)


class Split(NamedTuple):
    """`rest`: before the first name, null for nothing. `good` is false where neither is right."""

    pairs: pl.Series
    rest: pl.Series
    good: npt.NDArray[np.bool_]


def split_one(text: str, syntax: Syntax) -> tuple[list[tuple[str, str]], str | None]:
    """The exact path: pairs, and what is before them."""
    text = syntax.first + text.rstrip(syntax.trim)
    found = [each for each in syntax.compiled.finditer(text) if each[1] is not None]
    starts = [*(each.start() for each in found), len(text)]
    values = [
        (each[1], text[each.end() : end]) for each, end in zip(found, starts[1:], strict=True)
    ]
    return values, text[: starts[0]].strip(syntax.trim) or None


def split_many(texts: pl.Series, syntax: Syntax) -> Split:
    """The same in columns."""
    text = pl.col("text")
    frame = texts.to_frame("text").select(
        pl.concat_str(pl.lit(syntax.first), text.str.strip_chars_end(syntax.trim))
        .str.replace_all(syntax.pattern, f"{START}${{1}}{MIDDLE}")
        .str.split(START)
        .alias("parts"),
        # The first separator is put before the text, and may be one of the marks, too.
        ~(pl.lit(syntax.first) + text).str.contains(f"[{START}{MIDDLE}]").alias("good"),
    )
    rest, found = frame.select(SPLIT).get_columns()
    rest = rest.to_frame("rest").select(stripped(pl.col("rest"), syntax.trim)).to_series()
    return Split(found.cast(pairs.PAIRS), rest, frame["good"].to_numpy())


def stripped(text: pl.Expr, trim: str) -> pl.Expr:
    """Without these characters around it; null for nothing."""
    text = text.str.strip_chars(trim)
    return pl.when(text != "").then(text)


def listed(found: list[tuple[str, str]]) -> list[dict[str, str]]:
    """Pairs as a row of PAIRS has them."""
    return [{"name": name, "value": value} for name, value in found]

"""Any text that a regular expression with named groups matches: `(?P<user>[^ ]+) logged in`.

The expression is looked for anywhere in the text, in Rust's regex: RE2's syntax but for `\\Q…\\E`
and `\\C`, no backtracking, linear time whatever pattern and text.

In: `row`, `text`. Out: `row`, `fields:pairs`: the groups that took part, in the pattern's order.
Option: `pattern`.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.parse.parsed import NO_FAILURES, Format, Option, Parsed, Schema

SCHEMA: Final[Schema] = {"row": pl.UInt32, "fields:pairs": pairs.PAIRS}
PATTERN: Final = "pattern"
NO_MATCH: Final = "the pattern does not match"


def check(pattern: str) -> str | None:
    """What is wrong with a pattern."""
    try:
        groups = pl.Series([""]).str.extract_groups(pattern).struct.fields
    except pl.exceptions.ComputeError as error:
        return f"a regular expression: {' '.join(str(error).split())}"
    return None if _named(groups) else "a regular expression with named groups, (?P<name>…)"


def _named(groups: list[str]) -> list[str]:
    """Polars names groups without a name by their number."""
    return [group for group in groups if not group[:1].isdigit()]


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
    """A text that does not match is a failure."""
    pattern = options.get(PATTERN, "")
    if check(pattern) is not None:
        return _no_match(frame, np.zeros(frame.height, dtype=np.bool_))
    text = pl.col("text")
    matches, found = frame.select(
        text.str.contains(pattern).alias("matches"), text.str.extract_groups(pattern)
    ).get_columns()
    matched = matches.to_numpy()
    taken = found.struct.unnest()
    names = _named(taken.columns)
    if not matched.all():
        taken = taken.filter(matches)
    rows = taken.height
    values = pl.concat([taken[name].alias("value") for name in names], rechunk=True)
    place = np.repeat(np.arange(rows, dtype=np.uint32), len(names))
    group = np.tile(np.arange(len(names), dtype=np.uint32), rows)
    order = group.astype(np.int64) * rows + place
    present = values.is_not_null().to_numpy()[order]
    flat = pairs.Flat(
        place[present],
        pl.Series(names, dtype=pl.String)[pl.Series(group[present])],
        values[pl.Series(order[present])],
    )
    kept = frame["row"] if matched.all() else frame["row"].filter(matches)
    fields = pl.DataFrame([kept, pairs.build(flat, rows).alias("fields:pairs")])
    return Parsed(fields, _no_match(frame, matched).failures)


def _no_match(frame: pl.DataFrame, matched: npt.NDArray[np.bool_]) -> Parsed:
    failures = NO_FAILURES
    if not matched.all():
        failed = frame["row"].filter(pl.Series(~matched))
        failures = pl.DataFrame([failed]).with_columns(pl.lit(NO_MATCH).alias("reason"))
    return Parsed(pl.DataFrame(schema=SCHEMA), failures)


PARSER = Format(
    "regexp",
    "1",
    parse,
    {
        PATTERN: Option(
            "a regular expression with named groups, (?P<name>…)",
            r"(?s:.+)",
            check=check,
            required=True,
        )
    },
)

"""What goes along with a match: behind its uid, so that correlations, whose state is times, uids
and values, know it when they alert.

`<uid>~<rank>` and then, each behind SEPARATOR, `<name>NAMED<text>` for the fields that its alert
shows. The rank is that of the level of the assets behind the event; it is left out where none has a
priority, and the whole mark where there is nothing to say.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.asset_priority import PRIORITY
from topology.correlate.partial_columns import texts
from topology.levels import LEVELS, Level
from topology.rules import Fields
from topology.texts import column_shortened
from topology.uid import MARK, unmarked

SEPARATOR: Final = "\x1f"
NAMED: Final = "\x1e"
LINE: Final = "\x1d"
"""Stands for a line feed, which stands between uids. These three are spaces in a value."""
LONGEST: Final = 512
BEGINNING: Final = 400
"""Characters of a value that a match carries (topology/texts.py): a group may keep thousands."""
RANKS: Final = {level: str(rank) for rank, level in enumerate(LEVELS)}
Rows = npt.NDArray[np.int64]


def marked(
    events: pl.DataFrame, shown: pl.DataFrame, members: Sequence[Rows], fields: Fields
) -> pl.DataFrame:
    """The events, with marks behind `metadata.uid` (String) of the members' rows."""
    if not members or not (fields or PRIORITY in events.columns):
        return events
    rows = members[0] if len(members) == 1 else np.unique(np.concatenate(members))
    found = marks(events, shown, rows, fields)
    if found is None:
        return events
    uids = events["metadata.uid"]
    return events.with_columns(uids.scatter(rows, uids.gather(rows) + found))


def marks(
    events: pl.DataFrame, shown: pl.DataFrame, rows: Rows, fields: Fields
) -> pl.Series | None:
    """The marks of some rows (String), some of them empty; None: there is nothing to say.

    `events` has PRIORITY (String) where assets have one. `shown`: the same rows, as they may be
    seen.
    """
    if not len(rows):
        return None
    there = frozenset(shown.columns)
    said = [
        pl.lit(f"{name}{NAMED}") + pl.lit(_one_line(texts(shown, rows, columns)))
        for name, columns in fields
        if not there.isdisjoint(columns)
    ]
    if not said and PRIORITY not in events.columns:
        return None
    rank = pl.lit("")
    if PRIORITY in events.columns:
        levels = events[PRIORITY].gather(rows)
        ranks = levels.replace_strict(RANKS, default="", return_dtype=pl.String)
        rank = pl.lit(ranks.fill_null(""))
    text = pl.concat_str([rank, *said], separator=SEPARATOR, ignore_nulls=True)
    return pl.select(pl.when(text == "").then(text).otherwise(MARK + text)).to_series()


def _one_line(values: pl.Series) -> pl.Series:
    found = column_shortened(values, LONGEST, BEGINNING)
    if not found.str.contains(f"[{SEPARATOR}{NAMED}{LINE}\n]").any():
        return found
    found = found.str.replace_all(f"[{SEPARATOR}{NAMED}{LINE}]", " ")
    return found.str.replace_all("\n", LINE, literal=True)


def mark_of(uid: str) -> str:
    """The mark of the uid of a match; may be empty."""
    return uid[len(unmarked(uid)) :]


def thinned(uid: str) -> str:
    """The uid of a match without fields."""
    return uid.partition(SEPARATOR)[0]


def greatest(uids: Iterable[str]) -> Level | None:
    """The greatest level of the assets behind matches; None where none has one."""
    ranks = [rank for uid in uids if (rank := uid.partition(MARK)[2].partition(SEPARATOR)[0])]
    return LEVELS[max(map(int, ranks))] if ranks else None


def shown_of(uid: str) -> Mapping[str, str]:
    """The fields that go along with the uid of a match."""
    _, *pairs = uid.partition(MARK)[2].split(SEPARATOR)
    named = (pair.partition(NAMED) for pair in pairs)
    return {name: text.replace(LINE, "\n") for name, _, text in named}

"""What is before the body in the lines of a Qumulo cluster, as nearly all have it."""

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import Dimension, factorize
from topology.memo import Memo
from topology.parse import rfc5424
from topology.parse.parsed import MalformedError

Mask: TypeAlias = npt.NDArray[np.bool_]

SPLIT: Final = pl.col("before").str.splitn(" ", 3)
PARTS: Final = ("prival", "time", "origin")


def is_prival(column: pl.Series) -> Mask | bool:
    """Where PRI and VERSION are right; nearly always they are the same in all lines."""
    (privals,) = factorize(column.alias("prival").to_frame(), ["prival"])
    good = [_is_prival(text) for text in privals.distinct(column).to_list()]
    return good[0] if len(good) == 1 else np.array(good, dtype=np.bool_)[privals.codes]


def _is_prival(text: str | None) -> bool:
    try:
        rfc5424.decode_prival(text or "")
    except MalformedError:
        return False
    return True


def look_up(memo: Memo, dimension: Dimension, texts: pl.Series) -> dict[str, pl.Series]:
    """The memo's columns for every row."""
    distinct = dimension.distinct(texts)
    table, places = memo.look_up_columns(
        [distinct.fill_null("") if distinct.null_count() else distinct]
    )
    found = table[pl.Series(places[dimension.codes])].to_dict()
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    return dict.fromkeys(memo.columns, nothing) | found

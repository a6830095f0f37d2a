"""Records that hold several events: each event a row of its own before anything is parsed.

So what breaks one is a dead letter of its own, with its own bytes and uid, and its neighbours pass.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.parse.parsed import MalformedError, Refused, Split, Splitter

SUB: Final = "sub"
"""The number of an event in its record (UInt32), a column where any record has several."""


class Unfolded(NamedTuple):
    """`raw`: one row for each event, numbered anew. `rows`, `subs`: the record of each of them, and
    which of its events it is. `refused`: records that cannot be taken apart, and with their number
    parts of records that are no events; and the reason."""

    raw: pl.DataFrame
    rows: npt.NDArray[np.uint32]
    subs: npt.NDArray[np.uint32]
    refused: list[tuple[int, int | None, str]]

    def fold(self, frame: pl.DataFrame) -> pl.DataFrame:
        """A frame by `row` with the rows of records, and `sub`."""
        places = frame["row"].to_numpy()
        rows = pl.Series("row", self.rows[places])
        return frame.with_columns(rows).hstack([pl.Series(SUB, self.subs[places])])


def unfold(raw: pl.DataFrame, splitter: Splitter) -> Unfolded | None:
    """Columns `row` and `raw` (Binary), and others that go along; None where no record is to be
    taken apart."""
    marked = np.flatnonzero(raw.select(splitter.looks).to_series().to_numpy())
    if splitter.single is not None and len(marked):
        marked = marked[~_single(raw.select("raw")[marked], splitter.single)]
    parts: dict[int, list[bytes | Refused]] = {}
    refused: list[tuple[int, int | None, str]] = []
    for place, record in zip(marked.tolist(), raw["raw"][marked].to_list(), strict=True):
        found = _cut(splitter.split, record)
        if isinstance(found, str):
            refused.append((place, None, found))
        elif found is not None:
            parts[place] = found
    if not parts and not refused:
        return None
    counts = np.ones(raw.height, dtype=np.int64)
    counts[[place for place, _, _ in refused]] = 0
    for place, found in parts.items():
        counts[place] = len(found)
    places = np.repeat(np.arange(raw.height), counts)
    subs = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    several = np.flatnonzero(np.isin(places, list(parts)))
    texts: list[bytes] = []
    good = np.ones(len(places), dtype=np.bool_)
    cut = (each for found in parts.values() for each in found)
    for at, each in zip(several.tolist(), cut, strict=True):
        if isinstance(each, Refused):
            good[at] = False
            refused.append((int(places[at]), int(subs[at]), each.reason))
        else:
            texts.append(each)
    several = several[good[several]]
    events = raw[pl.Series(places)]
    events = events.with_columns(events["raw"].scatter(several, pl.Series(texts, dtype=pl.Binary)))
    if not good.all():
        places, subs, events = places[good], subs[good], events.filter(pl.Series(good))
    rows = raw["row"].to_numpy()
    return Unfolded(
        events.with_columns(pl.Series("row", np.arange(len(places), dtype=np.uint32))),
        rows[places].astype(np.uint32),
        subs.astype(np.uint32),
        [(int(rows[place]), sub, reason) for place, sub, reason in refused],
    )


def _cut(split: Split, record: bytes) -> list[bytes | Refused] | str | None:
    """The parts, or why there are none; a record that breaks it is one dead letter, too."""
    try:
        found = split(record)
    except MalformedError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None if found is None else list(found)


def _single(raw: pl.DataFrame, single: pl.Expr) -> npt.NDArray[np.bool_]:
    try:
        return raw.select(single).to_series().fill_null(value=False).to_numpy()
    except pl.exceptions.ComputeError:  # one that is not UTF-8 leaves none of them converted
        return np.zeros(raw.height, dtype=np.bool_)


@lru_cache(maxsize=2)
def _parts(split: Split, record: bytes) -> tuple[bytes, ...] | None:
    """Several dead letters of one record come after each other."""
    found = _cut(split, record)
    if found is None or isinstance(found, str):
        return None
    return tuple(each.raw if isinstance(each, Refused) else each for each in found)


def part(splitter: Splitter, record: bytes, sub: int) -> bytes | None:
    """The bytes of one event of a record; None where it holds one only."""
    found = _parts(splitter.split, record)
    return None if found is None else found[sub]

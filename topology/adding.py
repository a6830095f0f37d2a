"""Adds many keys to a list at once, in columns: nearly all that rules do to lists.

What is taken looks just as sub-topology 1 writes it (topology/list_records.py), with a text for
each value; whatever looks different is judged key by key, with the same result.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from schemas import packed_columns
from topology.correlate.head import LEAST
from topology.correlate.list_key import FIXED, SECOND_MS, STEPS, VERSION, Entry

TEXT: Final = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u00[0-9a-f]{2}))*"'
OPENING: Final = re.compile(rf'\{{"a":"add","r":({TEXT}),"t":(null|0|[1-9][0-9]{{0,14}})(?=[,}}])')
VALUES: Final = rf"\{{(?:{TEXT}:{TEXT}(?:,{TEXT}:{TEXT})*)?\}}"
REST: Final = rf"^(?:,\"v\":({VALUES}))?(?:,\"n\":{TEXT})?\}}$"
"""Of a step that keeps no values, or some, all of which are there."""
PLAIN: Final = r"^[ !#-\[\]-~]*$"
"""A uid that is the same in JSON."""
RULES: Final = 8
"""Steps that are looked for; what others add is left."""
FOREVER: Final = 2**62
"""Of entries that stay until they are removed."""
FAR: Final = 2**61
FIXED_COLUMNS: Final = np.dtype(
    [("version", "u1"), ("judged", "<i8"), ("due", "<i8"), ("goes", "<i8")]
)
"""The beginning of a head record (topology/correlate/list_key.py)."""
Numbers = npt.NDArray[np.int64]


class Adding(NamedTuple):
    """Who adds, as JSON, and for how long."""

    by: str
    ttl_ms: int | None


class Added(NamedTuple):
    """Places in what was given of what was added, and their head records; `goes`: when each entry
    is to be looked at for its end; LEAST: never, or that was said before."""

    rows: Numbers
    heads: list[bytes]
    goes: Numbers


def add(
    texts: Sequence[str],
    times: Numbers,
    uids: Sequence[str],
    heads: Sequence[bytes | None],
    judged: int,
) -> list[Added]:
    """Add keys of which nothing waits but this, each once: what is to be done (JSON), at a time,
    by an event, with a key that has a head record or none; all of it is `judged` until then."""
    column = pl.Series(texts, dtype=pl.String)
    names = pl.Series(uids, dtype=pl.String)
    open_ = (names.str.contains(PLAIN).to_numpy()) & (np.abs(times) < FAR)
    found: list[Added] = []
    for _ in range(RULES):
        rows = np.flatnonzero(open_)
        if not len(rows):
            break
        opening = OPENING.match(texts[int(rows[0])])
        if opening is None:
            open_[rows[0]] = False
            continue
        like = open_ & column.str.starts_with(opening[0]).to_numpy()
        open_ &= ~like
        rest = column.str.strip_prefix(opening[0])
        like &= rest.str.contains(REST).to_numpy()
        rows = np.flatnonzero(like)
        if len(rows):
            values = rest.gather(rows).str.extract(REST).fill_null("{}")
            adding = Adding(opening[1], None if opening[2] == "null" else int(opening[2]))
            some, before = names.gather(rows), [heads[row] for row in rows.tolist()]
            found.append(write(rows, adding, values, times[rows], some, before, judged))
    return found


def write(
    rows: Numbers,
    adding: Adding,
    values: pl.Series,
    times: Numbers,
    uids: pl.Series,
    heads: Sequence[bytes | None],
    judged: int,
) -> Added:
    """Add keys, the places of which are `rows`. `values` are JSON, `uids` PLAIN, times not FAR."""
    since, until = times.copy(), np.full(len(times), FOREVER)
    if adding.ttl_ms is not None:
        until = times + adding.ttl_ms
    goes = np.full(len(times), LEAST)
    if any(heads):
        goes, old, entries = entries_of(heads)
        there = old > times
        first = [0 if entry is None else entry.since for entry in entries]
        since = np.where(there, np.array(first, np.int64), times)
        until = np.where(there, np.maximum(old, until), until)
    new = (goes == LEAST) & (until < FOREVER)
    steps = np.maximum(SECOND_MS, (until - since) // STEPS)
    ends = np.where(new, -(-until // steps) * steps, LEAST)
    fixed = np.empty(len(times), FIXED_COLUMNS)
    fixed["version"], fixed["judged"], fixed["due"] = VERSION, judged, LEAST
    fixed["goes"] = np.where(new, ends, goes)
    size = FIXED.size
    beginnings = packed_columns.slices(
        fixed.tobytes(), np.arange(len(times)) * size, np.full(len(times), size)
    )
    frame = pl.DataFrame(
        {
            "fixed": beginnings,
            "since": since,
            "until": pl.Series(until).set(pl.Series(until == FOREVER), None),
            "uid": uids,
            "values": values,
        }
    )
    rest = pl.concat_str(
        pl.lit("[[],["),
        pl.col("since"),
        pl.lit(","),
        pl.col("until").cast(pl.String).fill_null("null"),
        pl.lit(f',{adding.by},"'),
        pl.col("uid"),
        pl.lit('",'),
        pl.col("values"),
        pl.lit("]]"),
    )
    made = frame.select(pl.col("fixed") + rest.cast(pl.Binary)).to_series().to_list()
    return Added(rows, made, ends)


def entries_of(
    heads: Sequence[bytes | None],
) -> tuple[Numbers, Numbers, Sequence[Entry | None]]:
    """Of keys: when they are to be looked at already, until when they are there, and their entries;
    LEAST: never."""
    goes, until = np.full(len(heads), LEAST), np.full(len(heads), LEAST)
    entries: list[Entry | None] = [None] * len(heads)
    size = FIXED.size
    rows = [row for row, head in enumerate(heads) if head is not None]
    some = [head for head in heads if head is not None]
    if some:
        fixed = np.frombuffer(b"".join([head[:size] for head in some]), FIXED_COLUMNS)
        goes[rows] = fixed["goes"]
        for row, (_, entry) in zip(
            rows, orjson.loads(b"[%b]" % b",".join([head[size:] for head in some])), strict=True
        ):
            if entry is not None:
                entries[row] = found = Entry(*entry)
                until[row] = FOREVER if found.until is None else found.until
    return goes, until, entries

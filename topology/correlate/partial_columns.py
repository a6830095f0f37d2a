"""Partials of many matches, in columns; equal to what topology/correlate/partials.py makes of few.

A rule may match every second event, each in a group of its own, so nothing here loops over groups
(but for the values of a value_count rule, which are JSON).
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import packed, packed_columns
from topology.json_each import dumps_each
from topology.partitioner import partitions as partition_of
from topology.rules import NUMBER, STEPS
from topology.texts import as_text, column_shortened
from topology.uid import ordered

MANY = 256
"""Hits from which on a batch's matches of a rule are worked on in columns."""
GROUPS = 64
"""Groups from which on they share records instead of having one each."""
FITS = 2_000_000
"""Bytes of the uids and of what is counted of a Partial, at most, so that it is sure to fit a
record."""
LARGE = 1_000_000
"""Bytes of a PartialBatch; the next group goes into another one."""

Rows = npt.NDArray[np.int64]


def matches(
    events: pl.DataFrame,
    shown: pl.DataFrame,
    members: Sequence[tuple[Rows, Sequence[Sequence[str]], Sequence[Sequence[str]], str | bool]],
    counts: Counter[str],
) -> pl.DataFrame:
    """Matches by group, each in (time, uid) order; an event that several members match counts once.
    Groups are taken from `shown`, which has the same rows.

    `members`: rows, the columns of each group-by field and counted field, and the rule's id if that
    is what counts (ids of an event that several match are joined), else whether the values are
    numbers. Columns: `time`, `uid`, `g0` and
    so on for the group, `v0` and so on for what is counted (all String but `time`).
    """
    parts = [_read(events, shown, *member, counts) for member in members]
    found = parts[0]
    group = [name for name in found.columns if name.startswith("g")]
    if len(parts) > 1:
        found = pl.concat(parts)
        if isinstance(members[0][3], bool):
            found = found.unique(["uid", *group], keep="last", maintain_order=True)
        elif found.select("uid", *group).is_duplicated().any():
            found = found.group_by("time", "uid", *group, maintain_order=True).agg(
                pl.col("v0").str.join(STEPS)
            )
    return found.sort(*group, "time", "uid")


def _read(
    events: pl.DataFrame,
    shown: pl.DataFrame,
    rows: Rows,
    group: Sequence[Sequence[str]],
    value: Sequence[Sequence[str]],
    step: str | bool,
    counts: Counter[str],
) -> pl.DataFrame:
    columns = [
        events["time"].gather(rows).alias("time"),
        events["metadata.uid"].gather(rows).alias("uid"),
    ]
    columns += [texts(shown, rows, names).alias(f"g{at}") for at, names in enumerate(group)]
    columns += [texts(events, rows, names).alias(f"v{at}") for at, names in enumerate(value)]
    if step is True:
        numbers = columns[-1].str.contains(f"^(?:{NUMBER})$")
        columns[-1] = columns[-1].set(~numbers.fill_null(value=False), None)
    if isinstance(step, str):
        columns.append(pl.Series("v0", [step], dtype=pl.String).new_from_index(0, len(rows)))
    found = pl.DataFrame(columns)
    for kind, reason in (("g", "matches_without_group"), ("v", "matches_without_value")):
        before = found.height
        names = [name for name in found.columns if name[0] == kind and found[name].null_count()]
        if names:
            found = found.drop_nulls(names)
        counts[reason] += before - found.height
    return found


def texts(events: pl.DataFrame, rows: Rows, names: Sequence[str]) -> pl.Series:
    """Values of some rows as text, from the first of the columns that has one."""
    found: pl.Series | None = None
    for name in names:
        if name in events.columns:
            values = column_shortened(as_text(events[name].gather(rows)))
            found = values if found is None else found.zip_with(found.is_not_null(), values)
            if not found.null_count():
                return found
    if found is None:
        return pl.Series([None], dtype=pl.String).new_from_index(0, len(rows))
    return found


class Partials(NamedTuple):
    """Matches in the order of `matches`, each Partial's from `firsts` on, `counts` of them.

    `values` (Binary) has what the rule counts of each Partial.
    """

    rule: str
    found: pl.DataFrame
    group: list[pl.Series]
    firsts: Rows
    counts: Rows
    values: pl.Series | None


def first_and_last(found: pl.DataFrame, timespan_ms: int) -> pl.DataFrame:
    """What a first-seen rule needs of a batch: none between two that are less than a timespan
    apart is the first for anybody, nor the one that a later match is compared with."""
    if not found.height:
        return found
    group = [found[name] for name in found.columns if name.startswith("g")]
    firsts = _firsts(group, found.height, found.height)
    lasts = np.append(firsts[1:], found.height) - 1
    times = found["time"].to_numpy()
    kept = np.repeat(times[lasts] - times[firsts] >= timespan_ms, lasts - firsts + 1)
    kept[_earliest(found["uid"], times, firsts, lasts)] = kept[lasts] = True
    return found.filter(pl.Series(kept))


def _earliest(uids: pl.Series, times: Rows, firsts: Rows, lasts: Rows) -> Rows:
    """The row of each group that is before all others: of those with its first time, one."""
    found = firsts.copy()
    several = np.flatnonzero(
        (firsts < lasts) & (times[np.minimum(firsts + 1, lasts)] == times[firsts])
    )
    for place in several.tolist():
        first, last = int(firsts[place]), int(lasts[place])
        stop = first + int(np.searchsorted(times[first : last + 1], times[first], side="right"))
        same = uids[first:stop].to_list()
        found[place] = first + min(range(len(same)), key=lambda at: ordered(same[at]))
    return found


def divide(found: pl.DataFrame, rule: str, largest: int) -> Partials:
    """Partials of at most `largest` matches from what `matches` found, or of so few that their uids
    and what they count fit a record; at least one."""
    group = [found[name] for name in found.columns if name.startswith("g")]
    names = found["uid"].str.len_bytes().to_numpy().astype(np.int64)
    while True:
        firsts = _firsts(group, found.height, largest)
        counts = np.diff(np.append(firsts, found.height))
        values = _values(found, firsts, counts)
        sizes = np.add.reduceat(names, firsts)
        if values is not None:
            sizes += values.bin.size().to_numpy()
        if largest == 1 or sizes.max() <= FITS:
            groups = [column.gather(firsts) for column in group]
            return Partials(rule, found, groups, firsts, counts, values)
        largest = max(1, largest // 4)


def write(
    made: Partials, tenants: Sequence[str], source: bytes
) -> list[tuple[pl.Series, pl.Series]]:
    """Keys and values (Binary) of the Partials of each tenant."""
    _, found, groups, firsts, counts, values = made
    times = found["time"].to_numpy().astype("<i8").tobytes()
    members = (
        packed_columns.slices(times, firsts * 8, counts * 8),
        packed_columns.joined(found["uid"], "\n", firsts, counts),
        values,
        None,
    )
    heads = packed_columns.head_ends(groups) if groups else b"\0"
    endings = _endings(groups, len(firsts)).cast(pl.Binary)
    out = []
    for tenant in tenants:
        beginning = packed.opening("Partial", tenant, made.rule)
        column = packed_columns.partials(beginning, heads, members, source)
        out.append((_keys(tenant, made.rule, endings), column))
    return out


def batches(
    made: Partials, tenant: str, source: bytes, partitions: int
) -> Iterator[tuple[int, bytes]]:
    """The Partials as PartialBatches, each with its partition; a few more bytes than LARGE."""
    endings = _endings(made.group, len(made.firsts))
    lengths = endings.str.len_bytes().to_numpy().astype(np.int64)
    names = made.found["uid"].str.len_bytes().to_numpy().astype(np.int64)
    counts = made.counts
    uids = np.add.reduceat(names, made.firsts) + counts - 1
    values = np.zeros(len(counts), np.int64)
    if made.values is not None:
        values = made.values.bin.size().to_numpy().astype(np.int64)
    sizes = np.stack((lengths, counts, uids, values), 1).astype("<u4")
    keys = _keys(tenant, made.rule, endings.cast(pl.Binary)).to_list()
    same = len(f"{tenant}\0{made.rule}".encode())
    parts = partition_of(keys, partitions, same)
    times = made.found["time"].to_numpy().astype("<i8")
    for partition in np.unique(parts).tolist():
        own = np.flatnonzero(parts == partition)
        weights = lengths[own] + 8 * counts[own] + uids[own] + values[own]
        cuts = np.flatnonzero(np.diff(np.cumsum(weights) // LARGE)) + 1
        for groups in np.split(own, cuts):
            many = counts[groups]
            rows = np.repeat(made.firsts[groups] - np.cumsum(many) + many, many)
            rows += np.arange(len(rows))
            counted = b""
            if made.values is not None:
                counted = b"".join(made.values.gather(groups).to_list())
            members = (
                sizes[groups].tobytes(),
                endings.gather(groups).str.join("")[0].encode(),
                times[rows].tobytes(),
                made.found["uid"].gather(rows).str.join("\n")[0].encode(),
                counted,
            )
            yield partition, packed.partial_batch(tenant, made.rule, source, members)


def _firsts(group: Sequence[pl.Series], height: int, largest: int) -> Rows:
    """The first row of each Partial."""
    changes = np.zeros(height, dtype=np.bool_)
    changes[0] = True
    for column in group:
        changes[1:] |= (column[1:] != column[:-1]).to_numpy()
    firsts = np.flatnonzero(changes)
    counts = np.diff(np.append(firsts, height))
    if counts.max() > largest:
        more = [
            np.arange(first, first + count, largest)
            for first, count in zip(firsts.tolist(), counts.tolist(), strict=True)
        ]
        firsts = np.concatenate(more)
    return firsts


def _values(found: pl.DataFrame, firsts: Rows, counts: Rows) -> pl.Series | None:
    names = [name for name in found.columns if name.startswith("v")]
    if not names:
        return None
    if len(names) == 1:
        values = found[names[0]].to_list()
    else:
        values = list(map(list, found.select(names).iter_rows()))
    bounds = zip(firsts.tolist(), (firsts + counts).tolist(), strict=True)
    return pl.Series(dumps_each(values[first:end] for first, end in bounds), dtype=pl.Binary)


def _keys(tenant: str, rule: str, endings: pl.Series) -> pl.Series:
    """Keys as topology/keys.py makes them."""
    return pl.select(pl.lit(f"{tenant}\0{rule}".encode()) + pl.lit(endings)).to_series()


def _endings(groups: Sequence[pl.Series], count: int) -> pl.Series:
    """What follows tenant and rule in the keys (String)."""
    if not groups:
        return pl.Series([""]).new_from_index(0, count)
    key = pl.lit("")
    columns = []
    for at, column in enumerate(groups):
        escaped = column
        if column.str.contains("[\\\\\\x00]").any():
            escaped = column.str.replace_all("\\", "\\\\", literal=True)
            escaped = escaped.str.replace_all("\0", "\\0", literal=True)
        columns.append(escaped.alias(str(at)))
        key = key + pl.lit("\0") + pl.col(str(at))
    return pl.DataFrame(columns).select(key).to_series()

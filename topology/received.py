"""What arrives in a raw topic: records become normalized events with the uids they keep.

In this order: parse, normalize, mutate, filter. An event that is filtered out still says how far
event time is.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.formats import decode, splitter_of
from topology.isolate import Failure, in_order, isolate, stage
from topology.mutate.mutation import mutate
from topology.plan import SourcePlan
from topology.records import Batch
from topology.uid import record_uids
from topology.unfold import part
from topology.watermark import NOTHING


class RawRecord(NamedTuple):
    """A record of a raw topic, and its uid."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    uid: str


class Received(NamedTuple):
    """`events` by `row`, the place of their record in the batch; every row is there, filtered, a
    failure or a tick. `times`: for each record the greatest event time in it, at most its time
    stamp; that of a tick; or NOTHING. `counts`: records (events, of records with `several`) that
    were `filtered`, what each filter dropped and each mutation did not fit, and how many events
    there are more than records (`several`)."""

    events: pl.DataFrame
    failures: list[Failure]
    uids: pl.Series
    ticks: npt.NDArray[np.bool_]
    times: npt.NDArray[np.int64]
    counts: Counter[str]


def receive(source: SourcePlan, batch: Batch, origin: str) -> Received:
    """Parse and normalize records of a raw topic. `origin` begins their uids."""
    raw = pl.DataFrame(
        {
            "row": np.arange(len(batch), dtype=np.uint32),
            "raw": pl.Series(batch.values, dtype=pl.Binary),
            "received": batch.timestamps,
        }
    )
    ticks = raw["raw"].is_null().to_numpy()
    if ticks.any():
        raw = raw.filter(pl.col("raw").is_not_null())
    uids = record_uids(batch, origin)
    decoded = decode(source.format, raw, source.options, source.own_normalizer)
    failures = [Failure(*row) for row in decoded.failures.iter_rows()]
    counts: Counter[str] = Counter()
    events = decoded.events
    if "sub" in events.columns:
        counts["several"] = events.height + len(failures) - raw.height
    if source.mutations:
        work = partial(mutate, mutations=source.mutations)
        events = _through("mutate", source, events, work, failures, counts)
    events = stamped(events, batch.timestamps, uids)
    times = capped(events, batch.timestamps, np.where(ticks, batch.timestamps, NOTHING))
    if source.filters:
        events = _filtered(source, events, failures, counts)
    return Received(events, in_order(failures), uids, ticks, times, counts)


Worked: TypeAlias = tuple[pl.DataFrame, Counter[str]]


def _through(
    name: str,
    source: SourcePlan,
    events: pl.DataFrame,
    work: Callable[[pl.DataFrame], Worked],
    failures: list[Failure],
    counts: Counter[str],
) -> pl.DataFrame:
    """What a stage makes of the events; what breaks it joins the failures."""

    def named(part: pl.DataFrame) -> Worked:
        with stage(name, source.name):
            return work(part)

    results, broken = isolate(events, named)
    failures += broken
    for _, counted in results:
        counts.update({f"{name}.{source.name}.{key}": count for key, count in counted.items()})
    parts = [part for part, _ in results]
    if len(parts) == 1:
        return parts[0]
    return pl.concat(parts, how="diagonal") if parts else events.clear()


def _filtered(
    source: SourcePlan, events: pl.DataFrame, failures: list[Failure], counts: Counter[str]
) -> pl.DataFrame:
    before = len(failures)
    kept = _through("filter", source, events, source.filters.apply, failures, counts)
    if "sub" in events.columns:
        count = events.height - kept.height - (len(failures) - before)
        if count:
            counts["filtered"] += count
        return kept
    if kept.height == events.height:
        return kept
    gone = np.setdiff1d(events["row"].to_numpy(), kept["row"].to_numpy())
    failed = np.fromiter((failure.row for failure in failures), dtype=np.uint32)
    if count := len(np.setdiff1d(gone, failed)):
        counts["filtered"] += count
    return kept


def capped(
    events: pl.DataFrame, timestamps: npt.NDArray[np.int64], times: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """`times` raised to those of the events of each record, which count up to its time stamp."""
    rows = events["row"].to_numpy()
    np.maximum.at(times, rows, np.minimum(events["time"].to_numpy(), timestamps[rows]))
    return times


def stamped(
    events: pl.DataFrame, timestamps: npt.NDArray[np.int64], uids: pl.Series
) -> pl.DataFrame:
    """Add `metadata.uid` and `metadata.logged_time`; without a time of its own, that of receipt."""
    rows = events["row"]
    logged = pl.Series("metadata.logged_time", timestamps[rows.to_numpy()])
    uid = uids.gather(rows).rename("metadata.uid")
    if "sub" in events.columns:
        sub = events["sub"]
        uid = uid.zip_with(sub == 0, uid + "-" + sub.cast(pl.String))
    events = events.with_columns(uid, logged)
    if events["time"].null_count():
        events = events.with_columns(time=pl.col("time").fill_null(logged))
    return events


def record_of(source: SourcePlan, batch: Batch, uids: pl.Series, failure: Failure) -> RawRecord:
    """The record of a failure, of a batch of a raw topic; of a record that holds several events
    this one alone, with its own uid: sent again, it gives what was missing and no more."""
    row = failure.row
    value, uid = batch.values[row], uids[row]
    splitter = splitter_of(source.format)
    if value is not None and failure.sub is not None and splitter is not None:
        own = part(splitter, value, failure.sub)
        if own is not None:
            value, uid = own, f"{uid}-{failure.sub}" if failure.sub else uid
    return RawRecord(
        batch.topic,
        int(batch.partitions[row]),
        int(batch.offsets[row]),
        int(batch.timestamps[row]),
        batch.keys[row],
        value,
        uid,
    )

"""The boundary `normalized` as a topic: events on their way from normalize to enrich.

Each event is one record, with the key of its raw record and in the partition of the same number;
a tick is a record of its own, and so is how far event time got without one: with events that were
filtered out, and dead letters.
Beside the event's columns a value holds where it comes from:

- `@raw.partition`, `@raw.offset`, `@raw.timestamp`: of the raw record; without an event the last is
  the time that was reached
- `@raw.stream_time`: greatest event time in the raw partition before that record, none at first;
  whether the event is late is judged by it, whoever reads it and when
- `@raw.line_end`: what `raw_data` is without, where it is not empty
- `@raw.base64`: instead of the event, the raw record's value, where the event is too large for a
  record; the reader normalizes it again
"""

import base64
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology import normalized
from topology.formats import RAW_BASE64, decode, splitter_of
from topology.isolate import Failure, isolate, stage
from topology.mutate.mutation import mutate
from topology.plan import SourcePlan
from topology.received import RawRecord, Received, capped
from topology.records import Batch, Output
from topology.rows import expand
from topology.watermark import NOTHING

LARGEST: Final = 4_000_000
"""Bytes that a value may have; its topic takes a little more (topology/topics.py)."""
PARTITION: Final = "@raw.partition"
OFFSET: Final = "@raw.offset"
TIMESTAMP: Final = "@raw.timestamp"
STREAM_TIME: Final = "@raw.stream_time"
LINE_END: Final = "@raw.line_end"
WHOLE: Final = "@raw.base64"
UID: Final = "metadata.uid"
ORIGIN: Final = (PARTITION, OFFSET, TIMESTAMP, STREAM_TIME)


def records(
    topic: str, batch: Batch, received: Received, before: npt.NDArray[np.int64]
) -> list[Output]:
    """The events and ticks of raw records. `before`: stream time before each of them, or NOTHING.

    An event that cannot be encoded raises; there is no text or number that cannot.
    """
    parts: list[pl.Series] = []
    rows: list[npt.NDArray[np.uint32]] = []
    events = received.events
    if events.height:
        places = events["row"].to_numpy()
        events = events.hstack(_origin(batch, before, places))
        raw = pl.Series(batch.values, dtype=pl.Binary)
        if events.height != len(batch) or "sub" in events.columns:
            raw = raw[events["row"]]
        events = events.hstack(_line_ends(events, raw))
        values = normalized.encode(events)
        large = (values.bin.size() > LARGEST).to_numpy()
        if large.any():
            values = _whole_where(large, events, values)
        parts.append(values)
        rows.append(places)
    for places, times in (
        (np.flatnonzero(received.ticks), batch.timestamps),
        (_silent(batch, received), np.maximum(before, received.times)),
    ):
        if len(places):
            origin = pl.DataFrame(_origin(batch, before, places.astype(np.uint32)))
            reached = pl.Series(TIMESTAMP, times[places])
            parts.append(normalized.encode(origin.with_columns(reached)))
            rows.append(places.astype(np.uint32))
    if not parts:
        return []
    every = np.concatenate(rows)
    keys = pl.Series(batch.keys, dtype=pl.Binary)
    values = pl.concat([part.alias("value") for part in parts])
    outputs = []
    for number in np.unique(batch.partitions[every]):
        chosen = np.flatnonzero(batch.partitions[every] == number)
        chosen = chosen[np.argsort(every[chosen], kind="stable")]
        own = keys[pl.Series(every[chosen])]
        outputs.append(Output(topic, values[pl.Series(chosen)], own, int(number)))
    return outputs


def _silent(batch: Batch, received: Received) -> npt.NDArray[np.intp]:
    """The last row of each partition that tells a time, where no record has it: it was filtered out
    or is a dead letter."""
    if not received.counts["filtered"] and not received.failures:
        return np.zeros(0, dtype=np.intp)
    told = received.ticks.copy()
    told[received.events["row"].to_numpy()] = True
    silent = (received.times != NOTHING) & ~told
    last = np.full((2, int(batch.partitions.max()) + 1), -1, dtype=np.intp)
    for kind, chosen in enumerate((told, silent)):
        places = np.flatnonzero(chosen)
        np.maximum.at(last[kind], batch.partitions[places], places)
    told_last, silent_last = last
    return silent_last[silent_last > told_last]


def _origin(
    batch: Batch, before: npt.NDArray[np.int64], rows: npt.NDArray[np.uint32]
) -> list[pl.Series]:
    times = pl.Series(STREAM_TIME, before[rows])
    started = before[rows] != NOTHING
    return [
        pl.Series(PARTITION, batch.partitions[rows]),
        pl.Series(OFFSET, batch.offsets[rows]),
        pl.Series(TIMESTAMP, batch.timestamps[rows]),
        times if started.all() else times.set(pl.Series(~started), None),
    ]


def _line_ends(events: pl.DataFrame, raw: pl.Series) -> list[pl.Series]:
    """What the text of an event lacks at the end; none where its bytes are kept whole."""
    if "sub" in events.columns:
        # What an event was made of may be a part of the record, which ends like it.
        ends = [value[len(value.rstrip(b"\r\n")) :].decode() or None for value in raw.to_list()]
        kept_whole = events.get_column(RAW_BASE64, default=None)
        column = pl.Series(LINE_END, ends, dtype=pl.String)
        if kept_whole is not None:
            column = column.set(kept_whole.is_not_null(), None)
        return [] if column.null_count() == len(column) else [column]
    found = pl.DataFrame([events["raw_data"].alias("text"), raw.alias("raw")])
    length = pl.col("text").str.len_bytes()
    found = found.with_columns(ended=length < pl.col("raw").bin.size())
    if RAW_BASE64 in events.columns:
        found = found.with_columns(pl.col("ended") & events[RAW_BASE64].is_null())
    ended = found["ended"].to_numpy().nonzero()[0]
    if not len(ended):
        return []
    end = pl.col("raw").bin.slice(length).cast(pl.String).alias(LINE_END)
    return expand(found[pl.Series(ended)].select(end), ended, events.height).get_columns()


def _whole_where(
    large: npt.NDArray[np.bool_], events: pl.DataFrame, values: pl.Series
) -> pl.Series:
    """The values with those that are too large exchanged for the raw record's, or for what of it
    the event was made of."""
    places = np.flatnonzero(large)
    chosen = events.filter(pl.Series(large))
    texts = [_base64(event) for event in chosen.iter_rows(named=True)]
    kept = [name for name in (*ORIGIN, UID, "sub") if name in chosen.columns]
    instead = normalized.encode(chosen.select(kept).hstack([pl.Series(WHOLE, texts)]))
    source = np.arange(len(values), dtype=np.uint32)
    source[places] = np.arange(len(values), len(values) + len(places), dtype=np.uint32)
    return pl.concat([values, instead.alias(values.name)])[pl.Series(source)]


def _base64(event: Mapping[str, Any]) -> str:
    """The raw bytes of an event."""
    whole: str | None = event.get(RAW_BASE64)
    if whole is not None:
        return whole
    return base64.b64encode((event["raw_data"] + (event.get(LINE_END) or "")).encode()).decode()


class Arrived(NamedTuple):
    """A batch of `normalized.<source>`: `events` with the columns of `records`, by `row`; for each
    record its event time, at most its raw record's time stamp, and the stream time before it."""

    events: pl.DataFrame
    failures: list[Failure]
    times: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]


def arrive(source: SourcePlan, batch: Batch) -> Arrived:
    """Read what `records` wrote. A value of anyone else is a failure."""
    found = pl.DataFrame(
        {
            "row": np.arange(len(batch), dtype=np.uint32),
            "value": pl.Series(batch.values, dtype=pl.Binary),
        }
    ).filter(pl.col("value").is_not_null())
    parts, failures = isolate(found, lambda part: _read(source, part))
    times = np.full(len(batch), NOTHING, dtype=np.int64)
    before = np.full(len(batch), NOTHING, dtype=np.int64)
    stamps = np.zeros(len(batch), dtype=np.int64)
    events = []
    for frame in (frame for part in parts for frame in part):
        rows = frame["row"].to_numpy()
        stamps[rows] = frame[TIMESTAMP].to_numpy()
        if STREAM_TIME in frame.columns:
            before[rows] = frame[STREAM_TIME].fill_null(NOTHING).to_numpy()
        if "time" in frame.columns:
            events.append(frame)
            times = capped(frame, stamps, times)
        else:
            times[rows] = stamps[rows]
    return Arrived(_joined(events, len(parts)), failures, times, before)


def _read(source: SourcePlan, found: pl.DataFrame) -> list[pl.DataFrame]:
    with stage("events", "normalized"):
        frames = normalized.decode(found)
        for frame in frames:
            if missing := {PARTITION, OFFSET, TIMESTAMP}.difference(frame.columns):
                raise ValueError(f"saw no member {', '.join(sorted(missing))}")
        return [_again(source, each) if WHOLE in each.columns else each for each in frames]


def _joined(frames: list[pl.DataFrame], parts: int) -> pl.DataFrame:
    """Events in row order, with the codes that all of them have, unless they were read in parts."""
    if not frames:
        return pl.DataFrame(schema={"row": pl.UInt32, "time": pl.Int64})
    if len(frames) == 1:
        return frames[0]
    apart = [
        code
        for code in ocsf.SHARED
        if parts > 1 or any(code not in frame.columns for frame in frames)
    ]
    frames = [frame.drop(apart, strict=False) for frame in frames]
    return pl.concat(frames, how="diagonal_relaxed").sort("row")


def _again(source: SourcePlan, frame: pl.DataFrame) -> pl.DataFrame:
    """Events of raw records that came whole."""
    values = [base64.b64decode(text) for text in frame[WHOLE].to_list()]
    raw = pl.Series("raw", values, dtype=pl.Binary)
    lines = pl.DataFrame([frame["row"], raw, frame[TIMESTAMP].alias("received")])
    decoded = decode(source.format, lines, source.options, source.own_normalizer)
    events, _ = mutate(decoded.events, source.mutations)
    if "sub" in events.columns:
        wanted = frame.select("row", pl.col("sub").cast(events.schema["sub"]))
        events = events.join(wanted, on=["row", "sub"], how="semi", maintain_order="left")
    if events.height != frame.height:
        raise ValueError(f"saw {events.height} events in {frame.height} raw records")
    logged = frame[TIMESTAMP].alias("metadata.logged_time")
    carried = [frame[name] for name in (*ORIGIN, UID) if name in frame.columns]
    events = events.hstack([*carried, logged])
    return events.with_columns(pl.col("time").fill_null(logged)).hstack(_line_ends(events, raw))


def raw_record(
    source: SourcePlan, topic: str, batch: Batch, events: pl.DataFrame, row: int
) -> RawRecord:
    """The record of the raw topic `topic` that a row was made of; without an event, the row's."""
    found = events.filter(pl.col("row") == row)
    if not found.height:
        partition, offset = int(batch.partitions[row]), int(batch.offsets[row])
        uid = f"{batch.topic}-{partition}-{offset}"
        stamp = int(batch.timestamps[row])
        return RawRecord(
            batch.topic, partition, offset, stamp, batch.keys[row], batch.values[row], uid
        )
    event = found.row(0, named=True)
    uid = event[UID]
    if event.get("sub") and splitter_of(source.format) is None:
        uid = uid.removesuffix(f"-{event['sub']}")  # the text is that of all events of the record
    return RawRecord(
        topic,
        event[PARTITION],
        event[OFFSET],
        event[TIMESTAMP],
        batch.keys[row],
        base64.b64decode(_base64(event)),
        uid,
    )

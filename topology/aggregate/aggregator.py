"""Similar events of a source become one: rows are grouped in columns, groups are kept in stores.

Which events are one depends on their raw partition, its offsets and event time alone:

- An event falls into the window of its time, which counts at most up to its record's time stamp.
- It belongs there while the watermark before it (greatest event time so far less the source's
  lateness) has not reached the window's end. Behind that it goes on by itself.
- With the record that moves the watermark to the end, the aggregated event goes on.
- It has the attributes of the first of its events in order of offset, and a uid of that one's.

So batch cuts, restarts and replays change nothing.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from schemas import ocsf
from topology import normalized
from topology.aggregate.aggregation import Aggregation
from topology.aggregate.open_windows import END, OpenWindows, Similar
from topology.dimension import Dimension, combine, factorize
from topology.isolate import stage
from topology.records import KeyValueStore
from topology.texts import as_text

ALWAYS: Final = (
    "time", "metadata.uid", "metadata.logged_time", "metadata.version", "metadata.product",
    "metadata.log_name", "activity_id", "activity_name", "category_uid", "category_name",
    "class_uid", "class_name", "type_uid", "type_name", "severity_id", "severity",
)  # fmt: skip
"""Attributes of the first event that each aggregated one has: what OCSF asks of all classes."""
TYPE: Final = "type_uid"
"""Groups beside `by`: events of different types are not similar."""
LARGE: Final = 262_144
"""Bytes of the original line from which on an event goes on by itself. With everything in it twice
and escaped, a shorter one is sure to fit a record of the changelog."""
SUFFIX: Final = "-aggregated"
"""What the uid of an aggregated event has behind that of its first one."""


class Added(NamedTuple):
    """`events` go on by themselves, `full` as the aggregated events that they filled.

    `joined`: how many events are told by aggregated ones alone.
    """

    events: pl.DataFrame
    full: list[Similar]
    joined: int
    counts: Counter[str]


class Aggregator:
    """The aggregations of one source over the raw partitions that are owned."""

    def __init__(self, source: str, entries: Sequence[Aggregation]) -> None:
        self._source = source
        self._entries = entries
        self._windows: dict[int, OpenWindows] = {}

    def assign(self, partition: int, store: KeyValueStore) -> None:
        """Take over a partition with what its store holds. Raises ValueError where it cannot."""
        self._windows[partition] = OpenWindows(store)

    def revoke(self, partition: int) -> None:
        """Forget a partition."""
        self._windows.pop(partition, None)

    def add(
        self,
        events: pl.DataFrame,
        holds: Sequence[npt.NDArray[np.bool_]],
        partitions: npt.NDArray[np.int32],
        watermarks: npt.NDArray[np.int64],
    ) -> Added:
        """Take events in order of offset. `holds` tells for each condition where it does;
        `partitions` and `watermarks` each row's raw partition, and that one's watermark before the
        row. Raises before anything is taken.

        Counts: `aggregate.<source>.<name>` events that joined, `aggregate_late` that came too late,
        `aggregate_large` that are too large.
        """
        counts: Counter[str] = Counter()
        if not events.height or not self._entries:
            return Added(events, [], 0, counts)
        large = (events["raw_data"].str.len_bytes() > LARGE).fill_null(value=False).to_numpy()
        free = ~large
        if large.any():
            counts["aggregate_large"] += int(large.sum())
        gone = np.zeros(events.height, dtype=np.bool_)
        times = np.minimum(events["time"].to_numpy(), events["metadata.logged_time"].to_numpy())
        groups: list[_Group] = []
        for entry in self._entries:
            with stage("aggregate", entry.name):
                wanted = free if entry.when is None else free & holds[entry.when]
                ends = times - times % entry.window_ms + entry.window_ms
                chosen = wanted & (ends > watermarks)
                free = free & ~wanted
                if late := int(wanted.sum() - chosen.sum()):
                    counts["aggregate_late"] += late
                places = np.flatnonzero(chosen)
                if not len(places):
                    continue
                counts[f"aggregate.{self._source}.{entry.name}"] += len(places)
                if not entry.originals:
                    gone |= chosen
                rows = events[pl.Series(places)]
                groups += self._grouped(entry, rows, partitions[places], ends[places])
        full = [self._windows[each.partition].add(each.key, each.more, full=each.full)
                for each in groups]  # fmt: skip
        joined = int(gone.sum())
        passed = events.filter(pl.Series(~gone)) if joined else events
        return Added(passed, [each for each in full if each is not None], joined, counts)

    def close(self, partition: int, watermark: int) -> list[Similar]:
        """What has ended on a partition by now."""
        return list(self._windows[partition].close(watermark))

    def _grouped(
        self,
        entry: Aggregation,
        events: pl.DataFrame,
        partitions: npt.NDArray[np.int32],
        ends: npt.NDArray[np.int64],
    ) -> "list[_Group]":
        """The groups of some rows in order of their first ones."""
        height = events.height
        texts = [
            _text(events[name]).rename(str(number))
            if name in events.columns
            else pl.Series(str(number), [None], dtype=pl.String).new_from_index(0, height)
            for number, name in enumerate((TYPE, *entry.by))
        ]
        by = pl.DataFrame(texts)
        found = combine(
            _numbered(partitions.astype(np.int64)), _numbered(ends), *factorize(by, by.columns)
        )
        first = found.first.to_numpy()
        members = by[found.first].rows()
        keys = [
            end.to_bytes(END, "big", signed=True) + orjson.dumps((entry.name, *group))
            for end, group in zip(ends[first].tolist(), members, strict=True)
        ]
        owners = partitions[first].tolist()
        parts, codes = found, found.codes.astype(np.int64)
        turns = np.zeros(found.size, dtype=np.int64)
        if entry.limit is not None:
            known = [self._windows[o].get(key) for o, key in zip(owners, keys, strict=True)]
            before = np.array([each.events if each else 0 for each in known], dtype=np.int64)
            turn = (before[codes] + _ranks(codes)) // entry.limit
            parts = combine(found, _numbered(turn))
            first = parts.first.to_numpy()
            turns = turn[first]
        whose = codes[first]
        events_of = np.bincount(parts.codes, minlength=parts.size)
        weights = np.ones(height, dtype=np.int64)
        if "count" in events.columns:
            weights = np.maximum(
                events["count"].cast(pl.Int64, strict=False).fill_null(1).to_numpy(), 1
            )
        times = events["time"].to_numpy()
        counted = np.zeros(parts.size, dtype=np.int64)
        np.add.at(counted, parts.codes, weights)
        starts = np.full(parts.size, np.iinfo(np.int64).max)
        np.minimum.at(starts, parts.codes, times)
        lasts = np.full(parts.size, np.iinfo(np.int64).min)
        np.maximum.at(lasts, parts.codes, times)
        kept = _kept(events.columns, entry)
        firsts = events[parts.first].select(kept)
        kinds = zlib.crc32(repr(list(firsts.schema.items())).encode())
        values = normalized.encode(firsts).to_list()
        groups = []
        for place in np.argsort(first).tolist():
            group = int(whose[place])
            size = int(events_of[place])
            full = False
            if entry.limit is not None:
                held = int(before[group]) if turns[place] == 0 else 0
                full = held + size == entry.limit
            more = Similar(
                size,
                int(counted[place]),
                int(starts[place]),
                int(lasts[place]),
                kinds,
                values[place],
            )
            groups.append(_Group(owners[group], keys[group], more, full))
        return groups


class _Group(NamedTuple):
    """What joins an entry of a partition's store, and whether it is full then."""

    partition: int
    key: bytes
    more: Similar
    full: bool


def aggregated(found: Sequence[Similar]) -> list[pl.DataFrame]:
    """The aggregated events; `row` is the place in `found`. `time` is that of the least recent
    event in one."""
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, each in enumerate(found):
        places[each.kinds].append(place)
    return [frame for rows in places.values() for frame in _read(found, rows)]


def _read(found: Sequence[Similar], rows: Sequence[int]) -> Iterator[pl.DataFrame]:
    """Those of one kind, a frame for each form (topology/normalized.py)."""
    values = pl.Series("value", [found[row].first for row in rows], dtype=pl.Binary)
    for frame in normalized.decode(pl.DataFrame([pl.Series("row", rows, pl.UInt32), values])):
        own = [found[row] for row in frame["row"].to_list()]
        starts = pl.Series("time", [each.start for each in own], dtype=pl.Int64)
        yield frame.drop(_codes(frame.columns)).with_columns(
            starts,
            starts.alias("start_time"),
            pl.Series("end_time", [each.end for each in own], dtype=pl.Int64),
            pl.Series("count", [each.total for each in own], dtype=pl.Int64),
            pl.Series(ocsf.KIND, ["aggregated"]).new_from_index(0, len(own)),
            pl.col("metadata.uid") + SUFFIX,
        )


def _text(values: pl.Series) -> pl.Series:
    if isinstance(values.dtype, pl.List):
        texts = values.to_frame("v").select(pl.struct("v").struct.json_encode()).to_series()
        return texts.set(values.is_null(), None)
    return as_text(values)


def _numbered(values: npt.NDArray[np.int64]) -> Dimension:
    if len(values) and (values == values[0]).all():
        return Dimension(np.zeros(len(values), dtype=np.uint32), 1)
    distinct, codes = np.unique(values, return_inverse=True)
    return Dimension(codes.astype(np.uint32), len(distinct))


def _ranks(codes: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many rows of the same group are before each row."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    begins = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.concatenate((begins, [len(codes)])))
    ranks = np.empty(len(codes), dtype=np.int64)
    ranks[order] = np.arange(len(codes)) - np.repeat(begins, sizes)
    return ranks


def _codes(columns: Iterable[str]) -> list[str]:
    return [name for name in columns if name in ocsf.SHARED or name.startswith(ocsf.CODE)]


def _kept(columns: Iterable[str], entry: Aggregation) -> list[str]:
    """The columns that an aggregated event has of its first one; no codes, as groups have none."""
    apart = {*ocsf.FRAME_COLUMNS, *ocsf.SHARED, ocsf.KIND}
    wanted = (*ALWAYS, *entry.by, *(entry.keep or ()))
    return [
        name
        for name in columns
        if name not in apart
        and not name.startswith((ocsf.CODE, "@raw."))
        and (entry.keep is None or any(_is_of(name, each) for each in wanted))
    ]


def _is_of(column: str, attribute: str) -> bool:
    """Whether a column is the attribute, or a part of it."""
    return column == attribute or column.startswith(
        (f"{attribute}.", f"{attribute}[", f"{attribute}{ocsf.JSON_SUFFIX}")
    )

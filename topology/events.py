"""Sub-topology 1: raw records in; events, matches and dead letters out. Stateless and fused.

One pass over a batch, no topic between parse and match: parse, normalize, enrich, match, encode.
Each raw record has exactly one outcome: event(s), filtered, or dead letter; a tick has none. The
only thing remembered from batch to batch is how far event time is on each raw partition, and that
lives in the committed offset.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.codec import encode as avro
from topology.aggregate.tumbling import tallies
from topology.correlate.partials import partials
from topology.formats import decode
from topology.isolate import Failure, isolate, stage
from topology.northbound import SERIALIZERS
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.records import Batch, KeyValueStore, Outcome, Output, Partition, Position
from topology.uid import record_uids
from topology.watermark import NOTHING, Watermarks

LARGEST = 4_000_000
"""Bytes that an event may have; its topic takes a little more (topology/topics.py)."""


@dataclass(slots=True)
class Stretch:
    """What the stages after normalize made of some rows: records by topic, in row order."""

    outputs: list[Output] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class EventsSubTopology:
    """Implements topology.records.SubTopology over the raw topics of every source."""

    name = "events"
    stores: Sequence[str] = ()

    def __init__(self, plan: Plan, filled: Callable[[], Iterable[Partition]] = lambda: ()) -> None:
        """`filled` names the raw partitions that hold records, owned or not. It is asked at each
        take-over and before a partition's first watermark, so that windows wait for the others."""
        self._plan = plan
        self._filled = filled
        self._sources = {plan.names.raw(name): source for name, source in plan.sources.items()}
        self._watermarks = Watermarks()
        self._owned: set[Partition] = set()
        self._announced: set[Partition] = set()
        self._to_announce: deque[Partition] = deque()

    @property
    def topics(self) -> list[str]:
        """The raw topics read."""
        return list(self._sources)

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],  # noqa: ARG002  # stateless
    ) -> None:
        """Take over raw partitions where their last owner committed."""
        self.announce(self._filled())
        for partition, position in positions.items():
            self._watermarks.assign(partition, position.metadata)
            self._owned.add(partition)

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Forget raw partitions; what an aborted commit announced is announced again."""
        self._announced.clear()
        for partition in partitions:
            self._watermarks.revoke(partition)
            self._owned.discard(partition)

    def announce(self, partitions: Iterable[Partition]) -> None:
        """Name raw partitions that hold records, owned or not, so that windows wait for them.

        May be called from another thread.
        """
        self._to_announce.extend(set(partitions) - self._announced)

    def process(self, batch: Batch) -> Outcome:
        """Work on records of one raw topic, from any number of its partitions."""
        source = self._sources[batch.topic]
        uids = record_uids(batch, self._plan.origins[batch.topic])
        raw = pl.DataFrame(
            {
                "row": np.arange(len(batch), dtype=np.uint32),
                "raw": pl.Series(batch.values, dtype=pl.Binary),
            }
        )
        empty = raw["raw"].is_null().to_numpy()
        ticks = int(empty.sum())
        if ticks:
            raw = raw.filter(pl.col("raw").is_not_null())
        decoded = decode(source.format, raw, source.options)
        events = _received(decoded.events, batch, uids)
        watermarks = self._advance(source, batch, events, empty)
        stretches, broken = isolate(events, lambda rows: self._finish(source, rows, watermarks))
        failures = [Failure(*row) for row in decoded.failures.iter_rows()] + broken
        outcome = Outcome([output for stretch in stretches for output in stretch.outputs])
        counts = Counter(records=len(batch) - ticks, ticks=ticks, dead_letters=len(failures))
        counts["events"] = events.height - len(broken)
        for stretch in stretches:
            counts.update(stretch.counts)
        if failures:
            outcome.outputs.append(self._dead_letters(source, batch, uids, failures))
        outcome.counts = dict(counts)
        return outcome

    def before_commit(self) -> Outcome:
        """Watermark records for every partition of `matches`, and the offsets' metadata.

        A partition that holds records but was not read yet is announced with the least watermark,
        so that a replay waits for it from the first record on.
        """
        changes = self._watermarks.changes()
        if changes.keys() - self._announced:
            self.announce(self._filled())
        named = set()
        while self._to_announce:
            named.add(self._to_announce.popleft())
        moved = {
            partition: greatest - self._sources[partition[0]].lateness_ms
            for partition, greatest in changes.items()
            if greatest != NOTHING
        }
        # All are named before the first one moves, or its window would close without the others.
        marks = dict.fromkeys(sorted(named - moved.keys()), NOTHING) | moved
        self._announced |= marks.keys()
        values = [
            avro("Watermark", {"topic": topic, "partition": number, "watermark": mark})
            for (topic, number), mark in marks.items()
        ]
        outputs = [
            Output(self._plan.names.matches, values, [b""] * len(values), number)
            for number in range(self._plan.matches_partitions)
            if values
        ]
        metadata = {partition: self._watermarks.metadata(partition) for partition in self._owned}
        return Outcome(outputs, metadata)

    def _advance(
        self,
        source: SourcePlan,
        batch: Batch,
        events: pl.DataFrame,
        ticks: npt.NDArray[np.bool_],
    ) -> npt.NDArray[np.int64]:
        """For each record the watermark of its partition before it, or NOTHING."""
        times = np.where(ticks, batch.timestamps, NOTHING)
        rows = events["row"].to_numpy()
        capped = np.minimum(events["time"].to_numpy(), batch.timestamps[rows])
        np.maximum.at(times, rows, capped)
        before = self._watermarks.observe(batch.topic, batch.partitions, times)
        return np.where(before == NOTHING, NOTHING, before - source.lateness_ms)

    def _finish(
        self, source: SourcePlan, events: pl.DataFrame, watermarks: npt.NDArray[np.int64]
    ) -> Stretch:
        """Enrich, match and encode rows. Raises StageError; the caller narrows it to its row."""
        stretch = Stretch()
        for dictionary in self._plan.dictionaries:
            with stage("enrich", dictionary.name):
                events = dictionary.apply(events)
        tenants = self._plan.tenants_of(source.name)
        alerted = [tenant.name for tenant in tenants if tenant.alerts]
        if alerted:
            self._match(source, events, watermarks[events["row"].to_numpy()], alerted, stretch)
        encoded: dict[tuple[str, frozenset[str]], pl.Series] = {}
        keyed: dict[str, pl.Series] = {}
        for tenant in tenants:
            if not tenant.events or not events.height:
                continue
            form = (tenant.format, tenant.without)
            if form not in encoded:
                encoded[form] = _encode(events, tenant)
            if tenant.key not in keyed:
                keyed[tenant.key] = _keys(events, tenant.key)
            topic = self._plan.names.events(tenant.name)
            stretch.outputs.append(Output(topic, encoded[form], keyed[tenant.key]))
        return stretch

    def _match(
        self,
        source: SourcePlan,
        events: pl.DataFrame,
        watermarks: npt.NDArray[np.int64],
        tenants: Sequence[str],
        stretch: Stretch,
    ) -> None:
        plan = self._plan
        with stage("match", "rules"):
            hits = plan.rules.match(events, source.logsource)
            found = partials(
                events,
                hits,
                plan.rules.rules,
                tenants=tenants,
                source=source.name,
                watermarks=watermarks,
            )
        with stage("match", "aggregates"):
            counted = tallies(
                events,
                plan.aggregates,
                tenants=tenants,
                source=source.name,
                watermarks=watermarks,
                lateness_ms=source.lateness_ms,
            )
        for records in (found, counted):
            if records.values:
                stretch.outputs.append(Output(plan.names.matches, records.values, records.keys))
            stretch.counts.update(records.counts)

    def _dead_letters(
        self, source: SourcePlan, batch: Batch, uids: pl.Series, failures: Iterable[Failure]
    ) -> Output:
        values = [
            avro(
                "DeadLetter",
                {
                    **failure._asdict(),
                    "source": source.name,
                    "raw": batch.values[failure.row],
                    "key": batch.keys[failure.row],
                    "topic": batch.topic,
                    "partition": int(batch.partitions[failure.row]),
                    "offset": int(batch.offsets[failure.row]),
                    "timestamp": int(batch.timestamps[failure.row]),
                    "uid": uids[failure.row],
                },
            )
            for failure in failures
        ]
        key = source.name.encode()
        return Output(self._plan.names.dead_letters, values, [key] * len(values))


def _received(events: pl.DataFrame, batch: Batch, uids: pl.Series) -> pl.DataFrame:
    """Add `metadata.uid` and `metadata.logged_time`; without a time of its own, that of receipt."""
    rows = events["row"]
    logged = pl.Series("metadata.logged_time", batch.timestamps[rows.to_numpy()])
    uid = uids.gather(rows).rename("metadata.uid")
    if "sub" in events.columns:
        sub = events["sub"]
        uid = uid.zip_with(sub == 0, uid + "-" + sub.cast(pl.String))
    events = events.with_columns(uid, logged)
    if events["time"].null_count():
        events = events.with_columns(time=pl.col("time").fill_null(logged))
    return events


def _encode(events: pl.DataFrame, tenant: TenantPlan) -> pl.Series:
    with stage("encode", tenant.format):
        encoded = SERIALIZERS[tenant.format](events, without=tenant.without).cast(pl.Binary)
        longest = encoded.bin.size().max()
        if isinstance(longest, int) and longest > LARGEST:
            raise ValueError(f"{longest} bytes in {tenant.format}, at most {LARGEST} fit a record")
        return encoded


def _keys(events: pl.DataFrame, column: str) -> pl.Series:
    if column not in events.columns:
        return pl.Series([b""]).new_from_index(0, events.height)
    return events[column].cast(pl.String).cast(pl.Binary).fill_null(b"")

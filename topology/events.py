"""Sub-topology 1: raw records in; events, matches and dead letters out. Fused.

One pass over a batch, no topic between parse and match: parse, normalize, mutate, filter, enrich,
aggregate, match, encode.
Where `normalized` is exposed this is the second half, from enrich on, and reads that topic.
Each raw record has exactly one outcome: event(s), filtered, aggregated, or dead letter; a tick has
none. What is remembered from batch to batch is how far event time is on each raw partition, which
lives in the committed offset, and what the aggregations of a source have open, in its store.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from schemas.codec import encode as avro
from topology import exposed
from topology.aggregate.aggregator import Added, Aggregator, aggregated
from topology.aggregate.open_windows import Similar
from topology.aggregations import Aggregations
from topology.dead_letters import dead_letters, rejected
from topology.feeds import feeds
from topology.isolate import Failure, isolate, stage
from topology.matching import Matching, outputs
from topology.plan import Plan, SourcePlan, TenantPlan
from topology.received import RawRecord, receive, record_of
from topology.records import Batch, KeyValueStore, Outcome, Output, Position
from topology.topics import Partition
from topology.uid import record_uids
from topology.watermark import NOTHING, Watermarks


@dataclass(slots=True)
class Stretch:
    """What the stages after normalize made of some rows: records by topic, in row order."""

    outputs: list[Output] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Arrived(NamedTuple):
    """A batch after normalize: `watermarks` has one entry for each record, that of its raw
    partition before it; `record` gives the raw record of a failure."""

    events: pl.DataFrame
    failures: list[Failure]
    watermarks: npt.NDArray[np.int64]
    record: Callable[[Failure], RawRecord]
    counts: dict[str, int]


class EventsSubTopology:
    """Implements topology.records.SubTopology over the raw, or normalized, topics of every source.

    Progress is that of raw partitions either way: they are what `matches` hears of.
    """

    name = "events"

    def __init__(self, plan: Plan, filled: Callable[[], Iterable[Partition]] = lambda: ()) -> None:
        """`filled` names the raw partitions that hold records, owned or not. It is asked at each
        take-over and before a partition's first watermark, so that windows wait for the others."""
        self._plan = plan
        self._filled = filled
        names = plan.names
        self._exposed = "normalized" in plan.expose
        read = names.normalized if self._exposed else names.raw
        self._sources = {read(name): source for name, source in plan.sources.items()}
        self._hold = {names.raw(name): each.hold_ms for name, each in plan.sources.items()}
        self._aggregators = {
            name: Aggregator(name, source.aggregations.entries)
            for name, source in plan.sources.items()
            if source.aggregations is not None
        }
        self.stores: Sequence[str] = tuple(plan.aggregating.values())
        self.inputs = {store: read(name) for name, store in plan.aggregating.items()}
        self._matching = Matching(plan)
        self._watermarks = Watermarks()
        self._owned: set[Partition] = set()
        self._announced: set[Partition] = set()
        self._there: frozenset[Partition] = frozenset()
        """Raw partitions that hold records, as far as is known; and those of the last commit."""
        self._were_there: frozenset[Partition] = frozenset()

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        """Take over partitions where their last owner committed."""
        self.announce(self._filled())
        for partition, position in positions.items():
            self._watermarks.assign(self._raw(partition), position.metadata)
            self._owned.add(partition)
            name, number = self._sources[partition[0]].name, partition[1]
            if name in self._aggregators:
                self._aggregators[name].assign(number, stores[self._plan.aggregating[name], number])

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Forget partitions; what an aborted commit announced is announced again."""
        self._announced.clear()
        for partition in partitions:
            self._watermarks.revoke(self._raw(partition))
            self._owned.discard(partition)
            aggregator = self._aggregators.get(self._sources[partition[0]].name)
            if aggregator is not None:
                aggregator.revoke(partition[1])

    def announce(self, partitions: Iterable[Partition]) -> None:
        """Name the raw partitions that hold records, owned or not, so that windows wait for them.

        May be called from another thread. What was named before and is not now, of a topic that was
        made anew, is waited for no longer.
        """
        self._there = frozenset(partitions)

    def process(self, batch: Batch) -> Outcome:
        """Work on records of one topic, from any number of its partitions."""
        source = self._sources[batch.topic]
        arrived = (self._normalized if self._exposed else self._receive)(source, batch)
        if source.aggregations is not None:
            aggregator = self._aggregators[source.name]
            return self._aggregate(source, batch, arrived, aggregator, source.aggregations)
        stretches, broken = isolate(
            arrived.events,
            lambda rows: self._finish(source, self._enrich(source, rows), arrived.watermarks),
        )
        return self._outcome(source, arrived, stretches, broken)

    def reject(self, batch: Batch, reason: str) -> Outcome:
        """Make dead letters of records that ended the process each time; event time stays."""
        source, names = self._sources[batch.topic], self._plan.names
        topic = names.raw(source.name)
        if self._exposed:
            none = pl.DataFrame(schema={"row": pl.UInt32})

            def record(failure: Failure) -> RawRecord:
                return exposed.raw_record(source, topic, batch, none, failure.row)
        else:
            uids = record_uids(batch, self._plan.origins[batch.topic])

            def record(failure: Failure) -> RawRecord:
                return record_of(source, batch, uids, failure)

        return rejected(names, source.name, batch, reason, record)

    def _outcome(
        self,
        source: SourcePlan,
        arrived: Arrived,
        stretches: Sequence[Stretch],
        broken: Sequence[Failure],
        joined: int = 0,
    ) -> Outcome:
        """`joined`: how many events are told by aggregated ones alone."""
        failures = [*arrived.failures, *broken]
        outcome = Outcome([output for stretch in stretches for output in stretch.outputs])
        counts = Counter(arrived.counts | {"dead_letters": len(failures)})
        counts["events"] = arrived.events.height - joined - len(broken)
        for stretch in stretches:
            counts.update(stretch.counts)
        if failures:
            letters = dead_letters(self._plan.names, source.name, failures, arrived.record)
            outcome.outputs.append(letters)
        outcome.counts = dict(counts)
        return outcome

    def _aggregate(
        self,
        source: SourcePlan,
        batch: Batch,
        arrived: Arrived,
        aggregator: Aggregator,
        aggregations: Aggregations,
    ) -> Outcome:
        """As `process`, with similar events made one.

        Events are taken into the state once, before anything that could break on one of them and
        be tried again. An aggregated event is late for nobody: `matches` hears of the time at
        which its window ended when it is there (SourcePlan.hold_ms).
        """

        def add(rows: pl.DataFrame) -> Added:
            events = self._enrich(source, rows)
            places = events["row"].to_numpy()
            with stage("aggregate", source.name):
                holds = aggregations.holding(events)
            watermarks = arrived.watermarks[places]
            return aggregator.add(events, holds, batch.partitions[places], watermarks)

        parts, broken = isolate(arrived.events, add)
        stretches: list[Stretch] = []
        found: list[Similar] = []
        for part in parts:
            found += part.full
            done, more = isolate(
                part.events, lambda rows: self._finish(source, rows, arrived.watermarks)
            )
            stretches += [*done, Stretch(counts=part.counts)]
            broken += more
        topic = self._plan.names.raw(source.name)
        for number in np.unique(batch.partitions).tolist():
            greatest = self._watermarks.greatest((topic, number))
            if greatest != NOTHING:
                found += aggregator.close(number, greatest - source.lateness_ms)
        joined = sum(part.joined for part in parts)
        outcome = self._outcome(source, arrived, stretches, broken, joined)
        if joined:
            outcome.counts["aggregated"] = joined
        if found:
            self._tell(source, batch, found, outcome)
        return outcome

    def _tell(
        self, source: SourcePlan, batch: Batch, found: Sequence[Similar], outcome: Outcome
    ) -> None:
        """Add aggregated events to an outcome. One that breaks a stage becomes a dead letter, with
        itself for the raw bytes; its records are counted as aggregated, not as dead letters."""
        never = np.full(len(found), NOTHING)
        counts = Counter(outcome.counts)
        broken: list[Failure] = []
        for events in aggregated(found):
            stretches, more = isolate(events, lambda rows: self._finish(source, rows, never))
            broken += more
            outcome.outputs += [output for stretch in stretches for output in stretch.outputs]
            for stretch in stretches:
                counts.update(stretch.counts)
        counts["aggregated_events"] += len(found) - len(broken)
        if broken:
            counts["aggregated_dead_letters"] += len(broken)
            topic = self._plan.names.raw(source.name)

            def record(failure: Failure) -> RawRecord:
                row = failure.row
                # The record that ended the window stands for it; what it is of is in the text.
                partition, offset = int(batch.partitions[-1]), int(batch.offsets[-1])
                uid = f"{self._plan.origins[topic]}-{partition}-{offset}-aggregated-{row}"
                stamp, text = int(batch.timestamps[-1]), found[row].text()
                return RawRecord(topic, partition, offset, stamp, None, text, uid)

            outcome.outputs.append(dead_letters(self._plan.names, source.name, broken, record))
        outcome.counts = dict(counts)

    def before_commit(self) -> Outcome:
        """Watermark records for every partition of `matches`, and the offsets' metadata.

        A partition that holds records but was not read yet is announced with the least watermark,
        so that a replay waits for it from the first record on.
        """
        changes = self._watermarks.changes()
        there = self._there
        # One that comes back is announced again: windows were told to wait for it no longer.
        self._announced -= self._were_there - there
        self._were_there = there
        if changes.keys() - self._announced:
            there = there.union(self._filled())
        moved = {
            partition: greatest - self._hold[partition[0]]
            for partition, greatest in changes.items()
            if greatest != NOTHING
        }
        # All are named before the first one moves, or its window would close without the others;
        # those, too, that move in the same commit.
        unnamed = sorted((there | moved.keys()) - self._announced)
        self._announced.update(unnamed)
        values = [
            avro("Watermark", {"topic": topic, "partition": number, "watermark": mark})
            for (topic, number), mark in [*dict.fromkeys(unnamed, NOTHING).items(), *moved.items()]
        ]
        outputs = [
            Output(self._plan.names.matches, values, [b""] * len(values), number)
            for number in range(self._plan.matches_partitions)
            if values
        ]
        metadata = {
            partition: self._watermarks.metadata(self._raw(partition)) for partition in self._owned
        }
        return Outcome(outputs, metadata, watermarks=moved)

    def _raw(self, partition: Partition) -> Partition:
        """The raw partition behind an input partition."""
        topic, number = partition
        return self._plan.names.raw(self._sources[topic].name), number

    def _receive(self, source: SourcePlan, batch: Batch) -> Arrived:
        """Parse and normalize raw records."""
        received = receive(source, batch, self._plan.origins[batch.topic])
        _, before = self._watermarks.observe_raw(
            batch.topic, batch.partitions, received.times, batch.timestamps
        )
        ticks = int(received.ticks.sum())
        return Arrived(
            received.events,
            received.failures,
            _less(before, source.lateness_ms),
            lambda failure: record_of(source, batch, received.uids, failure),
            {"records": len(batch) - ticks, "ticks": ticks, **received.counts},
        )

    def _normalized(self, source: SourcePlan, batch: Batch) -> Arrived:
        """Read events that another sub-topology normalized, which knows what came before each."""
        topic = self._plan.names.raw(source.name)
        events, failures, times, before = exposed.arrive(source, batch)
        self._watermarks.observe(topic, batch.partitions, np.maximum(times, before))
        return Arrived(
            events,
            failures,
            _less(before, source.lateness_ms),
            lambda failure: exposed.raw_record(source, topic, batch, events, failure.row),
            {},
        )

    def _enrich(self, source: SourcePlan, events: pl.DataFrame) -> pl.DataFrame:
        """Enrich rows and state their kind. Raises StageError."""
        for enricher in self._plan.enrichers:
            with stage("enrich", enricher.name):
                events = enricher.apply(events)
        kind = pl.Series(ocsf.KIND, [source.kind]).new_from_index(0, events.height)
        if ocsf.KIND in events.columns:
            events = events.drop(ocsf.KIND)
        return events.hstack([kind])

    def _finish(
        self, source: SourcePlan, events: pl.DataFrame, watermarks: npt.NDArray[np.int64]
    ) -> Stretch:
        """Match and encode rows. Raises StageError; the caller narrows it to its row.

        A tenant with enrichers of its own has events of its own, which no other tenant's feed and
        no rule on another's behalf sees.
        """
        stretch = Stretch()
        tenants = self._plan.tenants_of(source.name)
        alike = [tenant for tenant in tenants if not tenant.enrichers]
        if alike:
            self._deliver(source, alike, events, watermarks, stretch)
        for tenant in tenants:
            if tenant.enrichers:
                own = events
                for enricher in tenant.enrichers:
                    with stage("enrich", enricher.name):
                        own = enricher.apply(own)
                self._deliver(source, [tenant], own, watermarks, stretch)
        return stretch

    def _deliver(
        self,
        source: SourcePlan,
        tenants: Sequence[TenantPlan],
        events: pl.DataFrame,
        watermarks: npt.NDArray[np.int64],
        stretch: Stretch,
    ) -> None:
        """Match rows and encode them for tenants that see the same."""
        alerted = [tenant for tenant in tenants if tenant.alerts]
        if alerted:
            marks = watermarks[events["row"].to_numpy()]
            for records in self._matching.match(source, events, marks, alerted):
                stretch.outputs += outputs(self._plan.names.matches, records)
                stretch.counts.update(records.counts)
        stretch.outputs += feeds(self._plan.names, tenants, events, stretch.counts)


def _less(times: npt.NDArray[np.int64], lateness_ms: int) -> npt.NDArray[np.int64]:
    """Watermarks of stream times; NOTHING stays."""
    return np.where(times == NOTHING, NOTHING, times - lateness_ms)

"""Rules over the past of the raw topics: the final alerts that there would have been.

The sub-topologies that workers run, one after the other in this process, with `matches` between
them in one partition and nothing written anywhere. Finals do not depend on partitions, batches or
workers, so they are those of live workers with the same configuration.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import orjson
import polars as pl
from confluent_kafka import KafkaException, Message, TopicPartition

from app.list_edits import Edit, edited
from app.reading import IS_IT_UP, TIMEOUT, ReadingError, open_reader, partitions, take
from app.runtime.batch import build
from topology.events import EventsSubTopology
from topology.lists import SHARED
from topology.pipeline import alerts
from topology.plan import Plan
from topology.records import Batch, Outcome, Output, Position
from topology.testing import MemoryStore
from topology.topics import Partition

FOREVER_MS: Final = 253_402_300_799_999
"""The end of the year 9999: a watermark there closes every window."""
POLL: Final = 10_000
BEFORE_MS: Final = 0
"""When lists that are given were filled: before all that comes, whatever its event time."""


class Backtest:
    """One run. `take` raw records in the order of each partition, then `finish` once."""

    def __init__(
        self,
        plan: Plan,
        starts: Mapping[Partition, int],
        lists: Mapping[str, tuple[str, Sequence[Edit]]] | None = None,
    ) -> None:
        """`starts`: the first offset of every raw partition that holds records to be read. `lists`:
        who fills a list, and with what, before everything; the others are empty. Raises ValueError
        for a key or value that is too long.
        """
        tenants = {
            name: replace(tenant, events=False, format="ocsf-json")
            for name, tenant in plan.tenants.items()
            if tenant.alerts
        }
        self._plan = replace(plan, tenants=tenants, matches_partitions=1)
        self._topics = [plan.names.raw(source) for source in plan.sources]
        self._starts = dict(starts)
        self._events = EventsSubTopology(self._plan, lambda: list(self._starts))
        self._alerts = alerts(self._plan)
        self._stores = {(name, 0): MemoryStore() for name in self._alerts.stores}
        self._written = 0
        matches = self._plan.names.matches
        self._open = {
            (store, number): MemoryStore()
            for source, store in self._plan.aggregating.items()
            for topic, number in starts
            if topic == plan.names.raw(source)
        }
        self._events.assign({where: Position(at) for where, at in starts.items()}, self._open)
        self._alerts.assign({(matches, 0): Position(0)}, self._stores)
        for name, (by, edits) in (lists or {}).items():
            listed = next(each for each in plan.rules.rules.lists if each.name == name)
            for scope in [SHARED] if listed.shared else tenants:
                records = edited(listed, scope, edits, by=by, now_ms=BEFORE_MS, run="backtest")
                keys, values = zip(*records, strict=True)
                self._alerts.process(self._matches(Output(matches, values, keys)))

    def take(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """The final alerts that these records decide."""
        found: list[dict[str, Any]] = []
        for batch in build(messages, self._topics, coalesce=True):
            found += self._work(batch)
        return found

    def finish(self) -> list[dict[str, Any]]:
        """Close all windows, as if nothing came any more."""
        found: list[dict[str, Any]] = []
        for topic in self._topics:
            numbers = sorted(number for name, number in self._starts if name == topic)
            if numbers:
                count = len(numbers)
                ticks = Batch(
                    topic,
                    np.array(numbers, dtype=np.int32),
                    np.full(count, FOREVER_MS, dtype=np.int64),
                    np.full(count, FOREVER_MS, dtype=np.int64),
                    [None] * count,
                    [None] * count,
                )
                found += self._work(ticks)
        return found

    def _work(self, batch: Batch) -> list[dict[str, Any]]:
        outputs = self._events.process(batch).outputs + self._events.before_commit().outputs
        found: list[dict[str, Any]] = []
        waiting = deque(outputs)
        while waiting:
            output = waiting.popleft()
            if output.topic == self._plan.names.matches and len(output.values):
                outcome = self._alerts.process(self._matches(output))
                found += _finals(outcome)
                waiting += outcome.outputs
        self._alerts.before_commit()
        for store in (*self._stores.values(), *self._open.values()):
            store.commit()
        return found

    def _matches(self, output: Output) -> Batch:
        """An output as what reads `matches` gets it."""
        values = _listed(output.values)
        keys = [None] * len(values) if output.keys is None else _listed(output.keys)
        first, self._written = self._written, self._written + len(values)
        return Batch(
            output.topic,
            np.zeros(len(values), dtype=np.int32),
            np.arange(first, self._written, dtype=np.int64),
            np.zeros(len(values), dtype=np.int64),
            keys,
            values,
        )


def reach_ms(plan: Plan) -> int:
    """How long before an alert what decides it can lie; for entries without an end, no time is."""
    steps = [step.ttl_ms or 0 for each in plan.rules.rules.steps.values() for step in each]
    lateness = max((source.lateness_ms for source in plan.sources.values()), default=0)
    return 2 * alerts(plan).window_ms + max(steps, default=0) + lateness


def _listed(values: Sequence[bytes | None] | pl.Series) -> list[bytes | None]:
    return values.to_list() if isinstance(values, pl.Series) else list(values)


def _finals(outcome: Outcome) -> Iterator[dict[str, Any]]:
    for output in outcome.outputs:
        if not output.topic.endswith(".alerts"):
            continue
        for value in _listed(output.values):
            alert = orjson.loads(value or b"{}")
            if alert["unmapped"]["state"] == "final":
                yield alert


@dataclass(frozen=True, slots=True)
class Past:
    """Records of raw topics that Kafka got between two times, in ms since the epoch."""

    client: Mapping[str, Any]
    topics: Sequence[str]
    from_ms: int
    to_ms: int

    def starts(self) -> dict[Partition, int]:
        """The first offset of each partition that has such records. Raises ReadingError."""
        return {where: first for where, (first, end) in self._bounds().items() if first < end}

    def records(self) -> Iterator[list[Message]]:
        """All of them, in the order of each partition. Raises ReadingError."""
        bounds = {where: each for where, each in self._bounds().items() if each[0] < each[1]}
        consumer = open_reader(self.client)
        try:
            consumer.assign([TopicPartition(*where, first) for where, (first, _) in bounds.items()])
            left = {where: end for where, (_, end) in bounds.items()}
            heard = time.monotonic()
            while left:
                messages, ended = take(consumer, POLL)
                if messages:
                    heard = time.monotonic()
                    kept = [
                        message
                        for message in messages
                        if message.offset() < left.get((message.topic(), message.partition()), 0)
                    ]
                    for message in messages:
                        where = (message.topic(), message.partition())
                        if where in left and message.offset() >= left[where] - 1:
                            ended.add(where)
                    if kept:
                        yield kept
                for where in ended & left.keys():
                    del left[where]
                    consumer.incremental_unassign([TopicPartition(*where)])
                if time.monotonic() - heard > TIMEOUT:
                    raise ReadingError(f"nothing came from Kafka for {TIMEOUT:.0f} s; {IS_IT_UP}")
        finally:
            consumer.close()

    def _bounds(self) -> dict[Partition, tuple[int, int]]:
        """First offset, and the one behind the last, of each partition."""
        consumer = open_reader(self.client)
        try:
            found = partitions(consumer, self.topics)
            sides = []
            for at in (self.from_ms, self.to_ms + 1):
                asked = [TopicPartition(each.topic, each.partition, max(0, at)) for each in found]
                answers = consumer.offsets_for_times(asked, timeout=TIMEOUT)
                sides.append({(each.topic, each.partition): each.offset for each in answers})
            bounds = {}
            for each in found:
                where = (each.topic, each.partition)
                _, high = consumer.get_watermark_offsets(each, timeout=TIMEOUT)
                first, end = (side[where] if side[where] >= 0 else high for side in sides)
                bounds[where] = (first, end)
            return bounds
        except KafkaException as error:
            text = error.args[0].str()
            raise ReadingError(f"Kafka does not say what it has: {text}; {IS_IT_UP}") from None
        finally:
            consumer.close()

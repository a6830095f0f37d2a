"""Where partitions begin and end, and stores read back from their changelogs."""

import gc
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import OffsetSpec

from app.offsets import OffsetReader
from app.runtime.batch import Run, runs
from app.runtime.clients import Clients
from app.runtime.errors import EngineError
from app.runtime.settings import EngineSettings
from app.runtime.statistics import Restore
from app.runtime.store import Store
from app.runtime.watchdog import Pulse, Watchdog
from topology.topics import Partition

log = logging.getLogger("northbound.runtime")

CHUNK = 100_000


class Offsets:
    """First and next offsets of partitions, whatever transactions are open in them."""

    def __init__(self, settings: EngineSettings, clients: Clients, watchdog: Watchdog) -> None:
        self._settings = settings
        self._watchdog = watchdog
        self._reader = OffsetReader(lambda: clients.admin(settings.client))

    def bounds(self, partitions: Iterable[Partition]) -> dict[Partition, tuple[int, int]]:
        """(low, high) of each partition. `high` counts records of undecided transactions too.

        The stable end would be too early for a restore: a transaction that is committed already
        may still wait for its markers in the changelog, and ends there before they come.
        """
        wanted = list(partitions)
        if not wanted:
            return {}
        lows = self._list(wanted, OffsetSpec.earliest())
        highs = self._list(wanted, OffsetSpec.latest())
        return {where: (low, highs[where]) for where, low in lows.items()}

    def _list(self, wanted: list[Partition], spec: OffsetSpec) -> dict[Partition, int]:
        limit = self._settings.call_timeout
        with self._watchdog.guard(f"{self._settings.name}: list offsets", limit * 1.5 + 2):
            try:
                return self._reader.list(
                    wanted, spec, limit, isolation_level=IsolationLevel.READ_UNCOMMITTED
                )
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    names = ", ".join(sorted({topic for topic, _ in wanted}))
                    raise EngineError(
                        f"One of these topics does not exist or has too few partitions: "
                        f"{names}. Create them with `northbound topics create`."
                    ) from error
                raise EngineError(
                    f"Offsets could not be listed within {limit:g} s: {error}"
                ) from error


class Changelogs:
    """Brings stores up to the end of their changelogs, read_committed."""

    def __init__(self, settings: EngineSettings, clients: Clients, offsets: Offsets) -> None:
        self._settings = settings
        self._clients = clients
        self._offsets = offsets

    def restore(self, stores: Mapping[tuple[str, int], Store], pulse: Pulse) -> Restore:
        """Complete (store name, partition) → Store; every one then ends at a transaction's end."""
        started = time.monotonic()
        changelogs = self._settings.changelogs
        by_topic = {(changelogs[name], part): store for (name, part), store in stores.items()}
        report = Restore(runs=1)
        targets: dict[Partition, int] = {}
        for where, (low, high) in self._offsets.bounds(by_topic).items():
            store = by_topic[where]
            if not low <= store.position <= high:
                if store.position:
                    log.warning(
                        "A store is not continued in its changelog and is read anew. topic=%s "
                        "partition=%d position=%d first=%d end=%d",
                        *where,
                        store.position,
                        low,
                        high,
                    )
                store.clear()
                store.position = low
            if store.position < high:
                targets[where] = high
        if targets:
            with _without_gc():
                report.records = self._read(by_topic, targets, pulse)
        report.keys = sum(store.approximate_num_entries() for store in stores.values())
        report.seconds = time.monotonic() - started
        if stores:
            log.info(
                "Stores restored. engine=%s partitions=%d keys=%d records=%d seconds=%.2f",
                self._settings.name,
                len(stores),
                report.keys,
                report.records,
                report.seconds,
            )
        return report

    def _read(
        self, stores: Mapping[Partition, Store], targets: dict[Partition, int], pulse: Pulse
    ) -> int:
        consumer = self._clients.consumer(self._settings.restore_config())
        count = 0
        try:
            consumer.assign([TopicPartition(*where, stores[where].position) for where in targets])
            waiting = dict(targets)
            patience = time.monotonic() + self._settings.stall_timeout
            while waiting:
                pulse.beat(f"restoring {', '.join(sorted({t for t, _ in waiting}))}")
                messages = consumer.consume(CHUNK, 0.02)
                if messages:
                    count += self._apply(messages, stores, waiting)
                    patience = time.monotonic() + self._settings.stall_timeout
                elif time.monotonic() > patience:
                    raise EngineError(
                        f"Restore does not get on at {sorted(waiting.items())}: a transaction in "
                        "the changelog stays open, or its broker is away."
                    )
            for where, target in targets.items():
                stores[where].position = target
        finally:
            consumer.close()
        return count

    def _apply(
        self,
        messages: list[Message],
        stores: Mapping[Partition, Store],
        waiting: dict[Partition, int],
    ) -> int:
        """Load records; a partition is done when the consumer reports its end at the target."""
        records = messages
        if any(map(Message.error, messages)):
            records = [message for message in messages if message.error() is None]
            for message in messages:
                self._note(message, waiting)
        topics = {topic for topic, _ in waiting} | {topic for topic, _ in stores}
        for topic in topics:
            own = records
            if len(topics) > 1:
                own = [message for message in records if message.topic() == topic]
            numbers = np.fromiter(map(Message.partition, own), np.int32, len(own))
            keys = list(map(Message.key, own))
            values = list(map(Message.value, own))
            for run in runs(numbers):
                _load(stores[topic, run.partition], keys, values, run)
        return len(records)

    def _note(self, message: Message, waiting: dict[Partition, int]) -> None:
        error = message.error()
        if error is None:
            return
        where = (message.topic(), message.partition())
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # a public constant
            if where in waiting and message.offset() >= waiting[where]:
                del waiting[where]
        elif is_unreadable(error):
            raise EngineError(f"Changelog {where[0]} [{where[1]}] cannot be read: {error.str()}")


def is_unreadable(error: KafkaError) -> bool:
    """Whether reading on does not help."""
    return error.fatal() or error.code() in (
        KafkaError._AUTO_OFFSET_RESET,  # noqa: SLF001  # a public constant
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    )


def _load(store: Store, keys: list[Any], values: list[Any], run: Run) -> None:
    if run.start == 0 and run.stop == len(keys):
        store.load(keys, values)
    else:
        store.load(keys[run.start : run.stop], values[run.start : run.stop])


@contextmanager
def _without_gc() -> Iterator[None]:
    """Millions of new objects, none of them garbage: collections in between only cost time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()

"""Reads a run's topics back, and runs the topology test driver over the same raw records."""

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from sys import intern
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
from confluent_kafka import Message

from app.broker import admin
from app.config import Config
from app.planning import build_plan
from app.reading import read
from chaos.books import Expected, Read, Seen
from schemas.codec import decode
from topology.active_lists import STORE as LISTS
from topology.alerts import STORE
from topology.events import EventsSubTopology
from topology.pipeline import alerts
from topology.testing import Step, TopologyTestDriver
from topology.uid import origin, record_uid

Stamps: TypeAlias = npt.NDArray[np.int64]
MAX_BATCH = 4_000
SPAN_MS = 10_000
"""Raw records that came within this time go to the driver at once. Partitions keep pace so, as they
do in a worker: groups would keep all that those with few records bring ahead of the others."""


@dataclass(frozen=True, slots=True)
class Before:
    """The configuration that raw records before `ends` were worked on with."""

    config: Config
    ends: Mapping[tuple[str, int], int]


@dataclass(slots=True)
class Raw:
    """The records of a raw partition, in columns."""

    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    timestamps: "array[int]" = field(default_factory=lambda: array("q"))
    keys: list[str | None] = field(default_factory=list)
    values: list[bytes | None] = field(default_factory=list)

    def add(self, message: Message) -> None:
        """The next one."""
        key = message.key()
        self.offsets.append(message.offset() or 0)
        self.timestamps.append(message.timestamp()[1])
        self.keys.append(None if key is None else intern(key.decode("latin-1")))
        self.values.append(message.value())


def digest(data: bytes) -> int:
    """Short hash of bytes."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


class Numbers:
    """A number for each uid, which is a topic's stem, a partition and an offset."""

    def __init__(self, stems: Iterable[str]) -> None:
        """`stems` that are known have the same numbers each time."""
        self._stems = {stem: number for number, stem in enumerate(stems)}

    def of(self, uid: str) -> int:
        """Of one uid."""
        stem, partition, offset = uid.rsplit("-", 2)
        known = self._stems.setdefault(stem, len(self._stems))
        return (known << 16 | int(partition)) << 40 | int(offset)


class Truth:
    """The raw topics of a deployment as they are now. Reads everything once; blocks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = config.client()
        names = config.names
        self.topics = [names.raw(source) for source in config.sources]
        self._stores = (STORE, LISTS) if config.lists else (STORE,)
        cluster, ids = admin.identity(admin.connect(self._client), self.topics)
        self.origins = {topic: origin(cluster, ids[topic]) for topic in self.topics}
        self._numbers = Numbers(sorted(self.origins.values()))
        self.raw: dict[tuple[str, int], Raw] = defaultdict(Raw)
        for message in read(self._client, self.topics):
            self.raw[str(message.topic()), message.partition() or 0].add(message)

    def read(self) -> Read:
        """What became of the raw records."""
        config, names = self._config, self._config.names
        found = Read()
        for (topic, number), records in self.raw.items():
            for offset, value in zip(records.offsets, records.values, strict=True):
                if value is not None:
                    named = record_uid(self.origins[topic], number, offset)
                    found.raw[self._numbers.of(named)] = digest(value)
        for tenant, settings in config.tenants.items():
            if "events" in settings.feeds:
                seen = found.events[tenant] = Seen()
                for message in read(self._client, [names.events(tenant)]):
                    uid, own, carried = self._event(message.value() or b"")
                    seen.add(uid, own)
                    if carried is not None and found.raw.get(uid, carried) != carried:
                        found.changed.add(uid)
            if "alerts" in settings.feeds:
                values = (
                    each.value() or b"" for each in read(self._client, [names.alerts(tenant)])
                )
                found.finals[tenant] = Counter(value for value in values if is_final(value))
        for message in read(self._client, [names.dead_letters]):
            _, letter = decode(message.value() or b"")
            found.dead.add(self._numbers.of(letter["uid"]), digest(letter["raw"]))
        found.store = self.store()
        return found

    def store(self) -> dict[tuple[str, bytes], bytes]:
        """The stores of alerts and lists as their changelogs have them."""
        entries: dict[tuple[str, bytes], bytes] = {}
        for name in self._stores:
            for message in read(self._client, [self._config.names.changelog(name)]):
                key, value = (name, message.key() or b""), message.value()
                if value is None:
                    entries.pop(key, None)
                else:
                    entries[key] = value
        return entries

    def expected(self, before: Before | None = None) -> Expected:
        """What the topology test driver makes of the raw records.

        `before`: another configuration that held up to some offsets, and a stop after them.
        """
        config = self._config
        plan = first = build_plan(config, self.origins)
        if before is not None:
            first = build_plan(before.config, self.origins)
        current = [first]
        counts = {topic: config.sources[name].partitions for name, topic in self._named()}
        driver = TopologyTestDriver(
            [
                Step(lambda: EventsSubTopology(current[0]), self.topics),
                Step(lambda: alerts(current[0]), [config.names.matches]),
            ],
            partitions={**counts, config.names.matches: config.kafka.matches_partitions},
            max_batch=MAX_BATCH,
        )
        made = Expected()
        if before is not None:
            self._work(driver, made, before.ends, after=False)
            current[0] = plan
            driver.restart()
        self._work(driver, made, before.ends if before is not None else {}, after=True)
        for name in self._stores:
            made.store |= {(name, key): value for key, value in driver.store(name).items()}
        return made

    def _work(
        self,
        driver: TopologyTestDriver,
        made: Expected,
        ends: Mapping[tuple[str, int], int],
        *,
        after: bool,
    ) -> None:
        """Raw records before the ends, or those from there on, some at a time."""
        rows: dict[tuple[str, int], Stamps] = {}
        spans: dict[tuple[str, int], Stamps] = {}
        for where, records in self.raw.items():
            offsets = np.frombuffer(records.offsets, np.int64)
            rows[where] = np.flatnonzero((offsets >= ends.get(where, 0)) == after)
            times = np.frombuffer(records.timestamps, np.int64)[rows[where]]
            spans[where] = np.maximum.accumulate(times) // SPAN_MS
        # The driver numbers records without gaps, and uids are made of offsets.
        reached = {where: ends.get(where, 0) if after else 0 for where in rows}
        for span in np.unique(np.concatenate([*spans.values(), np.zeros(1, np.int64)])).tolist():
            for (topic, number), own in rows.items():
                records = self.raw[topic, number]
                first, end = np.searchsorted(spans[topic, number], (span, span + 1))
                for row in own[first:end].tolist():
                    for _ in range(records.offsets[row] - reached[topic, number]):
                        driver.pipe(topic, None, timestamp=0, partition=number)
                    reached[topic, number] = records.offsets[row] + 1
                    key = records.keys[row]
                    driver.pipe(
                        topic,
                        records.values[row],
                        timestamp=records.timestamps[row],
                        key=None if key is None else key.encode("latin-1"),
                        partition=number,
                    )
            driver.run()
            self._made(driver, made)

    def _named(self) -> list[tuple[str, str]]:
        return [(name, self._config.names.raw(name)) for name in self._config.sources]

    def _made(self, driver: TopologyTestDriver, made: Expected) -> None:
        """Take what the driver has written."""
        config, names = self._config, self._config.names
        for tenant, settings in config.tenants.items():
            if "events" in settings.feeds:
                events = made.events.setdefault(tenant, {})
                for record in driver.take(names.events(tenant)):
                    uid, own, _ = self._event(record.value or b"")
                    events[uid] = own
            if "alerts" in settings.feeds:
                values = (record.value or b"" for record in driver.take(names.alerts(tenant)))
                finals = made.finals.setdefault(tenant, Counter())
                finals.update(value for value in values if is_final(value))
        for record in driver.take(names.dead_letters):
            _, letter = decode(record.value or b"")
            made.dead[self._numbers.of(letter["uid"])] = digest(letter["raw"])
        driver.forget()

    def _event(self, value: bytes) -> tuple[int, int, int | None]:
        """Its uid, and digests of its bytes and of the raw ones that it carries, if it does."""
        event = orjson.loads(value)
        raw = event.get("raw_data")
        carried = None
        if raw is not None and "raw_base64" not in event.get("unmapped", {}):
            carried = digest(raw.encode())
        return self._numbers.of(event["metadata"]["uid"]), digest(value), carried


def is_final(alert: bytes) -> bool:
    """Whether an alert of OCSF JSON is final."""
    return bool(orjson.loads(alert)["unmapped"]["state"] == "final")

"""Reads a run's topics back, and runs the topology test driver over the same raw records."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from confluent_kafka import Message

from app.broker import admin
from app.config import Config
from app.planning import build_plan
from app.reading import read
from chaos.books import Expected, Read
from schemas.codec import decode
from topology.alerts import STORE
from topology.events import EventsSubTopology
from topology.pipeline import alerts
from topology.testing import Step, TopologyTestDriver
from topology.uid import origin, record_uid

MAX_BATCH = 4_000


@dataclass(frozen=True, slots=True)
class Before:
    """The configuration that raw records before `ends` were worked on with."""

    config: Config
    ends: Mapping[tuple[str, int], int]


def digest(data: bytes) -> str:
    """Short hash of bytes."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


class Truth:
    """The raw topics of a deployment as they are now. Reads everything once; blocks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._client = config.client()
        names = config.names
        self.topics = [names.raw(source) for source in config.sources]
        cluster, ids = admin.identity(admin.connect(self._client), self.topics)
        self.origins = {topic: origin(cluster, ids[topic]) for topic in self.topics}
        self.raw: dict[tuple[str, int], list[Message]] = defaultdict(list)
        for message in read(self._client, self.topics):
            self.raw[str(message.topic()), message.partition() or 0].append(message)

    def read(self) -> Read:
        """What became of the raw records."""
        config, names = self._config, self._config.names
        found = Read()
        for (topic, number), messages in self.raw.items():
            for message in messages:
                value = message.value()
                if value is not None:
                    uid = record_uid(self.origins[topic], number, message.offset() or 0)
                    found.raw[uid] = digest(value)
        for tenant, settings in config.tenants.items():
            if "events" in settings.feeds:
                seen = found.events[tenant] = Counter()
                for message in read(self._client, [names.events(tenant)]):
                    _event(message.value() or b"", seen, found.carried)
            if "alerts" in settings.feeds:
                values = (
                    each.value() or b"" for each in read(self._client, [names.alerts(tenant)])
                )
                found.finals[tenant] = Counter(value for value in values if is_final(value))
        for message in read(self._client, [names.dead_letters]):
            _, letter = decode(message.value() or b"")
            found.dead[letter["uid"], digest(letter["raw"])] += 1
        found.store = self.store()
        return found

    def store(self) -> dict[bytes, bytes]:
        """The alerts store as its changelog has it."""
        entries: dict[bytes, bytes] = {}
        for message in read(self._client, [self._config.names.changelog(STORE)]):
            key, value = message.key() or b"", message.value()
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
        if before is not None:
            self._pipe(driver, before.ends, after=False)
            driver.run()
            current[0] = plan
            driver.restart()
        self._pipe(driver, before.ends if before is not None else {}, after=True)
        driver.run()
        return self._made(driver)

    def _pipe(
        self, driver: TopologyTestDriver, ends: Mapping[tuple[str, int], int], *, after: bool
    ) -> None:
        """Raw records before the ends, or those from there on."""
        for (topic, number), messages in self.raw.items():
            end = ends.get((topic, number), 0)
            at = end if after else 0
            for message in messages:
                if ((message.offset() or 0) >= end) != after:
                    continue
                # The driver numbers records without gaps, and uids are made of offsets.
                while at < (message.offset() or 0):
                    driver.pipe(topic, None, timestamp=0, partition=number)
                    at += 1
                at += 1
                driver.pipe(
                    topic,
                    message.value(),
                    timestamp=message.timestamp()[1],
                    key=message.key(),
                    partition=number,
                )

    def _named(self) -> list[tuple[str, str]]:
        return [(name, self._config.names.raw(name)) for name in self._config.sources]

    def _made(self, driver: TopologyTestDriver) -> Expected:
        config, names = self._config, self._config.names
        made = Expected()
        for tenant, settings in config.tenants.items():
            if "events" in settings.feeds:
                seen: Counter[tuple[str, str]] = Counter()
                for record in driver.read(names.events(tenant)):
                    _event(record.value or b"", seen, {})
                made.events[tenant] = dict(seen.keys())
            if "alerts" in settings.feeds:
                values = (record.value or b"" for record in driver.read(names.alerts(tenant)))
                made.finals[tenant] = Counter(value for value in values if is_final(value))
        for record in driver.read(names.dead_letters):
            _, letter = decode(record.value or b"")
            made.dead[letter["uid"]] = digest(letter["raw"])
        made.store = driver.store(STORE)
        return made


def is_final(alert: bytes) -> bool:
    """Whether an alert of OCSF JSON is final."""
    return bool(orjson.loads(alert)["unmapped"]["state"] == "final")


def _event(value: bytes, seen: Counter[tuple[str, str]], carried: dict[str, str]) -> None:
    event = orjson.loads(value)
    uid = event["metadata"]["uid"]
    seen[uid, digest(value)] += 1
    raw = event.get("raw_data")
    if raw is not None and "raw_base64" not in event.get("unmapped", {}):
        carried[uid] = digest(raw.encode())

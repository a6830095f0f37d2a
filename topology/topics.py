"""Every topic, in flow order: the one source for creation, checks, documentation and ACLs."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

TENANT_NAME = re.compile(r"[a-z0-9-]{1,40}")
SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")

Partition: TypeAlias = tuple[str, int]
"""A topic's physical name and a partition number."""

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
TOMBSTONES_MS = HOUR_MS
"""How long deletions stay in a compacted changelog, for readers that have an older copy.

Windows that end leave a deletion each, which a restore reads for so long."""

BOUNDARIES: Mapping[str, str] = {
    "normalized": "events after normalize, before enrich, match and encode",
}
"""Boundaries between stages of sub-topology 1 that `expose` makes a topic for each source."""

Cleanup: TypeAlias = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as it should be. `retention_ms` None means the broker's default.

    `fixed`: its number of partitions never changes, because state depends on it. `alike` names a
    topic above it that it has at least as many partitions as, whatever that one has in the cluster.
    """

    name: str
    key: str
    value: str
    partitions: int
    cleanup: Cleanup = "delete"
    retention_ms: int | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    tenant: str | None = None
    fixed: bool = False
    alike: str | None = None

    def settings(self) -> dict[str, str]:
        """The topic's configuration entries as Kafka names them."""
        retention = {} if self.retention_ms is None else {"retention.ms": str(self.retention_ms)}
        return {"cleanup.policy": self.cleanup, **retention, **self.config}


@dataclass(frozen=True, slots=True)
class Names:
    """Physical topic and group names under one prefix."""

    prefix: str = ""
    certificate_user: str = "{}"
    """Name of the Kafka user that logs in by a certificate; {} is the certificate's common name."""
    main: frozenset[str] = frozenset()
    """Tenants that may read the topics of all tenants."""

    def raw(self, source: str) -> str:
        return f"{self.prefix}raw.{source}"

    def normalized(self, source: str) -> str:
        return f"{self.prefix}normalized.{source}"

    def enrichment(self, name: str) -> str:
        return f"{self.prefix}enrichment.{name}"

    @property
    def matches(self) -> str:
        return f"{self.prefix}matches"

    def events(self, tenant: str) -> str:
        return f"{self.prefix}northbound.{tenant}.events"

    def alerts(self, tenant: str) -> str:
        return f"{self.prefix}northbound.{tenant}.alerts"

    def tenant_prefix(self, tenant: str) -> str:
        """What a tenant's ACLs cover. The trailing dot keeps `acme` from matching `acme-2`."""
        return f"{self.prefix}northbound.{tenant}."

    @property
    def feeds_prefix(self) -> str:
        """What the names of all tenants' topics begin with, and of no others."""
        return f"{self.prefix}northbound."

    @property
    def dead_letters(self) -> str:
        return f"{self.prefix}dead-letters"

    @property
    def audit(self) -> str:
        return f"{self.prefix}audit"

    @property
    def connector_offsets(self) -> str:
        return f"{self.prefix}connector-offsets"

    def changelog(self, store: str) -> str:
        return f"{self.prefix}{store}-changelog"

    def owns(self, topic: str) -> bool:
        """Whether a topic has a name that one of these may have."""
        if not topic.startswith(self.prefix):
            return False
        alone = {self.matches, self.dead_letters, self.audit, self.connector_offsets}
        families = ("raw.", "normalized.", "enrichment.", "northbound.")
        rest = topic.removeprefix(self.prefix)
        return topic in alone or rest.startswith(families) or rest.endswith("-changelog")

    def group(self, name: str) -> str:
        """Consumer group of a node (topology/pipeline.py); also the stem of transactional ids."""
        return f"{self.prefix}northbound-{name}"


@dataclass(frozen=True, slots=True)
class RawTopic:
    """How many partitions a source's raw topic has and how long its lines are kept. `appended`:
    records have the time at which the broker took them, whatever their sender says."""

    source: str
    partitions: int = 4
    retention_ms: int = 7 * DAY_MS
    appended: bool = False


@dataclass(frozen=True, slots=True)
class Feeds:
    """Which northbound topics a tenant has. `retention_ms` None: as long as the brokers say."""

    tenant: str
    feeds: tuple[str, ...] = ("events", "alerts")
    partitions: int = 4
    retention_ms: int | None = None


@dataclass(frozen=True, slots=True)
class StoreTopic:
    """A store's changelog. `source`: it has the partitions of that source's raw topic, not those of
    `matches`.

    Compacted only: a sub-topology deletes what is over when event time says so, and the clock of a
    broker may take nothing that still waits, for a source that stands still, over a weekend when
    all is down, or for a rule that became longer while workers run.
    """

    store: str
    source: str | None = None


RAW_CONFIG = {
    # Any time stamp is accepted: senders buffer for days and clocks are wrong.
    "message.timestamp.type": "CreateTime",
    "message.timestamp.before.max.ms": str(2**63 - 1),
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "max.message.bytes": "2097152",
}
APPENDED = {"message.timestamp.type": "LogAppendTime"}
OUTPUT_CONFIG = {"max.message.bytes": "4194304"}
CHANGELOG_CONFIG = {
    # A restore reads at most one record a key / (1 - ratio), and the active segment of each
    # partition, which is never compacted (docs/adr/0006). A lower ratio rewrites more for each
    # byte written: (1 - ratio) / ratio.
    "min.cleanable.dirty.ratio": "0.3",
    "segment.bytes": "4194304",
    "segment.ms": "600000",
    "delete.retention.ms": str(TOMBSTONES_MS),
    "max.message.bytes": "4194304",
}


def declare(
    names: Names,
    sources: Iterable[RawTopic],
    tenants: Iterable[Feeds],
    stores: Iterable[StoreTopic],
    *,
    matches_partitions: int = 4,
    expose: Collection[str] = (),
    copies: bool = False,
    dictionaries: Iterable[str] = (),
) -> list[Topic]:
    """All topics in the order in which data flows through them.

    `copies`: records are copied from another cluster, and how far is kept in a topic.
    `dictionaries`: names of the tables that enrichments read from topics.
    """
    sources = list(sources)
    topics = [
        Topic(
            names.raw(source.source),
            "peer address",
            "the bytes received, one message a record; null is a tick",
            source.partitions,
            retention_ms=source.retention_ms,
            config=RAW_CONFIG | (APPENDED if source.appended else {}),
        )
        for source in sources
    ]
    if copies:
        topics.append(
            Topic(
                names.connector_offsets,
                "JSON array: copy, cluster id, topic, partition",
                "next offset, in decimal",
                1,
                cleanup="compact",
                config=CHANGELOG_CONFIG,
                fixed=True,
            )
        )
    if "normalized" in expose:
        topics += [
            Topic(
                names.normalized(source.source),
                "peer address",
                "JSON, a normalized event or a tick (topology/normalized.py)",
                source.partitions,
                retention_ms=source.retention_ms,
                config=OUTPUT_CONFIG,
                alike=names.raw(source.source),
            )
            for source in sources
        ]
    topics += [
        Topic(
            names.enrichment(name),
            "what events are looked up by",
            "JSON object of the row's other columns; null removes",
            1,
            cleanup="compact",
            config=CHANGELOG_CONFIG,
            fixed=True,
        )
        for name in dict.fromkeys(dictionaries)
    ]
    topics.append(
        Topic(
            names.matches,
            "(tenant, rule, group)",
            "Avro Partial or Watermark",
            matches_partitions,
            # A worker that counts may be away as long as one that reads raw lines.
            retention_ms=max([DAY_MS, *(source.retention_ms for source in sources)]),
            config=OUTPUT_CONFIG,
            fixed=True,
        )
    )
    for tenant in tenants:
        if "events" in tenant.feeds:
            topics.append(
                Topic(
                    names.events(tenant.tenant),
                    "host or user",
                    "event in the tenant's format",
                    tenant.partitions,
                    retention_ms=tenant.retention_ms,
                    config=OUTPUT_CONFIG,
                    tenant=tenant.tenant,
                )
            )
        if "alerts" in tenant.feeds:
            topics.append(
                Topic(
                    names.alerts(tenant.tenant),
                    "alert uid",
                    "alert in the tenant's format",
                    1,
                    retention_ms=tenant.retention_ms,
                    config=OUTPUT_CONFIG,
                    tenant=tenant.tenant,
                )
            )
    topics.append(
        Topic(names.dead_letters, "source", "Avro DeadLetter", 1, config=OUTPUT_CONFIG),
    )
    topics.append(
        Topic(names.audit, "actor", "Avro Audit", 1, retention_ms=366 * DAY_MS),
    )
    partitions = {source.source: source.partitions for source in sources}
    for store in stores:
        if store.source is not None:
            topics.append(
                Topic(
                    names.changelog(store.store),
                    "end of a window, aggregation and group",
                    "packed bytes with a format version; null removes",
                    partitions[store.source],
                    cleanup="compact",
                    config=CHANGELOG_CONFIG,
                    alike=names.raw(store.source),
                )
            )
            continue
        topics.append(
            Topic(
                names.changelog(store.store),
                "(tenant, rule, group, time bucket)",
                "packed bytes with a format version; null removes",
                matches_partitions,
                cleanup="compact",
                config=CHANGELOG_CONFIG,
                fixed=True,
            )
        )
    return topics

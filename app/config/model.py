"""northbound.yaml as typed, strict, frozen classes. Durations are milliseconds."""

from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from app.config.connection import UNREADABLE, CertificateLogins, Kafka, Strict
from app.config.connectors import Connector, HttpConnector, KafkaConnector
from app.config.deliveries import Delivering, Delivery
from app.config.enrichment import Enrichment
from app.config.fields import (
    UNITS_MS,
    Address,
    AddressText,
    Boundary,
    Duration,
    Name,
    Positive,
    SourceName,
    TenantName,
    Time,
    host_port,
)
from app.config.listeners import Listener
from app.config.lists import ListName, ListSettings
from app.config.responses import Response
from app.config.schema_registry import SchemaRegistry
from app.config.sources import Source
from app.config.tenants import Tenant
from app.yaml_source import At, Document, dotted
from topology.lists import ActiveList
from topology.topics import Feeds, Names, RawTopic


class AggregateAlert(Strict):
    """The alert of an aggregate."""

    at: Positive
    """Count that raises it."""
    title: str
    """Title of the alert."""
    level: Literal["informational", "low", "medium", "high", "critical"] = "medium"
    """Severity."""


class Aggregate(Strict):
    """Counts of events in tumbling, epoch-aligned event-time windows."""

    name: Name
    """Identifies it in state and alerts; renaming starts its counts anew."""
    select: dict[str, str | int]
    """Attribute and value that an event must have, all of them."""
    by: Annotated[list[str], Field(min_length=1)]
    """Attributes to group by."""
    window: Time
    """Length of a window, aligned to the epoch."""
    grace: Duration = UNITS_MS["h"]
    """How late an event may be and still count."""
    alert: AggregateAlert
    """What to raise, once per window and group."""


class Workers(Strict):
    """The stream workers that `northbound up` starts."""

    count: Annotated[int, Field(ge=1, le=64)] = 2
    """How many processes."""
    commit_interval: Duration = 100
    """The longest time between two commits of output, state and offsets while records come in. It
    counts under load; a worker that keeps up commits sooner, down to every 30 ms."""
    max_batch: Annotated[int, Field(ge=1, le=100_000)] = 20_000
    """Records of one batch at most."""
    shared_records: bool = True
    """Whether many groups of a rule share a record of `matches` and an entry of the state, which
    costs less. Say false while workers from before there were such records are replaced one by one:
    those cannot read them. What is there already is read in any case."""
    standby_replicas: Annotated[int, Field(ge=0, le=63)] = 0
    """Copies of each state store that workers keep beside its owner's, as Kafka Streams'
    num.standby.replicas: a worker that takes over a partition then reads only the end of its
    changelog. One covers the end of any one worker; each costs the store's memory once more."""
    state: Path = Path("state")
    """Folder of instance slots, logs, status files and stores on disk."""
    store: Literal["memory", "disk"] = "memory"
    """Where the state of open windows is kept beside its changelog. memory: quickest, about 400
    bytes an entry. disk: in RocksDB below `state`, for more entries than fit into memory; a restart
    reads only what was written since."""
    web_host: AddressText = "127.0.0.1"
    """Address of this host that workers' web ports are on; 0.0.0.0: all of them. Who can reach one
    reads titles of rules and names of tenants there, without a password."""
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """First worker's port for /ready, /stats and /metrics; the next ones follow; 0: any free."""


class Ingest(Strict):
    """The ingest agent that `northbound up` starts."""

    web: Address = "127.0.0.1:0"
    """Where it serves /health, /ready and /metrics; port 0: any free."""
    spool: Path = Path("spool")
    """Folder of the listeners' spools."""
    monitor: str | None = None
    """Source that monitoring events go to, as JSON lines: sources that fall silent or send far less
    than usual; with rules/northbound they may be alerts (`alert_on`). Without it they are logged
    and in /metrics only."""


class Config(Strict):
    """The whole of northbound.yaml. Paths in it are relative to the file's folder."""

    stand_in = MappingProxyType(
        {
            "version": 1,
            "kafka": {"embedded": {}},
            "sources": {UNREADABLE: {"format": "plain"}},
        }
    )
    version: Literal[1]
    """Version of this file's form."""
    kafka: Kafka
    """Where Kafka is."""
    sources: Annotated[dict[SourceName, Source], Field(min_length=1)]
    """Feeds of raw lines, by name."""
    listeners: list[Listener] = Field(default_factory=list)
    """Ports of the ingest agent."""
    connectors: list[Connector] = Field(default_factory=list)
    """What the ingest agent fetches lines from, or is handed them by."""
    enrich: list[Enrichment] = Field(default_factory=list)
    """What is added to every event of what is known about it, in order."""
    aggregate: list[Aggregate] = Field(default_factory=list)
    """Windowed counts."""
    rules: list[Path] = Field(default_factory=list)
    """Sigma rule files, or folders of them."""
    lists: dict[ListName, ListSettings] = Field(default_factory=dict)
    """Active lists, by name: keys that rules add, remove and test, each for a time."""
    tenants: dict[TenantName, Tenant] = Field(default_factory=dict)
    """Who receives what, by name; tenants.d/<name>.yaml adds more."""
    mask_key: Path = Path("data/mask.key")
    """File with the key of the hashes of masked attributes, which `northbound up`, `setup` or
    `tenants add` makes. Every host with workers needs the same one."""
    schema_registry: SchemaRegistry | None = None
    """Where schemas of tenants with `format: avro` are; without it their records carry the mark of
    a schema that the bundle has."""
    expose: list[Boundary] = Field(default_factory=list)
    """Stage boundaries that are topics of each source, with an agent on either side; `normalized`:
    normalized.<source>, after normalize, before enrich, match and encode."""
    workers: Workers = Workers()
    """The stream workers."""
    ingest: Ingest = Ingest()
    """The ingest agent."""
    deliveries: list[Delivery] = Field(default_factory=list)
    """What is pushed to receivers that do not read Kafka (docs/deliveries.md)."""
    responses: list[Response] = Field(default_factory=list)
    """What is done about alerts (docs/responses.md)."""
    delivering: Delivering = Delivering()
    """The process that pushes and responds."""
    _home: Path = PrivateAttr(default=Path())
    _document: Document | None = PrivateAttr(default=None)
    _tenants: dict[str, Document] = PrivateAttr(default_factory=dict)
    """Files of tenants.d, by tenant."""

    def with_lists_of(self, newer: "Config", names: Iterable[str]) -> "Config":
        """This configuration with these lists of a newer reading of its file, too."""
        lists = {**self.lists, **{name: newer.lists[name] for name in names}}
        found = self.model_copy(update={"lists": lists})
        found._document = newer._document  # noqa: SLF001  # lists are told with their lines there
        return found

    @property
    def file(self) -> Path:
        """Where it was read from."""
        return self._home / "northbound.yaml" if self._document is None else self._document.path

    @property
    def home(self) -> Path:
        """The folder of northbound.yaml."""
        return self._home

    @property
    def dictionary_topics(self) -> list[str]:
        """Names of the tables that enrichments read from topics."""
        return list(dict.fromkeys(entry.topic for entry in self.enrich if entry.topic is not None))

    @property
    def active_lists(self) -> dict[str, ActiveList]:
        """The lists as rules know them."""
        return {name: each.active_list(name) for name, each in self.lists.items()}

    @property
    def all_rules(self) -> list[Path]:
        """Where rules are: those of all tenants, and those of one."""
        return [*self.rules, *(path for tenant in self.tenants.values() for path in tenant.rules)]

    @property
    def unmanaged(self) -> bool:
        """Whether somebody else makes every change on the cluster."""
        external = self.kafka.external
        return external is not None and not external.manage

    @property
    def names(self) -> Names:
        """Physical names of topics and groups."""
        logins = self.certificate_logins
        main = frozenset(name for name, tenant in self.tenants.items() if tenant.main)
        if logins is None:
            return Names(self.kafka.topic_prefix, main=main)
        return Names(self.kafka.topic_prefix, logins.user, main)

    @property
    def certificate_logins(self) -> CertificateLogins | None:
        """Where tenants log in by certificate on an existing cluster, if they can."""
        external = self.kafka.external
        return None if external is None else external.certificates

    def problem(self, at: At, text: str) -> str:
        """`file:line: key: text`, for what is found out after the file was read; nothing where a
        mistake was taken out that it may follow from."""
        if self.unsure(at):
            return ""
        document, own = self._where(at)
        return f"{dotted(at)}: {text}" if document is None else document.problem(own, text)

    def unsure(self, at: At) -> bool:
        """Whether a mistake was taken out there, above it or below it (app/config/shape.py); `()`:
        anywhere in northbound.yaml."""
        document, own = self._where(at)
        return document is not None and document.unsure(own)

    def place(self, at: At) -> str:
        """A key as the file has it."""
        return dotted(at if self._document is None else self._document.written(at))

    def _where(self, at: At) -> tuple[Document | None, At]:
        """The document that has a key, and the key in it."""
        own = self._tenants.get(str(at[1])) if at[:1] == ("tenants",) and len(at) > 1 else None
        return (self._document, at) if own is None else (own, at[2:])

    def path(self, path: Path) -> Path:
        """A path of the file as an absolute one."""
        return (self._home / path.expanduser()).absolute()

    @property
    def data(self) -> Path:
        """Folder of the embedded broker, its certificates and credentials."""
        embedded = self.kafka.embedded
        return self.path(embedded.data if embedded else Path("data"))

    @property
    def embedded_ca(self) -> Path:
        """CA of the embedded broker's certificate."""
        embedded = self.kafka.embedded
        own = embedded.northbound.tls if embedded else None
        return self.data / "tls" / "ca.pem" if own is None else self.path(own.ca)

    @property
    def region_hosts(self) -> list[str]:
        """Names under which consumers of all regions without a CA of their own reach brokers."""
        lists = (each.servers for each in self.kafka.regions.values() if each.ca_file is None)
        return [host_port(each)[0] for servers in lists for each in servers.split(",")]

    @property
    def ingests(self) -> bool:
        """Whether there is anything for an ingest agent to do."""
        return bool(self.listeners or self.connectors)

    @property
    def copies(self) -> bool:
        """Whether topics of another cluster are copied."""
        return any(isinstance(each, KafkaConnector) for each in self.connectors)

    @property
    def ports(self) -> list[tuple[tuple[str, int], Listener | HttpConnector]]:
        """What listens, with where it stands in the file."""
        found: list[tuple[tuple[str, int], Listener | HttpConnector]] = [
            (("listeners", number), each) for number, each in enumerate(self.listeners)
        ]
        found += [
            (("connectors", number), each)
            for number, each in enumerate(self.connectors)
            if isinstance(each, HttpConnector)
        ]
        return found

    @property
    def credentials(self) -> Path:
        """Folder of the tenants' passwords, one file each, readable by its owner alone."""
        return self.data / "credentials"

    @property
    def state(self) -> Path:
        """Folder of instance slots and status files."""
        return self.path(self.workers.state)

    def raw_topics(self) -> list[RawTopic]:
        """Raw topics to declare, in the file's order."""
        return [
            RawTopic(
                name, source.partitions, source.retention, appended=source.timestamps == "broker"
            )
            for name, source in self.sources.items()
        ]

    def feeds(self) -> list[Feeds]:
        """Tenants' northbound topics to declare."""
        return [
            Feeds(name, tuple(tenant.feeds), tenant.partitions, tenant.retention)
            for name, tenant in self.tenants.items()
        ]

    @property
    def replication(self) -> int:
        """Replication factor of every topic."""
        if self.kafka.external is not None:
            return self.kafka.external.replication
        embedded = self.kafka.embedded
        return min(3, embedded.brokers) if embedded else 1

    def client(self) -> dict[str, Any]:
        """librdkafka configuration of Northbound's own processes.

        Raises ConfigError when a secret is not where the file says.
        """
        embedded, external = self.kafka.embedded, self.kafka.external
        if external is not None:
            return {"bootstrap.servers": external.bootstrap, **external.security.client(self)}
        assert embedded is not None  # noqa: S101  # Kafka allows exactly one of the two
        host, port = host_port(embedded.internal)
        servers = [f"{host}:{port + number}" for number in range(embedded.brokers)]
        return {"bootstrap.servers": ",".join(servers)}

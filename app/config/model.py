"""northbound.yaml as typed, strict, frozen classes. Durations are milliseconds."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PrivateAttr

from app.config.connection import UNREADABLE, CertificateLogins, Kafka, Strict, Unfit
from app.config.connectors import Connector, HttpConnector, KafkaConnector
from app.config.deliveries import Delivering, Delivery, feed_format
from app.config.enrichment import Enrichment
from app.config.fields import (
    UNITS_MS,
    Address,
    AddressText,
    Boundary,
    Bytes,
    Duration,
    Name,
    Positive,
    SourceName,
    TenantName,
    Time,
    host_port,
    zone,
)
from app.config.listeners import Listener
from app.config.lists import ListName, ListSettings
from app.config.responses import Response
from app.config.schema_registry import SchemaRegistry
from app.config.stages import Aggregation, Filter, Mutation
from app.yaml_source import At, Document, dotted
from topology.lists import ActiveList
from topology.topics import Feeds, Names, RawTopic


class Source(Strict):
    """A feed of raw lines: how they are read and how long they are kept."""

    stand_in = MappingProxyType({"format": "plain"})
    format: str | None = None
    """Format of its lines, such as auto, qumulo, rfc5424 or cef (docs/formats.md has all)."""
    normalizer: Path | None = None
    """Instead of a format: file of a normalizer of one's own (docs/normalizers.md)."""
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    """Zone of time stamps that name none, as those of rfc3164: an IANA name."""
    partitions: Positive = 4
    """Partitions of its raw topic."""
    retention: Time = 7 * UNITS_MS["d"]
    """How long raw lines are kept."""
    key: Literal["peer", "spread"] = "peer"
    """peer: a sender stays in one partition, in order; spread: evenly, for lines behind a relay."""
    timestamps: Literal["sender", "broker"] = "sender"
    """Time stamps of its raw records: sender: what wrote them gives them, the ingest agent that of
    reception; broker: that at which Kafka took them. An event time counts up to its record's time
    stamp, so broker is for raw topics that others write, whose clocks nobody vouches for."""
    lateness: Duration = 30 * UNITS_MS["s"]
    """How far an event may be behind its partition and still count for alerts."""
    tick: Time = 5 * UNITS_MS["s"]
    """A partition that is quiet for so long gets a tick, so that its windows close."""
    silent_after: Time = 15 * UNITS_MS["m"]
    """A source that was heard before and is silent for so long is reported (`ingest.monitor`)."""
    low_rate: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """A source that sends less than this share of what is usual at the hour, over five minutes, is
    reported, too; 0: never."""
    alert_on: list[Literal["silent", "low"]] = Field(default_factory=list)
    """Which of these reports the rules in rules/northbound make alerts."""
    options: dict[str, str] = Field(default_factory=dict)
    """Options of the format."""
    mutate: list[Mutation] = Field(default_factory=list)
    """What is made of its events' attributes, in order, before filters see them."""
    filters: list[Filter] = Field(default_factory=list)
    """Which of its events go on. What they drop stays in the raw topic and is counted."""
    aggregate: list[Aggregation] | None = None
    """Which of its events become one with a count; an event belongs to the first that wants it.
    Before it is taken out, leave it empty (`[]`) until the windows that are open have ended."""

    def unfit(self) -> Iterator[Unfit]:
        """Both ways to read lines, or none."""
        if (self.format is None) == (self.normalizer is None):
            yield "expected either format or normalizer", ("format", "normalizer")


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


class Fields(Strict):
    """Which attributes events have: names (`file.path`), or objects (`actor.user.*`). Either `keep`
    or `leave_out`."""

    keep: Annotated[list[str], Field(min_length=1)] | None = None
    """Only these, and what OCSF requires."""
    leave_out: Annotated[list[str], Field(min_length=1)] | None = None
    """All but these; what OCSF requires stays."""

    def unfit(self) -> Iterator[Unfit]:
        """Both, or none."""
        if (self.keep is None) == (self.leave_out is None):
            yield "expected either keep or leave_out", ("keep", "leave_out")

    @property
    def patterns(self) -> tuple[str, list[str]]:
        """Which of the two it is, and its patterns."""
        if self.keep is not None:
            return "keep", self.keep
        return "leave_out", self.leave_out or []


class Quota(Strict):
    """What a tenant's clients together may ask of each broker; Kafka slows down who asks for more.
    null: as much as there is."""

    bytes_per_second: Annotated[Bytes, Field(ge=1)] | None = 100_000_000
    """Bytes that it reads."""
    request_percent: Positive | None = 100
    """Time of the broker's threads, in percent of one."""


class Tenant(Strict):
    """Who receives what."""

    stand_in = MappingProxyType({"sources": [UNREADABLE]})
    sources: Annotated[list[str], Field(min_length=1)]
    """Sources whose events and alerts it receives."""
    feeds: list[Literal["events", "alerts"]] = Field(default=["events", "alerts"])
    """Which topics it has."""
    format: Annotated[str, AfterValidator(feed_format)] = "ocsf-json"
    """Format of its events and alerts: ocsf-json, indicator-json, ecs-json, cef, leef, rfc5424 or
    avro."""
    key: Literal["host", "user"] = "host"
    """What keys its events, and so keeps their order."""
    partitions: Positive = 4
    """Partitions of its events topic."""
    retention: Time | None = None
    """How long its events and alerts are kept. Unless given, as long as their topics or the brokers
    say; Kafka's default is 7d."""
    region: str | None = None
    """Whose brokers its bundle names first; without it, those of this deployment."""
    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-256"
    """How its bundle logs in. The user has a password for either, so that it may use the other."""
    login: Literal["password", "certificate"] = "password"
    """certificate: it logs in by a client certificate that Northbound issues, on the listener
    `kafka.embedded.northbound.certificates` or `kafka.external.certificates`, and has no password
    (docs/tenants.md)."""
    main: bool = False
    """It may read the topics of all tenants, too, as these have them (docs/tenants.md)."""
    raw_data: bool = True
    """False: events leave out the original line."""
    quota: Quota = Quota()
    """What it may ask of the brokers."""
    rules: list[Path] = Field(default_factory=list)
    """Files or folders of Sigma rules for this tenant alone, beside those of all."""
    filters: list[Filter] = Field(default_factory=list)
    """Which events it receives of its sources. What they drop is counted for it; other tenants, and
    its own alerts, have it."""
    fields: Fields | None = None
    """Which attributes its events have; without it, all. Alerts are as they are."""
    mask: dict[str, Literal["hash", "drop"]] = Field(default_factory=dict)
    """Attributes, or `<object>.*`, that it may not read: hash (equal values stay equal) or drop, in
    events and alerts, wherever they are repeated (docs/outputs.md)."""


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

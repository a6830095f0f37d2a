"""northbound.yaml as typed, strict, frozen classes. Durations are milliseconds."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from app.config.fields import (
    UNITS_MS,
    Address,
    Duration,
    Positive,
    SourceName,
    TenantName,
    host_port,
    loopback,
    zone,
)
from app.yaml_source import SourceError
from topology.topics import Feeds, Names, RawTopic


class ConfigError(SourceError):
    """northbound.yaml cannot be used; `problems` has one line for each mistake."""


class Strict(BaseModel):
    """Unknown keys are mistakes, values cannot change, errors do not repeat the input."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class NorthboundListener(Strict):
    """The SASL_SSL listener that consumers outside connect to."""

    listen: Address = "0.0.0.0:9094"
    advertise: Address = "localhost:9094"


class Embedded(Strict):
    """A real Apache Kafka that `northbound up` starts and stops."""

    brokers: Annotated[int, Field(ge=1, le=9)] = 1
    data: Path = Path("data")
    internal: Annotated[Address, AfterValidator(loopback)] = "127.0.0.1:19092"
    """Plaintext listener for Northbound's own processes; loopback only."""
    heap: Annotated[str, Field(pattern=r"^\d+[mg]$")] = "1g"
    northbound: NorthboundListener = NorthboundListener()


class Security(Strict):
    """How to connect to an existing cluster. Passwords come from files, never inline."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] | None = None
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _complete(self) -> "Security":
        sasl = (self.mechanism, self.username, self.password_file)
        if self.protocol.startswith("SASL") and None in sasl:
            raise ValueError(f"{self.protocol} needs mechanism, username and password_file")
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file go together")
        return self


class External(Strict):
    """An existing Kafka cluster."""

    bootstrap: Annotated[str, Field(min_length=1)]
    security: Security = Security()
    northbound: str | None = None
    """Bootstrap servers that consumers outside use; default: the same as `bootstrap`."""
    northbound_ca_file: Path | None = None
    manage: bool = True
    """False: print the plan of topics and ACLs instead of applying it."""
    replication: Positive = 3


class Kafka(Strict):
    """Where Kafka is: exactly one of `embedded` and `external`."""

    embedded: Embedded | None = None
    external: External | None = None
    topic_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]*$")] = ""
    matches_partitions: Positive = 4

    @model_validator(mode="after")
    def _one(self) -> "Kafka":
        if (self.embedded is None) == (self.external is None):
            raise ValueError("expected exactly one of embedded and external")
        return self


class Source(Strict):
    """A feed of raw lines: how they are read and how long they are kept."""

    format: str
    timezone: Annotated[str, AfterValidator(zone)] = "UTC"
    partitions: Positive = 4
    retention: Duration = 7 * UNITS_MS["d"]
    key: Literal["peer", "spread"] = "peer"
    lateness: Duration = 30 * UNITS_MS["s"]
    tick: Duration = 5 * UNITS_MS["s"]
    options: dict[str, str] = Field(default_factory=dict)


class Listener(Strict):
    """A port that the ingest agent listens on."""

    protocol: Literal["tcp"]
    listen: Address
    source: str
    framing: Literal["auto", "lf", "octet", "nul"] = "auto"
    max_line: Positive = 1_048_576
    oversize: Literal["truncate", "split"] = "truncate"


class Enrichment(Strict):
    """Join a dictionary file to events."""

    dictionary: Path
    key: str
    field: str
    name: str = Field(alias="as")


class AggregateAlert(Strict):
    """The alert of an aggregate."""

    at: Positive
    title: str
    level: Literal["informational", "low", "medium", "high", "critical"] = "medium"


class Aggregate(Strict):
    """Counts of events in tumbling, epoch-aligned event-time windows."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    select: dict[str, str | int]
    by: Annotated[list[str], Field(min_length=1)]
    window: Duration
    grace: Duration = UNITS_MS["h"]
    alert: AggregateAlert


class Tenant(Strict):
    """Who receives what."""

    sources: Annotated[list[str], Field(min_length=1)]
    feeds: list[Literal["events", "alerts"]] = Field(default=["events", "alerts"])
    format: str = "ocsf-json"
    key: Literal["host", "user"] = "host"
    partitions: Positive = 4
    raw_data: bool = True
    """False: events leave out the original line."""


class Workers(Strict):
    """The stream workers that `northbound up` starts."""

    count: Annotated[int, Field(ge=1, le=64)] = 2
    commit_interval: Duration = 100
    max_batch: Annotated[int, Field(ge=1, le=100_000)] = 20_000
    state: Path = Path("state")
    web_port: Annotated[int, Field(ge=0, le=65_535)] = 0
    """First worker's port for /ready, /stats and /metrics; the next ones follow; 0: any free."""


class Ingest(Strict):
    """The ingest agent that `northbound up` starts."""

    web: Address = "127.0.0.1:0"


class Config(Strict):
    """The whole of northbound.yaml. Paths in it are relative to the file's folder."""

    version: Literal[1]
    kafka: Kafka
    sources: Annotated[dict[SourceName, Source], Field(min_length=1)]
    listeners: list[Listener] = Field(default_factory=list)
    enrich: list[Enrichment] = Field(default_factory=list)
    aggregate: list[Aggregate] = Field(default_factory=list)
    rules: list[Path] = Field(default_factory=list)
    tenants: dict[TenantName, Tenant] = Field(default_factory=dict)
    workers: Workers = Workers()
    ingest: Ingest = Ingest()
    _home: Path = PrivateAttr(default=Path())

    @property
    def home(self) -> Path:
        """The folder of northbound.yaml."""
        return self._home

    @property
    def names(self) -> Names:
        """Physical names of topics and groups."""
        return Names(self.kafka.topic_prefix)

    def path(self, path: Path) -> Path:
        """A path of the file as an absolute one."""
        return (self._home / path.expanduser()).absolute()

    @property
    def data(self) -> Path:
        """Folder of the embedded broker, its certificates and credentials."""
        embedded = self.kafka.embedded
        return self.path(embedded.data if embedded else Path("data"))

    @property
    def state(self) -> Path:
        """Folder of instance slots and status files."""
        return self.path(self.workers.state)

    def raw_topics(self) -> list[RawTopic]:
        """Raw topics to declare, in the file's order."""
        return [
            RawTopic(name, source.partitions, source.retention)
            for name, source in self.sources.items()
        ]

    def feeds(self) -> list[Feeds]:
        """Tenants' northbound topics to declare."""
        return [
            Feeds(name, tuple(tenant.feeds), tenant.partitions)
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

        Raises ConfigError when a file with a secret cannot be read.
        """
        embedded = self.kafka.embedded
        if embedded is not None:
            host, port = host_port(embedded.internal)
            servers = [f"{host}:{port + number}" for number in range(embedded.brokers)]
            return {"bootstrap.servers": ",".join(servers)}
        external = self.kafka.external
        assert external is not None  # noqa: S101  # Kafka._one allows exactly one of the two
        return {
            "bootstrap.servers": external.bootstrap,
            **self._security(external.security),
        }

    def _security(self, security: Security) -> dict[str, Any]:
        client: dict[str, Any] = {"security.protocol": security.protocol}
        files = {
            "ssl.ca.location": security.ca_file,
            "ssl.certificate.location": security.certificate_file,
            "ssl.key.location": security.key_file,
        }
        client |= {key: str(self.path(file)) for key, file in files.items() if file is not None}
        if security.password_file is not None:
            file = self.path(security.password_file)
            try:
                password = file.read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                raise ConfigError(
                    [f"kafka.external.security.password_file: {file}: {error.strerror}"]
                ) from None
            client |= {
                "sasl.mechanisms": security.mechanism,
                "sasl.username": security.username,
                "sasl.password": password,
            }
        return client

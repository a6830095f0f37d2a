"""Where Kafka is: the embedded broker or an existing cluster, and how to connect."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.config.fields import (
    Address,
    Addresses,
    Brokers,
    Heap,
    Positive,
    RegionName,
    TopicPrefix,
    loopback,
)
from app.yaml_source import At, SourceError

if TYPE_CHECKING:
    from app.config.model import Config


class ConfigError(SourceError):
    """northbound.yaml cannot be used; `problems` has one line for each mistake."""


Unfit: TypeAlias = tuple[str, tuple[str, ...]]
"""What does not go together, and the keys that it is about."""
PASSWORD = ("password_file", "password_env")
TOKEN = ("token_file", "token_env")
UNREADABLE = "unreadable"
"""A name that stands for one that cannot be read (Strict.stand_in)."""
UNFIT = "unfit"
"""The type of pydantic's error for it; its context has `found`."""


def one_of(given: BaseModel, first: str, second: str) -> Iterator[Unfit]:
    """Two ways to say one thing, of which a mapping has both."""
    if getattr(given, first) is not None and getattr(given, second) is not None:
        yield f"{first} and {second} exclude each other; keep one", (first, second)


def password_login(given: BaseModel, username: str | None) -> Iterator[Unfit]:
    """A login by password that is not whole, or has two passwords."""
    yield from one_of(given, *PASSWORD)
    if (username is None) != all(getattr(given, key) is None for key in PASSWORD):
        yield "username and password_file or password_env go together", ("username", *PASSWORD)


class Strict(BaseModel):
    """Unknown keys are mistakes, values cannot change, errors do not repeat the input."""

    stand_in: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    """By key, what stands for a value that is missing or wrong, so that what is left of the mapping
    can be checked in the same start. Without one the mapping is left out."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        defer_build=True,  # only what is validated by itself needs a validator of its own
    )

    def unfit(self) -> Iterator[Unfit]:
        """What does not go together in this mapping, all of it."""
        return iter(())

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if found := tuple(self.unfit()):
            text = "; ".join(each for each, _ in found)
            raise PydanticCustomError(UNFIT, "{text}", {"text": text, "found": found})
        return self


class OwnCertificate(Strict):
    """A server certificate that somebody else issues; new files are taken up without a restart."""

    certificate: Path
    """PEM, with the CAs between it and `ca` behind it; its SANs have the advertised name."""
    key: Path
    """Its private key in PEM, without a password."""
    ca: Path
    """CA certificates in PEM that go into the bundles."""


class CertificateListener(Strict):
    """The SSL listener for tenants with `login: certificate`."""

    listen: Address = "0.0.0.0:9194"
    """Where the broker listens; brokers after the first take the next ports."""
    advertise: Address = "localhost:9194"
    """The name and port that these tenants are told, which is in the broker's certificate, too."""


class NorthboundListener(Strict):
    """The SASL_SSL listener that consumers outside connect to."""

    listen: Address = "0.0.0.0:9094"
    """Where the broker listens; brokers after the first take the next ports."""
    advertise: Address = "localhost:9094"
    """The name and port that consumers are told; the certificate is made for this name."""
    tls: OwnCertificate | None = None
    """Instead of a certificate by Northbound's own CA."""
    certificates: CertificateListener | None = None
    """Where tenants connect that log in by a certificate (`login: certificate`); without it, none
    can."""
    connections_per_address: Positive | None = None
    """How many connections a broker takes from one IP address (Kafka's max.connections.per.ip),
    whoever logs in; without it, any number. Of the addresses of this machine's own processes it
    takes any number in either case."""


class Embedded(Strict):
    """A real Apache Kafka that `northbound up` starts and stops."""

    brokers: Annotated[int, Field(ge=1, le=9)] = 1
    """How many; three or more replicate every topic three times. Cannot change later: a data folder
    keeps the number that it began with."""
    data: Path = Path("data")
    """Folder of the brokers' logs, the certificates and the tenants' credentials."""
    internal: Annotated[Address, AfterValidator(loopback)] = "127.0.0.1:19092"
    """Listener for Northbound's own processes, without a password, so loopback only."""
    heap: Heap = "1g"
    """Java heap of each broker."""
    northbound: NorthboundListener = NorthboundListener()
    """The listener for consumers."""

    def unfit(self) -> Iterator[Unfit]:
        """The ports of two listeners."""
        if self.northbound.certificates is not None:
            ports = [
                int(each.rpartition(":")[2])
                for each in (self.northbound.listen, self.northbound.certificates.listen)
            ]
            if all(ports) and abs(ports[0] - ports[1]) < self.brokers:
                text = (
                    f"northbound.listen and northbound.certificates.listen have ports {ports[0]} "
                    f"and {ports[1]}, and each of {self.brokers} brokers takes the next of both: "
                    "expected them further apart"
                )
                yield text, ("northbound", "brokers")


def password_of(variable: str | None, file: Path | None, config: "Config", at: At) -> str:
    """What `password_env`, or else `password_file`, holds. `at`: where they stand.

    Raises ConfigError if it is not there.
    """
    if variable is not None:
        found = os.environ.get(variable)
        if not found:
            text = f"the environment has no {variable}; set it"
            raise ConfigError([config.problem((*at, "password_env"), text)])
        return found
    place = config.path(file or Path())
    try:
        return place.read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        problem = config.problem((*at, "password_file"), f"{place}: {error.strerror}")
        raise ConfigError([problem]) from None


class Security(Strict):
    """How to connect to an existing cluster. Secrets come from a file or the environment."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Kafka's security protocol."""
    mechanism: Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"] | None = None
    """SASL mechanism."""
    username: str | None = None
    """SASL user name."""
    password_file: Path | None = None
    """File that holds the password and nothing else."""
    password_env: str | None = None
    """Name of an environment variable that holds the password."""
    ca_file: Path | None = None
    """CA certificates in PEM; default: the system's."""
    certificate_file: Path | None = None
    """Client certificate in PEM, for mutual TLS."""
    key_file: Path | None = None
    """Key of the client certificate in PEM."""

    def unfit(self) -> Iterator[Unfit]:
        """A login and a certificate that are not whole."""
        yield from one_of(self, *PASSWORD)
        password = self.password_file or self.password_env
        if self.protocol.startswith("SASL") and None in (self.mechanism, self.username, password):
            text = f"{self.protocol} needs mechanism, username and password_file or password_env"
            yield text, ("protocol", "mechanism", "username", *PASSWORD)
        if (self.certificate_file is None) != (self.key_file is None):
            yield "certificate_file and key_file go together", ("certificate_file", "key_file")

    def client(
        self, config: "Config", at: At = ("kafka", "external", "security")
    ) -> dict[str, Any]:
        """The same as librdkafka configuration. Raises ConfigError if a secret is not there.

        `at`: where it stands in northbound.yaml.
        """
        files = {
            "ssl.ca.location": self.ca_file,
            "ssl.certificate.location": self.certificate_file,
            "ssl.key.location": self.key_file,
        }
        client: dict[str, Any] = {"security.protocol": self.protocol}
        client |= {key: str(config.path(file)) for key, file in files.items() if file is not None}
        if self.protocol.startswith("SASL"):
            client |= {
                "sasl.mechanisms": self.mechanism,
                "sasl.username": self.username,
                "sasl.password": password_of(self.password_env, self.password_file, config, at),
            }
        return client


def certificate_user(value: str) -> str:
    """A name in which the common name of a certificate has its place."""
    if value.count("{}") != 1:
        raise ValueError("expected {} once, where the common name stands, as in CN={}")
    return value


class CertificateLogins(Strict):
    """The cluster's SSL listener for tenants with `login: certificate`. Whoever manages the brokers
    has it ask for certificates (`ssl.client.auth=required`) and trust the CA that issues them."""

    servers: Addresses
    """Comma-separated host:port of some brokers, as these tenants reach them."""
    ca_file: Path | None = None
    """CA that issues the tenants' certificates, in PEM; if the listener trusts only another CA
    above it, with the CAs between them behind it. Without it Northbound makes one:
    `data/tls/clients-ca.pem`."""
    key_file: Path | None = None
    """Key of that CA in PEM, without a password."""
    issued_by: Literal["northbound", "others"] = "northbound"
    """others: Northbound makes key and request (CSR), and takes the certificate that somebody else
    signs: `tenants add` and `rotate`, then again with `--certificate FILE`."""
    user: Annotated[str, AfterValidator(certificate_user)] = "CN={}"
    """What the brokers call who logs in; {} is the certificate's common name, which is the whole
    subject that Northbound gives it. CN={} without `ssl.principal.mapping.rules`; {} where these
    take the common name."""

    def unfit(self) -> Iterator[Unfit]:
        """A CA that is not whole, or one too many."""
        if (self.ca_file is None) != (self.key_file is None):
            text = "ca_file and key_file go together; without both Northbound makes a CA"
            yield text, ("ca_file", "key_file")
        elif self.ca_file is not None and self.issued_by == "others":
            text = "issued_by: others needs no ca_file and key_file; keep one way"
            yield text, ("issued_by", "ca_file", "key_file")


class External(Strict):
    """An existing Kafka cluster; 4.0 or newer for the exactly-once guarantee."""

    bootstrap: Brokers
    """Comma-separated host:port of some brokers."""
    security: Security = Security()
    """How Northbound's own processes connect."""
    northbound: Brokers | None = None
    """What consumers outside are told instead of `bootstrap`."""
    northbound_ca_file: Path | None = None
    """CA certificates in PEM that go into the bundles; default: security.ca_file."""
    certificates: CertificateLogins | None = None
    """Where tenants connect that log in by a certificate (`login: certificate`), and who issues
    these; without it, none can."""
    manage: bool = True
    """False: print the plan of topics, users and ACLs instead of applying it."""
    replication: Positive = 3
    """Replication factor of every topic."""


class Region(Strict):
    """Brokers of a region that have the tenants' feeds, for consumers there."""

    servers: Addresses
    """Comma-separated host:port of some of its brokers."""
    ca_file: Path | None = None
    """CA certificates in PEM of these brokers. Without it they are taken for the embedded broker's,
    whose certificate has their names, too."""


class Kafka(Strict):
    """Where Kafka is: exactly one of `embedded` and `external`."""

    stand_in = MappingProxyType({"embedded": {}})
    embedded: Embedded | None = None
    """A broker that comes with Northbound."""
    external: External | None = None
    """A cluster that is there already."""
    regions: dict[RegionName, Region] = Field(default_factory=dict)
    """Broker lists by region, for the bundles: other ways to this cluster, or (with ca_file) other
    clusters with the same topics and users."""
    topic_prefix: TopicPrefix = ""
    """Begins the name of every topic, consumer group and transactional id."""
    matches_partitions: Positive = 4
    """Partitions of the matches topic and of every changelog; cannot change later."""

    def unfit(self) -> Iterator[Unfit]:
        """Both of them, or none."""
        if (self.embedded is None) == (self.external is None):
            yield "expected exactly one of embedded and external", ("embedded", "external")

"""What a bundle's files are made of."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """How the tenant reads schemas. `ca` as in Access; without `user` nobody logs in."""

    url: str
    user: str | None = None
    password: str = field(default="", repr=False)
    ca: bytes | None = None

    @property
    def ca_file(self) -> str | None:
        """The file of the bundle with the CA."""
        return None if self.ca is None else REGISTRY_CA


CLIENT_CERTIFICATE, CLIENT_KEY, KEY_STORE = "client.pem", "client.key", "keystore.p12"
"""Files of a tenant that logs in by certificate; the last has both, for Java."""
REGISTRY_CA = "registry-ca.pem"


@dataclass(frozen=True, slots=True)
class Access:
    """How one tenant reads its topics.

    servers: bootstrap servers as consumers outside reach them, `host:port,...`.
    topics: feed (`events`, `alerts`) → topic name.
    group: consumer group that the tenant may use; so is every other that begins with
    `group_prefix`.
    ca: CA certificates in PEM; None where the system's trust store knows the brokers' CA.
    format: of the records (topology/northbound SERIALIZERS).
    registry: where the schemas of avro are; None: the bundle has them.
    regions: region → bootstrap servers there, which the same user may use as well.
    all_feeds: what the names of the topics of all tenants begin with, of a main tenant, which may
    read these.
    certificate: client certificate and its key in PEM, by which the tenant logs in; None: by
    password.
    """

    tenant: str
    servers: str
    user: str
    password: str = field(repr=False)
    topics: dict[str, str]
    group_prefix: str
    ca: bytes | None
    mechanism: str = "SCRAM-SHA-256"
    format: str = "ocsf-json"
    registry: RegistryAccess | None = None
    regions: dict[str, str] = field(default_factory=dict)
    all_feeds: str | None = None
    certificate: tuple[bytes, bytes] | None = field(default=None, repr=False)

    @property
    def protocol(self) -> str:
        """Kafka's security protocol."""
        return "SASL_SSL" if self.certificate is None else "SSL"

    @property
    def group(self) -> str:
        return f"{self.group_prefix}siem"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a bundle. `secret`: for its owner's eyes alone."""

    name: str
    content: bytes = field(repr=False)
    secret: bool = False

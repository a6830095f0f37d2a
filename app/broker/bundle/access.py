"""What a bundle's files are made of."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Access:
    """How one tenant reads its topics.

    servers: bootstrap servers as consumers outside reach them, `host:port,...`.
    topics: feed (`events`, `alerts`) → topic name.
    group: consumer group that the tenant may use; so is every other that begins with
    `group_prefix`.
    ca: CA certificates in PEM; None where the system's trust store knows the brokers' CA.
    format: of the records (topology/northbound SERIALIZERS).
    regions: region → bootstrap servers there, which the same user may use as well.
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
    regions: dict[str, str] = field(default_factory=dict)

    @property
    def group(self) -> str:
        return f"{self.group_prefix}siem"


@dataclass(frozen=True, slots=True)
class File:
    """A file of a bundle. `secret`: for its owner's eyes alone."""

    name: str
    content: bytes = field(repr=False)
    secret: bool = False

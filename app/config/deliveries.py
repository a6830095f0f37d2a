"""Deliveries of northbound.yaml: a tenant's feeds pushed to receivers that do not read Kafka."""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from app.config.connection import (
    TOKEN,
    UNREADABLE,
    Strict,
    Unfit,
    one_of,
    password_login,
)
from app.config.fields import (
    UNITS_MS,
    Address,
    Duration,
    HttpUrl,
    Name,
    Permissions,
    Receiver,
    Size,
    Time,
    matching,
)

JSON_FORMATS = ("ocsf-json", "indicator-json", "ecs-json")
BINARY_FORMATS = ("avro",)
FORMATS = (*JSON_FORMATS, "cef", "leef", "rfc5424", *BINARY_FORMATS)
"""Of tenants' feeds, as topology.northbound has them, which takes long to load."""
HEADER_NAME = re.compile(r"[A-Za-z0-9-]+")
RESERVED = {"authorization", "content-type", "content-encoding", "content-length", "host"}
IndexName = Annotated[str, matching(r"[^\s/]+", "expected a name without blanks and /")]
DirectoryId = Annotated[
    str, matching("[A-Za-z0-9.-]+", "expected a directory's id or domain, such as contoso.com")
]


def feed_format(value: str) -> str:
    if value not in FORMATS:
        raise ValueError(f"expected one of {', '.join(FORMATS)}")
    return value


def wrong_headers(
    headers: Mapping[str, str], reserved: AbstractSet[str], owner: str
) -> Iterator[Unfit]:
    """Headers that cannot be sent, or that the `owner` sets itself."""
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not value.isprintable() or not value.isascii():
            yield f"expected headers of one line of ASCII text; see {name!r}", ("headers",)
        elif name.lower() in reserved:
            yield f"header {name} is set by the {owner}; remove it", ("headers",)


class DeliveryTls(Strict):
    """What the receiver's certificate is checked against: its chain, and always its name."""

    ca: Path | None = None
    """CA certificates in PEM; default: the system's."""
    certificate: Path | None = None
    """Client certificate and chain in PEM, where the receiver asks for one; may hold the key."""
    key: Path | None = None
    """Its key in PEM."""
    server_name: str | None = None
    """Name that the receiver's certificate has, if it is not the host of its address."""

    def unfit(self) -> Iterator[Unfit]:
        """Half a certificate."""
        if self.key is not None and self.certificate is None:
            yield "key needs certificate", ("key", "certificate")


class Receivers(Strict):
    """What all receivers with addresses have."""

    addresses: Annotated[list[Receiver], Field(min_length=1)]
    """host:port of each receiver."""
    mode: Literal["failover", "balance"] = "failover"
    """failover: the first that can be reached has everything. balance: each has its share of the
    partitions, and those of one that is away go to the others."""
    timeout: Time = 30 * UNITS_MS["s"]
    """A receiver that takes or answers nothing for so long counts as away."""

    def unfit(self) -> Iterator[Unfit]:
        """The same receiver twice."""
        if len(set(self.addresses)) < len(self.addresses):
            yield "expected each address once", ("addresses",)


class SyslogDelivery(Receivers):
    """Syslog over TCP (RFC 6587) or TLS (RFC 5425)."""

    type: Literal["syslog"]
    """Kind of receiver."""
    tls: DeliveryTls | None = None
    """With it the connection is TLS; `{}` for the system's CA certificates."""
    framing: Literal["octet", "lf"] = "octet"
    """octet: each message after its length, so that it may hold anything. lf: one message a line;
    line breaks in it become blanks."""
    hold: Duration = 2 * UNITS_MS["s"]
    """Syslog has no acknowledgement: a record counts as delivered once the receiver's kernel has it
    and the connection has lived on for so long; what is younger than that when a connection is lost
    is sent again."""


class RelpDelivery(Receivers):
    """RELP over TCP or TLS, as rsyslog's imrelp speaks it."""

    type: Literal["relp"]
    """Kind of receiver."""
    tls: DeliveryTls | None = None
    """With it the connection is TLS; `{}` for the system's CA certificates."""
    window: Annotated[int, Field(ge=1, le=100_000)] = 128
    """Messages that may be under way without an answer."""


class HttpReceivers(Strict):
    """What all receivers of HTTP requests have."""

    addresses: Annotated[list[HttpUrl], Field(min_length=1)]
    """http:// or https:// URL of each receiver; no secret in it."""
    mode: Literal["failover", "balance"] = "failover"
    """failover: the first that can be reached has everything. balance: each has its share of the
    partitions, and those of one that is away go to the others."""
    timeout: Time = 30 * UNITS_MS["s"]
    """A receiver that answers nothing for so long counts as away."""
    tls: DeliveryTls = DeliveryTls()
    """For https."""
    token_file: Path | None = None
    """File that holds the token and nothing else; read anew for each request."""
    token_env: str | None = None
    """Name of an environment variable that holds it instead."""
    gzip: bool = True
    """Whether bodies are compressed."""
    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 2000
    """Records of one request at most."""
    batch_size: Annotated[Size, Field(gt=0)] = 4 << 20
    """Their size at most, before they are compressed."""
    batch_wait: Duration = UNITS_MS["s"]
    """How long a request waits for more records."""

    def unfit(self) -> Iterator[Unfit]:
        """The same receiver twice, and two tokens."""
        if len(set(self.addresses)) < len(self.addresses):
            yield "expected each address once", ("addresses",)
        yield from one_of(self, *TOKEN)


class PasswordReceivers(HttpReceivers):
    """Those that take a user's name and password, too."""

    username: str | None = None
    """User, instead of a token."""
    password_file: Path | None = None
    """File that holds the user's password and nothing else; read anew for each request."""
    password_env: str | None = None
    """Name of an environment variable that holds it instead."""

    def unfit(self) -> Iterator[Unfit]:
        """Two ways to log in, or half of one."""
        yield from super().unfit()
        yield from password_login(self, self.username)
        if self.username is not None and (self.token_file or self.token_env) is not None:
            yield "username and token exclude each other; keep one", ("username", *TOKEN)


class HttpDelivery(PasswordReceivers):
    """Batches by HTTP POST. The token is sent as `Authorization: Bearer`."""

    type: Literal["http"]
    """Kind of receiver."""
    body: Literal["lines", "array"] = "lines"
    """lines: a record a line; array: a JSON array of records, for tenants with a JSON format."""
    headers: dict[str, str] = Field(default_factory=dict)
    """Headers of each request; nothing secret, and no Authorization."""

    def unfit(self) -> Iterator[Unfit]:
        """Headers that cannot be, too."""
        yield from super().unfit()
        yield from wrong_headers(self.headers, RESERVED, "delivery")


class ElasticDelivery(PasswordReceivers):
    """Elasticsearch or OpenSearch, by the bulk interface. The token is an API key."""

    type: Literal["elastic"]
    """Kind of receiver."""
    index: IndexName
    """Index, alias or data stream (which needs `@timestamp`, as ecs-json has)."""


class SplunkDelivery(HttpReceivers):
    """Splunk's HTTP Event Collector. The token is that of the collector."""

    type: Literal["splunk"]
    """Kind of receiver."""
    index: str | None = None
    """Index; default: the token's."""
    source: str | None = None
    """Source; default: the token's."""
    sourcetype: str | None = None
    """Source type; default: the token's."""
    host: str | None = None
    """Host; default: Splunk's."""


class AzureDelivery(HttpReceivers):
    """Azure Monitor's Logs Ingestion API, for Microsoft Sentinel. Either an application of
    Microsoft Entra ID, or a bearer token that someone else renews in its file."""

    type: Literal["azure"]
    """Kind of receiver; its addresses are data collection endpoints."""
    rule: str
    """Immutable id of the data collection rule: dcr-..."""
    stream: str
    """Stream of that rule: Custom-..."""
    directory: DirectoryId | None = None
    """Directory (tenant) id of the application."""
    client_id: str | None = None
    """Application (client) id."""
    client_secret_file: Path | None = None
    """File that holds the application's secret and nothing else."""
    client_secret_env: str | None = None
    """Name of an environment variable that holds it instead."""
    login: HttpUrl = "https://login.microsoftonline.com"
    """Where tokens are asked for; other clouds have their own."""
    scope: str = "https://monitor.azure.com/.default"
    """What the token is to be good for; other clouds have their own."""
    batch_size: Annotated[Size, Field(gt=0)] = 900 << 10
    """Size of one request's records at most; the API takes 1 MB."""

    def unfit(self) -> Iterator[Unfit]:
        """Two ways to log in, or half of one."""
        yield from super().unfit()
        files = ("client_secret_file", "client_secret_env")
        yield from one_of(self, *files)
        secret = self.client_secret_file or self.client_secret_env
        given = [each is not None for each in (self.directory, self.client_id, secret)]
        if any(given) != all(given):
            text = "directory, client_id and client_secret_file or client_secret_env go together"
            yield text, ("directory", "client_id", *files)
        if not self.login.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
            yield "expected login by https: a secret is sent there", ("login",)
        token = self.token_file is not None or self.token_env is not None
        if token == any(given):
            text = "expected either directory and client_id or a token"
            yield text, ("directory", "client_id", *files, *TOKEN)


class FileDelivery(Strict):
    """A file with a record a line, and full ones beside it: NAME.1 is the newest of these."""

    type: Literal["file"]
    """Kind of receiver."""
    path: Path
    """The file."""
    size: Size = 100 << 20
    """A file is full before it is larger than this."""
    count: Annotated[int, Field(ge=1, le=10_000)] = 10
    """Full files that are kept; older ones are removed."""
    total: Size | None = None
    """What all of them together stay below, by removing the oldest; default: size x (count + 1)."""
    permissions: Permissions = "0600"
    """Permissions of the files."""

    def unfit(self) -> Iterator[Unfit]:
        """Sizes that are too small."""
        if self.size < 1024:
            yield "expected a size of 1KiB or more", ("size",)
        if self.total is not None and self.total < self.size:
            yield "expected total to be size or more", ("total", "size")


To: TypeAlias = Annotated[
    SyslogDelivery
    | RelpDelivery
    | HttpDelivery
    | ElasticDelivery
    | SplunkDelivery
    | AzureDelivery
    | FileDelivery,
    Field(discriminator="type"),
]
"""One line for each kind; app/deliver/registry.py has its code."""


class Delivery(Strict):
    """A tenant's feeds to one destination, with offsets of its own."""

    stand_in = MappingProxyType(
        {
            "name": UNREADABLE,
            "tenant": UNREADABLE,
            "to": {"type": "file", "path": UNREADABLE},
        }
    )
    name: Name
    """Identifies its offsets: under another name it begins anew."""
    tenant: str
    """Whose feeds, in that tenant's format."""
    feeds: Annotated[list[Literal["events", "alerts"]], Field(min_length=1)] = Field(
        default=["events", "alerts"]
    )
    """Which of them."""
    start: Literal["beginning", "end"] = "beginning"
    """Where it begins the first time: with all that is kept, or with what comes from then on."""
    to: To
    """Where to."""

    @property
    def needs_json(self) -> bool:
        """Whether the receiver takes nothing but JSON."""
        to = self.to
        return isinstance(to, ElasticDelivery | AzureDelivery) or (
            isinstance(to, HttpDelivery) and to.body == "array"
        )


class Delivering(Strict):
    """The process of the deliveries and responses, which `northbound up` starts."""

    web: Address = "127.0.0.1:0"
    """Where it serves /health and /metrics; port 0: any free."""

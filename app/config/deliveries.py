"""Deliveries of northbound.yaml: a tenant's feeds pushed to receivers that do not read Kafka."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from app.config.connection import Strict
from app.config.fields import UNITS_MS, Address, Duration

JSON_FORMATS = ("ocsf-json", "ecs-json")


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

    @model_validator(mode="after")
    def _complete(self) -> "DeliveryTls":
        if self.key is not None and self.certificate is None:
            raise ValueError("key needs certificate")
        return self


class Receivers(Strict):
    """What all receivers with addresses have."""

    addresses: Annotated[list[Address], Field(min_length=1)]
    """host:port of each receiver."""
    mode: Literal["failover", "balance"] = "failover"
    """failover: the first that can be reached has everything. balance: each has its share of the
    partitions, and those of one that is away go to the others."""
    timeout: Duration = 30 * UNITS_MS["s"]
    """A receiver that takes or answers nothing for so long counts as away."""

    @model_validator(mode="after")
    def _different(self) -> "Receivers":
        if len(set(self.addresses)) < len(self.addresses):
            raise ValueError("expected each address once")
        return self


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


To: TypeAlias = Annotated[SyslogDelivery | RelpDelivery, Field(discriminator="type")]
"""One line for each kind; app/deliver/registry.py has its code."""


class Delivery(Strict):
    """A tenant's feeds to one destination, with offsets of its own."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
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


class Delivering(Strict):
    """The process of the deliveries, which `northbound up` starts."""

    web: Address = "127.0.0.1:0"
    """Where it serves /health and /metrics; port 0: any free."""

"""Connectors of northbound.yaml: what the ingest agent fetches lines from, or is handed them by."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from app.config.connection import (
    TOKEN,
    Security,
    Strict,
    Unfit,
    one_of,
    password_login,
)
from app.config.fields import Address, Brokers, LineBytes, Size, Time, matching
from app.config.listeners import ListenerTls

UrlPath = Annotated[str, matching("/[!-~]*", "expected a path from / on, such as /logs")]
DurableName = Annotated[
    str, matching("[A-Za-z0-9_-]+", "expected letters, digits, - and _, such as northbound-fw")
]


class FileConnector(Strict):
    """Files that grow, on a local disk or an NFS mount, across rotation and restarts."""

    type: Literal["file"]
    """Kind of connector."""
    paths: Annotated[list[str], Field(min_length=1)]
    """Files; `*`, `?`, `[...]` and `**` (any folders) as in a shell. Compressed ones are left
    out."""
    source: str
    """Which source the lines belong to."""
    start: Literal["beginning", "end"] = "beginning"
    """Where files are begun that are there when the connector runs for the first time."""
    poll: Time = 500
    """How often is looked whether there is anything new."""
    max_line: LineBytes = 1_048_576
    """Bytes a line may have."""
    oversize: Literal["truncate", "split"] = "truncate"
    """What happens to a longer line; either way it is counted."""


class HttpConnector(Strict):
    """A port that takes lines by HTTP POST; answered with 200 once Kafka has all of them."""

    type: Literal["http"]
    """Kind of connector."""
    listen: Address
    """host:port; 0.0.0.0 for all addresses."""
    source: str
    """Which source the lines belong to."""
    path: UrlPath = "/"
    """Path that requests are sent to."""
    token_file: Path | None = None
    """File of tokens, one a line; a request brings one of them (`Authorization: Bearer`)."""
    token_env: str | None = None
    """Name of an environment variable that holds them instead."""
    body: Literal["lines", "whole"] = "lines"
    """lines: each line of a body is a record (JSON lines, raw lines); whole: each body is one."""
    max_body: Annotated[Size, Field(gt=0)] = 16 << 20
    """How large a body may be, as sent and when inflated."""
    max_line: LineBytes = 1_048_576
    """Bytes a line may have."""
    oversize: Literal["truncate", "split"] = "truncate"
    """What happens to a longer line; either way it is counted."""
    tls: ListenerTls | None = None
    """Certificates; with it the port speaks HTTPS. `{}` for one by Northbound's own CA."""

    @property
    def port_key(self) -> tuple[str, str]:
        """What it cannot share with a listener."""
        return ("stream", self.listen)

    def unfit(self) -> Iterator[Unfit]:
        """Two places of tokens."""
        yield from one_of(self, *TOKEN)


class KafkaConnector(Strict):
    """Topics on a Kafka cluster of others, copied into the raw topic exactly once."""

    type: Literal["kafka"]
    """Kind of connector."""
    bootstrap: Brokers
    """Comma-separated host:port of some of its brokers."""
    topics: Annotated[list[str], Field(min_length=1)]
    """Topics there."""
    source: str
    """Which source the records belong to; identifies the copy: renaming begins it anew."""
    start: Literal["beginning", "end"] = "beginning"
    """Where topics are begun when they are copied for the first time."""
    security: Security = Security()
    """How to connect there."""


NatsServer: TypeAlias = Annotated[
    str,
    matching(
        r"(nats|tls)://[^@\s]+",
        "expected nats://host:4222 or tls://host:4222, without a user or a password",
    ),
]
"""No password in it: the address is shown."""


class NatsConnector(Strict):
    """A NATS JetStream stream; needs the package extra `nats`."""

    type: Literal["nats"]
    """Kind of connector."""
    servers: Annotated[list[NatsServer], Field(min_length=1)]
    """Servers of one cluster: nats://host:4222, or tls://host:4222."""
    stream: str
    """Stream."""
    subject: str
    """Subject of the messages in it; `>` for all."""
    source: str
    """Which source the messages belong to."""
    durable: DurableName | None = None
    """Name of the consumer on the server; default: northbound-<source>."""
    start: Literal["beginning", "end"] = "beginning"
    """Where the stream is begun when the consumer is made."""
    max_line: LineBytes = 1_048_576
    """Bytes a message may have."""
    oversize: Literal["truncate", "split"] = "truncate"
    """What happens to a longer message; either way it is counted."""
    username: str | None = None
    """User name."""
    password_file: Path | None = None
    """File that holds the password and nothing else."""
    password_env: str | None = None
    """Name of an environment variable that holds the password."""
    credentials_file: Path | None = None
    """Credentials file of a user (JWT and seed), as `nsc` makes it."""
    nkey_file: Path | None = None
    """File that holds a user's nkey seed (SU...)."""
    ca_file: Path | None = None
    """CA certificates in PEM; with it the connection is TLS. Default: the system's, for tls://."""

    def unfit(self) -> Iterator[Unfit]:
        """Two ways to log in, or half of one."""
        yield from password_login(self, self.username)
        ways = {
            "username": self.username,
            "credentials_file": self.credentials_file,
            "nkey_file": self.nkey_file,
        }
        given = [name for name, value in ways.items() if value is not None]
        if len(given) > 1:
            yield f"{' and '.join(given)} exclude each other; keep one", tuple(given)


Connector: TypeAlias = Annotated[
    FileConnector | HttpConnector | KafkaConnector | NatsConnector, Field(discriminator="type")
]
"""One line for each kind; app/ingest/connectors/registry.py has its code."""

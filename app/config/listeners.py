"""Listeners of northbound.yaml: protocol, address, framing, TLS, proxies, spool."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from app.config.connection import Strict
from app.config.fields import Endpoint, NetworkText, Permissions, Size

SECURED = ("tls", "relp+tls")
UDP_SPOOL = 256 << 20


class ListenerTls(Strict):
    """Certificates of a listener. Without `certificate` Northbound's own CA makes one."""

    certificate: Path | None = None
    """Certificate and chain in PEM; may hold the key too."""
    key: Path | None = None
    """Key in PEM."""
    hosts: list[str] = Field(default_factory=list)
    """Names and addresses that senders use, for a certificate by Northbound's own CA."""
    client_ca: Path | None = None
    """CA certificates in PEM that senders' certificates are checked against."""
    client_certificates: Literal["none", "optional", "required"] = "none"
    """Whether senders are asked for a certificate."""

    @model_validator(mode="after")
    def _complete(self) -> "ListenerTls":
        if self.key is not None and self.certificate is None:
            raise ValueError("key needs certificate")
        if self.certificate is not None and self.hosts:
            raise ValueError("hosts are for a certificate of Northbound's own CA; remove one")
        if (self.client_certificates == "none") != (self.client_ca is None):
            raise ValueError("client_ca and client_certificates: optional or required go together")
        return self


class Listener(Strict):
    """A port, or a Unix socket, that the ingest agent listens on."""

    protocol: Literal["tcp", "udp", "tls", "relp", "relp+tls", "unix"]
    """Transport."""
    listen: Endpoint
    """host:port; 0.0.0.0 for all addresses. For unix the absolute path of the socket."""
    source: str
    """Which source the lines belong to."""
    framing: Literal["auto", "lf", "octet", "nul"] = "auto"
    """How streams are cut (RFC 6587); auto tells LF and octet counting apart frame by frame."""
    max_line: Annotated[int, Field(ge=1, le=2_000_000)] = 1_048_576
    """Bytes a message may have."""
    oversize: Literal["truncate", "split"] = "truncate"
    """What happens to a longer message; either way it is counted."""
    tls: ListenerTls | None = None
    """Certificates, for tls and relp+tls."""
    proxy_protocol: list[NetworkText] = Field(default_factory=list)
    """Proxies (HAProxy's send-proxy, send-proxy-v2) that tell the sender's address."""
    spool: Size | None = None
    """What may wait on disk while Kafka is away, in `ingest.spool`; default: 256MiB for udp, else
    0B: senders are held back. Not for RELP, whose senders keep what is not acknowledged."""
    threads: Annotated[int, Field(ge=1, le=64)] = 1
    """Threads (SO_REUSEPORT) that receive datagrams."""
    receive_buffer: Size = 4 << 20
    """The kernel's buffer for datagrams (SO_RCVBUF), for each thread."""
    socket: Literal["stream", "datagram"] = "stream"
    """Kind of a Unix socket."""
    permissions: Permissions = "0660"
    """Permissions of a Unix socket."""

    @property
    def secured(self) -> bool:
        """Whether it speaks TLS."""
        return self.protocol in SECURED

    @property
    def datagrams(self) -> bool:
        """Whether a message is a datagram."""
        return self.protocol == "udp" or (self.protocol == "unix" and self.socket == "datagram")

    @property
    def port_key(self) -> tuple[str, str]:
        """What two listeners cannot share."""
        return ("udp" if self.protocol == "udp" else "stream", self.listen)

    @property
    def spool_bytes(self) -> int:
        """The bound of its spool; 0 for none."""
        if self.spool is not None:
            return self.spool
        return UDP_SPOOL if self.protocol == "udp" else 0

    @model_validator(mode="after")
    def _fits(self) -> "Listener":
        problems = []
        if (self.protocol == "unix") != self.listen.startswith("/"):
            problems.append("listen is an absolute path for unix, and host:port for all others")
        if self.tls is not None and not self.secured:
            problems.append(f"tls is for protocol tls and relp+tls, not {self.protocol}")
        if self.proxy_protocol and self.protocol in ("udp", "unix"):
            problems.append(f"proxy_protocol is for connections, not {self.protocol}")
        if self.spool and self.protocol.startswith("relp"):
            problems.append("spool is not for RELP: its senders keep what is not acknowledged")
        if self.threads > 1 and self.protocol != "udp":
            problems.append("threads are for udp")
        if self.framing != "auto" and (self.datagrams or self.protocol.startswith("relp")):
            problems.append(f"framing is for streams, not {self.protocol}")
        if problems:
            raise ValueError("; ".join(problems))
        return self

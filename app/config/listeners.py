"""Listeners of northbound.yaml: protocol, address, framing, TLS, proxies, spool."""

from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from app.config.connection import UNREADABLE, Strict, Unfit
from app.config.fields import Endpoint, LineBytes, NetworkText, Permissions, Size

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

    def unfit(self) -> Iterator[Unfit]:
        """Halves of a setting."""
        if self.key is not None and self.certificate is None:
            yield "key needs certificate", ("key", "certificate")
        if self.certificate is not None and self.hosts:
            text = "hosts are for a certificate of Northbound's own CA; remove one"
            yield text, ("hosts", "certificate")
        if (self.client_certificates == "none") != (self.client_ca is None):
            text = "client_ca and client_certificates: optional or required go together"
            yield text, ("client_ca", "client_certificates")


class Listener(Strict):
    """A port, or a Unix socket, that the ingest agent listens on."""

    stand_in = MappingProxyType(
        {"protocol": "tcp", "listen": "0.0.0.0:0", "source": UNREADABLE}  # see Strict
    )
    protocol: Literal["tcp", "udp", "tls", "relp", "relp+tls", "unix"]
    """Transport."""
    listen: Endpoint
    """host:port; 0.0.0.0 for all addresses. For unix the absolute path of the socket."""
    source: str
    """Which source the lines belong to."""
    framing: Literal["auto", "lf", "octet", "nul"] = "auto"
    """How streams are cut (RFC 6587); auto tells LF and octet counting apart frame by frame."""
    max_line: LineBytes = 1_048_576
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
    receive_buffer: Annotated[Size, Field(gt=0)] = 4 << 20
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

    def unfit(self) -> Iterator[Unfit]:
        """What this protocol does not have."""
        if (self.protocol == "unix") != self.listen.startswith("/"):
            yield "listen is an absolute path for unix, and host:port for all others", ("listen",)
        if self.tls is not None and not self.secured:
            yield f"tls is for protocol tls and relp+tls, not {self.protocol}", ("tls",)
        if self.proxy_protocol and self.protocol in ("udp", "unix"):
            yield f"proxy_protocol is for connections, not {self.protocol}", ("proxy_protocol",)
        if self.spool and self.protocol.startswith("relp"):
            yield "spool is not for RELP: its senders keep what is not acknowledged", ("spool",)
        if self.threads > 1 and self.protocol != "udp":
            yield "threads are for udp", ("threads",)
        if self.framing != "auto" and (self.datagrams or self.protocol.startswith("relp")):
            yield f"framing is for streams, not {self.protocol}", ("framing",)

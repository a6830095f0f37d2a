"""TLS of a listener (RFC 5425, RELP over TLS): certificate files, client certificates optional."""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from app.ingest.tls_records import RecordReader

if TYPE_CHECKING:
    from app.config import Config
    from app.config.listeners import ListenerTls

ClientCertificates: TypeAlias = Literal["none", "optional", "required"]
_Connection: TypeAlias = ssl.SSLObject | ssl.SSLSocket


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files. `certificate` may hold the key too, and the chain. `client_ca` signs senders'."""

    certificate: Path
    key: Path | None = None
    client_ca: Path | None = None
    clients: ClientCertificates = "none"

    @property
    def files(self) -> tuple[Path, ...]:
        """A change of one is taken up."""
        given = (self.certificate, self.key, self.client_ca)
        return tuple(each for each in given if each is not None)

    def context(self) -> ssl.SSLContext:
        """A server context, TLS 1.2 or newer. Raises OSError that names the file at fault."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A sender that closes without having read its session tickets resets the connection, and
        # with it what it sent last. Connections live long: resumption is of no use here.
        context.num_tickets = 0
        context.sslobject_class = RecordReader
        self._load(context)
        self.trust(context)
        return context

    def trust(self, context: ssl.SSLContext) -> None:
        """Let a context ask for senders' certificates, if that is wanted. Raises OSError."""
        if self.client_ca is None:
            return
        try:
            context.load_verify_locations(self.client_ca)
        except OSError as error:
            text = f"tls.client_ca {self.client_ca}: {_reason(error)}"
            raise OSError(error.errno, text) from None
        modes = {
            "none": ssl.CERT_NONE,
            "optional": ssl.CERT_OPTIONAL,
            "required": ssl.CERT_REQUIRED,
        }
        context.verify_mode = modes[self.clients]

    def renew(self, context: ssl.SSLContext) -> None:
        """Read all files again; connections made from now on go by them. Raises OSError; then they
        go by what was read before."""
        # A certificate without its key, as while both are being replaced, would leave none. CAs
        # cannot be taken out of a context, and a server may hold on to the one that it was given.
        fresh = self.context()

        def hand_over(connection: _Connection, _name: str | None, _: ssl.SSLContext) -> None:
            connection.context = fresh

        context.sni_callback = hand_over

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self.certificate, self.key)
        except OSError as error:
            files = f"{self.certificate}{f' and tls.key {self.key}' if self.key else ''}"
            problem = (
                f"tls.certificate {files}: {_reason(error)}; expected PEM that belongs together"
            )
            raise OSError(error.errno, problem) from None


def tls_settings(
    config: "Config", given: "ListenerTls | None", own: Path | None
) -> TlsSettings | None:
    """What northbound.yaml says of a listener's TLS; `own`: the certificate of Northbound's CA."""
    if given is None:
        return None
    certificate = own if given.certificate is None else config.path(given.certificate)
    return TlsSettings(
        certificate=certificate or Path(),
        key=config.path(given.key) if given.key else None,
        client_ca=config.path(given.client_ca) if given.client_ca else None,
        clients=given.client_certificates,
    )


def _reason(error: OSError) -> str:
    found = getattr(error, "reason", None) or error.strerror or "no PEM certificate"
    return str(found)

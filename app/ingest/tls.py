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


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """PEM files. `certificate` may hold the key too, and the chain. `client_ca` signs senders'."""

    certificate: Path
    key: Path | None = None
    client_ca: Path | None = None
    clients: ClientCertificates = "none"

    def context(self) -> ssl.SSLContext:
        """A server context, TLS 1.2 or newer. Raises OSError that names the file at fault."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A sender that closes without having read its session tickets resets the connection, and
        # with it what it sent last. Connections live long: resumption is of no use here.
        context.num_tickets = 0
        context.sslobject_class = RecordReader
        self._load(context)
        if self.client_ca is not None:
            try:
                context.load_verify_locations(self.client_ca)
            except OSError as error:
                raise OSError(
                    error.errno, f"tls.client_ca {self.client_ca}: {_reason(error)}"
                ) from None
            modes = {
                "none": ssl.CERT_NONE,
                "optional": ssl.CERT_OPTIONAL,
                "required": ssl.CERT_REQUIRED,
            }
            context.verify_mode = modes[self.clients]
        return context

    def renew(self, context: ssl.SSLContext) -> None:
        """Read certificate and key again; connections made from now on get them. Raises OSError;
        then they get what they got before."""
        # A certificate without its key, as while both are being replaced, would leave none.
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
        self._load(context)

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

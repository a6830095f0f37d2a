"""CAs as an organisation has them, for tests: a root, and others below it."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.broker import certificates
from app.broker.client_issuer import Issuer

DAYS = 3650


class Authority:
    """A CA with an RSA key, signed by `above` or by itself."""

    def __init__(
        self, name: str, *, now: dt.datetime, above: "Authority | None" = None, ca: bool = True
    ) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject if above is None else above.certificate.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(certificates.usage(ca=ca), critical=True)
            .sign(self.key if above is None else above.key, hashes.SHA256())
        )

    def issue_ca(self, name: str, *, now: dt.datetime, ca: bool = True) -> "Authority":
        """One below it; `ca` False: one that may sign nothing."""
        return Authority(name, now=now, above=self, ca=ca)

    def sign(
        self,
        request: Path,
        *,
        now: dt.datetime,
        subject: str | None = None,
        days: float = 90,
        usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
    ) -> bytes:
        """A certificate for a request, with the CA's own behind it. `subject`: another one than
        that of the request."""
        asked = x509.load_pem_x509_csr(request.read_bytes())
        assert asked.is_signature_valid
        name = asked.subject if subject is None else x509.Name.from_rfc4514_string(subject)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.certificate.subject)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=days))
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        return certificate.public_bytes(serialization.Encoding.PEM) + self.pem

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def write(self, folder: Path, above: Sequence["Authority"] = ()) -> Issuer:
        """Its files in a folder, as northbound.yaml names them: `issuing.pem` with `above` behind
        it, and `issuing.key`."""
        issuer = Issuer(folder / "issuing.pem", folder / "issuing.key", given=True)
        issuer.ca.write_bytes(b"".join(each.pem for each in (self, *above)))
        issuer.key.write_bytes(self.key_pem)
        return issuer

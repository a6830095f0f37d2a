"""The broker's own CA and server certificate; SANs equal the advertised listeners.

ca.pem is public and goes into every bundle; ca.key and server.pem (PKCS#8 key and chain, as the
broker's PEM key store wants them) are readable by their owner alone.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.broker.errors import BrokerError
from app.broker.private_file import write_private

CA_DAYS = 3650
SERVER_DAYS = 397  # the longest that common TLS clients accept from any CA
RENEW_DAYS = 30
WARN_CA_DAYS = 365
ALWAYS = ("localhost", "127.0.0.1")
CaKey: TypeAlias = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Certificates:
    """Files of the northbound listener."""

    ca: Path
    server: Path


def ensure(
    folder: Path, hosts: list[str], now: dt.datetime, server: str = "server.pem"
) -> Certificates:
    """Certificates in `folder` for `hosts` (names or addresses) and this machine itself.

    `server`: file of the server certificate; several servers may share the CA.

    The CA is made once, unless ca.pem and ca.key are there already. The server certificate is made
    again when its SANs differ, it does not belong to the CA, or it ends within 30 days of `now`.
    Raises BrokerError for a CA that is of no use.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    files = Certificates(folder / "ca.pem", folder / server)
    key_file = folder / "ca.key"
    if not files.ca.is_file():
        make_ca(files.ca, key_file, now)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    if ca.not_valid_after_utc <= now:
        raise BrokerError(
            f"The CA in {files.ca} has ended on {ca.not_valid_after_utc:%Y-%m-%d}. Remove it and "
            f"{key_file}: a new one is made, and every tenant needs a new bundle."
        )
    wanted = sorted({*hosts, *ALWAYS})
    if not _good(files.server, ca, wanted, now):
        _make_server(files.server, ca, read_ca_key(key_file, ca), wanted, now)
    return files


def read_ca_key(file: Path, ca: x509.Certificate, advice: str | None = None) -> CaKey:
    """The CA's key. Raises BrokerError where it is not there, or another one's.

    `advice`: what to do then, of a CA that Northbound has not made.
    """
    lost = advice or (
        f"put back both from a backup, or remove {file.with_suffix('.pem')}, after which every "
        "tenant needs a new bundle."
    )
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError:
        raise BrokerError(f"{file}, the key of the CA, is not there: {lost}") from None
    except OSError as error:
        raise BrokerError(f"{file}, the key of the CA: {error.strerror}") from None
    except (ValueError, TypeError):
        raise BrokerError(f"{file}: expected a private key in PEM, without a password") from None
    if not isinstance(key, CaKey):
        raise BrokerError(f"{file}: expected an elliptic curve or RSA key")
    if key.public_key() != ca.public_key():
        raise BrokerError(f"{file} is not the key of the CA beside it: {lost}")
    return key


def ends(file: Path) -> dt.datetime:
    """When the first certificate of a PEM file ends."""
    return x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc


def _name(common: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Northbound"),
            x509.NameAttribute(NameOID.COMMON_NAME, common),
        ]
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,  # Kafka's PEM key store reads nothing else
        serialization.NoEncryption(),
    )


def usage(*, ca: bool) -> x509.KeyUsage:
    # Python 3.13 verifies strictly (VERIFY_X509_STRICT) and refuses a CA without key usage.
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    days: float,
    now: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # consumers' clocks are a little off
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def make_ca(file: Path, key_file: Path, now: dt.datetime, called: str = "Northbound CA") -> None:
    """A CA that may issue certificates, and no other CAs."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"{called} {now:%Y-%m-%d}")
    certificate = (
        builder(name, name, key.public_key(), CA_DAYS, now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(ca=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    write_private(key_file, private_pem(key))
    write_private(file, certificate.public_bytes(serialization.Encoding.PEM))


def signed(
    begun: x509.CertificateBuilder, ca_key: CaKey, purpose: x509.ObjectIdentifier
) -> x509.Certificate:
    """A certificate that signs no others, for an extended key usage (RFC 5280, 4.2.1.12)."""
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        begun.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _make_server(
    file: Path,
    ca: x509.Certificate,
    ca_key: CaKey,
    hosts: list[str],
    now: dt.datetime,
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    begun = builder(_name(hosts[0]), ca.subject, key.public_key(), _days(ca, now), now)
    names = x509.SubjectAlternativeName(map(_alternative, hosts))
    certificate = signed(
        begun.add_extension(names, critical=False), ca_key, ExtendedKeyUsageOID.SERVER_AUTH
    )
    chain = (certificate, ca)
    pem = [part.public_bytes(serialization.Encoding.PEM) for part in chain]
    write_private(file, private_pem(key) + b"".join(pem))


def _days(ca: x509.Certificate, now: dt.datetime) -> float:
    """How long a server certificate lasts: never longer than its CA."""
    return min(SERVER_DAYS, (ca.not_valid_after_utc - now) / dt.timedelta(days=1))


def _good(file: Path, ca: x509.Certificate, hosts: list[str], now: dt.datetime) -> bool:
    if not file.is_file():
        return False
    server = x509.load_pem_x509_certificate(file.read_bytes())
    soon = now + dt.timedelta(days=RENEW_DAYS)
    if server.not_valid_after_utc < min(soon, ca.not_valid_after_utc):
        return False
    try:
        server.verify_directly_issued_by(ca)
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound):
        return False
    return list(names) == [_alternative(host) for host in hosts]

"""A server certificate that somebody else has issued, as Kafka's PEM key store wants it.

Whoever issues it renews it: the files are read again while the broker runs.
"""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from app.broker.errors import BrokerError

SETTING: Final = "kafka.embedded.northbound.tls"


@dataclass(frozen=True, slots=True)
class Brought:
    """PEM files: certificate (with the chain behind it), its key, and the CA that clients trust."""

    certificate: Path
    key: Path
    ca: Path


def pem(brought: Brought, hosts: list[str], now: dt.datetime) -> bytes:
    """Key in PKCS#8 and chain, for the broker.

    Raises BrokerError with everything that would keep clients out, each with its file: other names
    than the advertised ones, a key of another certificate, another CA, an end that has passed.
    """
    chain = _certificates(brought.certificate, "certificate")
    trusted = _certificates(brought.ca, "ca")
    key = _key(brought.key)
    server = chain[0]
    problems = []
    if server.public_key() != key.public_key():
        problems.append(f"key: {brought.key} does not belong to {brought.certificate}")
    missing = [host for host in hosts if not _names(server, host)]
    if missing:
        problems.append(
            f"certificate: {brought.certificate} has no name {', '.join(missing)} among its SANs, "
            "which consumers are told (advertise, kafka.regions); they would refuse it"
        )
    if not server.not_valid_before_utc <= now < server.not_valid_after_utc:
        first, last = server.not_valid_before_utc, server.not_valid_after_utc
        problems.append(
            f"certificate: {brought.certificate} is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d} "
            "only"
        )
    if not _issued(chain, trusted):
        problems.append(
            f"ca: no certificate in {brought.ca} has issued {brought.certificate}; put the CAs "
            "between them behind the server's certificate"
        )
    if problems:
        raise BrokerError("\n".join(f"{SETTING}.{each}" for each in problems))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + b"".join(each.public_bytes(serialization.Encoding.PEM) for each in chain)


def _read(file: Path, key: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BrokerError(f"{SETTING}.{key}: {file}: {error.strerror}") from None


def _certificates(file: Path, key: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(file, key))
    except ValueError:
        raise BrokerError(f"{SETTING}.{key}: {file}: expected certificates in PEM") from None


def _key(file: Path) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(_read(file, "key"), password=None)
    except (ValueError, TypeError):
        raise BrokerError(
            f"{SETTING}.key: {file}: expected a private key in PEM, without a password"
        ) from None


def _names(server: x509.Certificate, host: str) -> bool:
    """Whether a client that connects to `host` finds it in the certificate (RFC 6125, 6.4)."""
    try:
        names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    try:
        return ipaddress.ip_address(host) in names.get_values_for_type(x509.IPAddress)
    except ValueError:
        known = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    own = host.lower()
    return own in known or f"*.{own.partition('.')[2]}" in known


def _issued(chain: list[x509.Certificate], trusted: list[x509.Certificate]) -> bool:
    """Whether each certificate has issued the one before it, and a trusted one the last."""
    for number, each in enumerate(chain):
        if any(_issuer(ca, each) for ca in trusted) or each in trusted:
            return True
        if number + 1 == len(chain) or not _issuer(chain[number + 1], each):
            return False
    return False


def _issuer(ca: x509.Certificate, issued: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True

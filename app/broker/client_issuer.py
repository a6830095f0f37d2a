"""Issues the certificates by which tenants log in (client_certificates.py), and makes their CA."""

import datetime as dt
import itertools
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.broker.certificates import (
    CaKey,
    builder,
    ends,
    make_ca,
    private_pem,
    read_ca_key,
    signed,
)
from app.broker.client_certificates import CA_FILE, ClientCertificate, held
from app.broker.cluster_error import ClusterError
from app.broker.errors import BrokerError
from app.broker.private_file import write_private

DAYS: Final = 397
NAME_MAX: Final = 64
"""Signs of a common name (RFC 5280, appendix A.1: ub-common-name)."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Files of a CA in PEM. Behind the CA's own certificate may be those between it and another one
    that brokers trust. `made`: whether Northbound makes it where it is not there; `given`: whether
    it is somebody else's, of `kafka.external.certificates`."""

    ca: Path
    key: Path
    made: bool = False
    given: bool = False


def own(folder: Path, *, made: bool = False) -> Issuer:
    """Northbound's own, in a folder: `clients-ca.pem` and `clients-ca.key`."""
    file = folder / CA_FILE
    return Issuer(file, file.with_suffix(".key"), made)


def ensure_ca(folder: Path, now: dt.datetime) -> Path:
    """The CA's certificate, which the broker trusts for logins; made once."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / CA_FILE
    if not file.is_file():
        make_ca(file, file.with_suffix(".key"), now, "Northbound tenants CA")
    if ends(file) <= now:
        raise BrokerError(
            f"The CA in {file} has ended on {ends(file):%Y-%m-%d}. Remove it and "
            f"{file.with_suffix('.key')}, start again, and rotate every tenant that logs in by "
            "certificate."
        )
    return file


def pem(certificate: ClientCertificate) -> tuple[bytes, bytes]:
    """Certificate, with the CAs that brokers do not know, and private key (PKCS#8), in PEM."""
    content = certificate.file.read_bytes()
    key = serialization.load_pem_private_key(content, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  # issue() made it
    return _text(x509.load_pem_x509_certificates(content)), private_pem(key)


def issue(
    folder: Path, issuer: Issuer, tenant: str, prefix: str, now: dt.datetime, days: float = DAYS
) -> ClientCertificate:
    """A new one for the tenant, with a key of its own; it has no rights yet.

    `prefix`: of topics and users. Raises ClusterError.
    """
    name, subject = new_name(folder, tenant, prefix)
    try:
        if issuer.made:
            ensure_ca(issuer.ca.parent, now)
        chain, ca_key = _given(issuer, now) if issuer.given else _own(issuer)
    except BrokerError as error:
        raise ClusterError(str(error)) from None
    ca = chain[0]
    key = ec.generate_private_key(ec.SECP256R1())
    lasts = min(days, (ca.not_valid_after_utc - now) / dt.timedelta(days=1))
    begun = builder(subject, ca.subject, key.public_key(), lasts, now)
    certificate = signed(begun, ca_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    return keep(folder, tenant, name, key, [certificate, *chain])


def new_name(folder: Path, tenant: str, prefix: str) -> tuple[str, x509.Name]:
    """`<number>-<random>` of the tenant's next certificate, and its subject. Raises
    ClusterError."""
    before = [int(each.login.rpartition("/")[2].partition("-")[0]) for each in held(folder, tenant)]
    name = f"{max(before, default=0) + 1}-{secrets.token_hex(4)}"
    user = f"{prefix}{tenant}/{name}"
    if len(user) > NAME_MAX:
        raise ClusterError(
            f"A certificate for {user} cannot be: its name has {len(user)} signs, at most "
            f"{NAME_MAX} are possible. Use a shorter kafka.topic_prefix or tenant name."
        )
    return name, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)])


def keep(
    folder: Path,
    tenant: str,
    name: str,
    key: ec.EllipticCurvePrivateKey,
    chain: list[x509.Certificate],
) -> ClientCertificate:
    """Write a certificate with its key, and the CAs behind it."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder / f"{tenant}.{name}.pem"
    # Whoever trusts a root has it, so that a handshake goes without.
    sent = [chain[0], *(each for each in chain[1:] if each.issuer != each.subject)]
    write_private(made, private_pem(key) + _text(sent))
    return ClientCertificate(f"{tenant}/{name}", made)


def _text(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in certificates)


def _own(issuer: Issuer) -> tuple[list[x509.Certificate], CaKey]:
    if not issuer.ca.is_file():
        raise BrokerError(
            f"{issuer.ca} is not there: `northbound up` makes it when it starts Kafka with "
            "kafka.embedded.northbound.certificates. Start it again, then run this again."
        )
    ca = x509.load_pem_x509_certificate(issuer.ca.read_bytes())
    return [ca], read_ca_key(issuer.key, ca)


def _given(issuer: Issuer, now: dt.datetime) -> tuple[list[x509.Certificate], CaKey]:
    """A CA of somebody else's, if it is good for this. Raises BrokerError."""
    at = f"kafka.external.certificates.ca_file: {issuer.ca}"
    try:
        chain = x509.load_pem_x509_certificates(issuer.ca.read_bytes())
    except OSError as error:
        raise BrokerError(f"{at}: {error.strerror}") from None
    except ValueError:
        raise BrokerError(f"{at}: expected certificates in PEM") from None
    try:
        found = chain[0].extensions.get_extension_for_class(x509.BasicConstraints)
        may_issue = found.value.ca
    except x509.ExtensionNotFound:
        may_issue = False
    if not may_issue:
        raise BrokerError(
            f"{at}: its first certificate, {chain[0].subject.rfc4514_string()}, is no CA "
            "(basicConstraints). Put the CA that issues first, and those above it behind it."
        )
    for each, above in itertools.pairwise(chain):
        if each.issuer != above.subject:
            raise BrokerError(
                f"{at}: {above.subject.rfc4514_string()} has not issued "
                f"{each.subject.rfc4514_string()} before it. Expected the CA that issues first, "
                "and behind each one the one that issued it."
            )
    if chain[0].not_valid_after_utc <= now:
        raise BrokerError(
            f"{at}: it has ended on {chain[0].not_valid_after_utc:%Y-%m-%d}. Put one there that "
            "the listener trusts, and rotate every tenant that logs in by certificate."
        )
    advice = f"kafka.external.certificates.key_file has to be that of {issuer.ca}"
    return chain, read_ca_key(issuer.key, chain[0], advice)

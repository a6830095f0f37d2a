"""Issues the certificates by which tenants log in (client_certificates.py), and makes their CA."""

import datetime as dt
import secrets
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.broker.certificates import builder, ends, make_ca, private_pem, read_ca_key, signed
from app.broker.client_certificates import CA_FILE, ClientCertificate, held
from app.broker.cluster_error import ClusterError
from app.broker.errors import BrokerError
from app.broker.private_file import write_private

DAYS: Final = 397
NAME_MAX: Final = 64
"""Signs of a common name (RFC 5280, appendix A.1: ub-common-name)."""


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
    """Certificate and private key (PKCS#8), in PEM."""
    content = certificate.file.read_bytes()
    key = serialization.load_pem_private_key(content, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  # issue() made it
    shown = x509.load_pem_x509_certificate(content)
    return shown.public_bytes(serialization.Encoding.PEM), private_pem(key)


def issue(
    folder: Path, tls: Path, tenant: str, prefix: str, now: dt.datetime, days: float = DAYS
) -> ClientCertificate:
    """A new one for the tenant, with a key of its own; it has no rights yet.

    `tls`: folder of the CA; `prefix`: of topics and users. Raises ClusterError.
    """
    file = tls / CA_FILE
    if not file.is_file():
        raise ClusterError(
            f"{file} is not there: `northbound up` makes it when it starts Kafka with "
            "kafka.embedded.northbound.certificates. Start it again, then run this again."
        )
    before = [int(each.login.rpartition("/")[2].partition("-")[0]) for each in held(folder, tenant)]
    name = f"{max(before, default=0) + 1}-{secrets.token_hex(4)}"
    user = f"{prefix}{tenant}/{name}"
    if len(user) > NAME_MAX:
        raise ClusterError(
            f"A certificate for {user} cannot be: its name has {len(user)} signs, at most "
            f"{NAME_MAX} are possible. Use a shorter kafka.topic_prefix or tenant name."
        )
    try:
        ca = x509.load_pem_x509_certificate(file.read_bytes())
        ca_key = read_ca_key(file.with_suffix(".key"), ca)
    except BrokerError as error:
        raise ClusterError(str(error)) from None
    key = ec.generate_private_key(ec.SECP256R1())
    lasts = min(days, (ca.not_valid_after_utc - now) / dt.timedelta(days=1))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user)])
    begun = builder(subject, ca.subject, key.public_key(), lasts, now)
    certificate = signed(begun, ca_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder / f"{tenant}.{name}.pem"
    shown = certificate.public_bytes(serialization.Encoding.PEM)
    write_private(made, private_pem(key) + shown)
    return ClientCertificate(f"{tenant}/{name}", made)

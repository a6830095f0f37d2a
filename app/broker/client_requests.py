"""Certificates of tenants that others sign (`issued_by: others`): the request, and what came back.

`<tenant>.<number>-<random>.csr` is a request in PKCS#10 and `.key` its key, mode 0600, both beside
the certificates until there is one (client_certificates.py).
"""

import datetime as dt
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.broker.certificates import private_pem
from app.broker.client_certificates import ClientCertificate, waiting
from app.broker.client_issuer import keep, new_name
from app.broker.cluster_error import ClusterError
from app.broker.private_file import write_private


def ensure(folder: Path, tenant: str, prefix: str) -> Path:
    """The request that waits for the tenant, or a new one, with a key of its own. Raises
    ClusterError."""
    found = waiting(folder, tenant)
    if found is not None:
        return found
    name, subject = new_name(folder, tenant, prefix)
    key = ec.generate_private_key(ec.SECP256R1())
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = folder / f"{tenant}.{name}.csr"
    write_private(file.with_suffix(".key"), private_pem(key))
    write_private(file, request.public_bytes(serialization.Encoding.PEM))
    return file


def take(folder: Path, tenant: str, signed: Path, now: dt.datetime) -> ClientCertificate:
    """The certificate for the request that waits, from a file in PEM, with CAs behind it that the
    brokers do not know. The request stays until it is `answered`. Raises ClusterError."""
    request = waiting(folder, tenant)
    if request is None:
        raise ClusterError(
            f"No certificate of {tenant} was asked for. `northbound tenants rotate {tenant}` "
            "makes a request."
        )
    try:
        chain = x509.load_pem_x509_certificates(signed.read_bytes())
        asked = x509.load_pem_x509_csr(request.read_bytes())
        pem = request.with_suffix(".key").read_bytes()
    except OSError as error:
        raise ClusterError(f"{error.filename}: {error.strerror}") from None
    except ValueError:
        raise ClusterError(
            f"{signed}: expected a certificate in PEM, with the CAs above it behind it."
        ) from None
    problem = _problem(chain[0], asked, request, now)
    if problem is not None:
        raise ClusterError(f"{signed}: {problem}")
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  # ensure() made it
    name = request.name[len(tenant) + 1 : -len(request.suffix)]
    return keep(folder, tenant, name, key, chain)


def _problem(
    found: x509.Certificate, asked: x509.CertificateSigningRequest, request: Path, now: dt.datetime
) -> str | None:
    """Why a certificate is none for a request."""
    if found.public_key() != asked.public_key():
        return f"its first certificate is not for the key of {request}."
    wanted = _common_names(asked.subject)
    if _common_names(found.subject) != wanted:
        return (
            f"saw the subject {found.subject.rfc4514_string()}, expected the common name "
            f"{wanted[0]}, by which the brokers know whose it is. Have {request} signed with the "
            "subject that it has."
        )
    if found.not_valid_after_utc <= now:
        return f"it has ended on {found.not_valid_after_utc:%Y-%m-%d}."
    try:
        usage = found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return None
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        return "expected one for clients (extended key usage clientAuth)."
    return None


def _common_names(subject: x509.Name) -> list[str]:
    return [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]

"""Java's trust stores, JKS and PKCS#12, and its key store."""

import hashlib
import struct

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    load_pem_private_key,
    pkcs12,
)

# Java's own default. It guards no secret, a CA certificate is public, but without a password the
# JDK reads a PKCS#12 store as an empty one.
STORE_PASSWORD = "changeit"  # noqa: S105
ALIAS = "northbound"

JKS_MAGIC, JKS_VERSION, JKS_TRUSTED = 0xFEEDFEED, 2, 2
JKS_WHITENER = b"Mighty Aphrodite"


def trust_stores(ca: bytes) -> dict[str, bytes]:
    """truststore.jks and truststore.p12 with these CA certificates."""
    certificates = x509.load_pem_x509_certificates(ca)
    named = {
        f"{ALIAS}-{number}" if number else ALIAS: certificate
        for number, certificate in enumerate(certificates)
    }
    return {"truststore.jks": jks(named, STORE_PASSWORD), "truststore.p12": _pkcs12(named)}


def _pkcs12(named: dict[str, x509.Certificate]) -> bytes:
    return pkcs12.serialize_java_truststore(
        [pkcs12.PKCS12Certificate(each, alias.encode()) for alias, each in named.items()],
        BestAvailableEncryption(STORE_PASSWORD.encode()),
    )


def key_store(certificate: bytes, key: bytes) -> bytes:
    """A certificate, with the CAs behind it, and its key as PKCS#12. Who may read the file has the
    key: its password, which is the trust stores', keeps nobody out."""
    private = load_pem_private_key(key, password=None)
    assert isinstance(private, EllipticCurvePrivateKey)  # noqa: S101  # Northbound made it
    first, *between = x509.load_pem_x509_certificates(certificate)
    return pkcs12.serialize_key_and_certificates(
        ALIAS.encode(),
        private,
        first,
        between or None,
        BestAvailableEncryption(STORE_PASSWORD.encode()),
    )


def jks(named: dict[str, x509.Certificate], password: str) -> bytes:
    """A JKS trust store: alias → certificate.

    Source: OpenJDK sun/security/provider/JavaKeyStore.java (engineStore). The digest only shows
    damage, and is SHA-1 by that format.
    """
    entries = []
    for alias, certificate in named.items():
        der = certificate.public_bytes(Encoding.DER)
        created = int(certificate.not_valid_before_utc.timestamp() * 1000)
        kind = struct.pack(">I", JKS_TRUSTED) + _utf(alias) + struct.pack(">Q", created)
        entries.append(kind + _utf("X.509") + struct.pack(">I", len(der)) + der)
    body = struct.pack(">III", JKS_MAGIC, JKS_VERSION, len(entries)) + b"".join(entries)
    seed = password.encode("utf-16-be") + JKS_WHITENER
    return body + hashlib.sha1(seed + body, usedforsecurity=False).digest()


def _utf(text: str) -> bytes:
    """DataOutputStream.writeUTF of ASCII text."""
    return struct.pack(">H", len(text)) + text.encode("ascii")

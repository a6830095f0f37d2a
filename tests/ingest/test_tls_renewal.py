"""Certificates that are replaced while an agent runs, one file after the other."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from app.broker import certificates
from app.ingest.tls import TlsSettings


def shaken(server: ssl.SSLContext, ca: Path, own: Path | None = None) -> bool:
    """Whether a careful sender gets through, in memory. `own`: its certificate."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=ca)
    if own is not None:
        client.load_cert_chain(own)
    sides = [
        client.wrap_bio(back, there, server_hostname="localhost"),
        server.wrap_bio(there, back, server_side=True),
    ]
    for _ in range(10):
        for side in list(sides):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return False
            sides.remove(side)
    return not sides


def sender(made: certificates.Certificates, now: dt.datetime) -> Path:
    """A sender's certificate of this CA, with its key."""
    ca = x509.load_pem_x509_certificate(made.ca.read_bytes())
    ca_key = certificates.read_ca_key(made.ca.with_suffix(".key"), ca)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nas-1")])
    begun = certificates.builder(subject, ca.subject, key.public_key(), 1, now)
    certificate = certificates.signed(begun, ca_key, ExtendedKeyUsageOID.CLIENT_AUTH)
    file = made.ca.with_name("sender.pem")
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    file.write_bytes(certificates.private_pem(key) + pem)
    return file


def parts(made: certificates.Certificates) -> tuple[bytes, bytes]:
    """Certificate and key."""
    text = made.server.read_bytes()
    begin = text.index(b"-----BEGIN CERTIFICATE")
    return text[begin:], text[:begin]


def test_a_certificate_before_its_key_keeps_nobody_out(tmp_path: Path) -> None:
    """Whoever renews them replaces two files, and the agent may look in between: senders get the
    pair of before until the new one is whole."""
    now = dt.datetime.now(dt.UTC)
    old, new = (certificates.ensure(tmp_path / name, ["localhost"], now) for name in ("a", "b"))
    tls = TlsSettings(tmp_path / "certificate.pem", tmp_path / "key.pem")
    assert tls.key is not None
    tls.certificate.write_bytes(parts(old)[0])
    tls.key.write_bytes(parts(old)[1])
    context = tls.context()
    assert shaken(context, old.ca)
    tls.certificate.write_bytes(parts(new)[0])
    with pytest.raises(OSError, match="belongs together"):
        tls.renew(context)
    assert shaken(context, old.ca)
    tls.key.write_bytes(parts(new)[1])
    tls.renew(context)
    assert not shaken(context, old.ca)
    assert shaken(context, new.ca)


def test_a_changed_ca_of_senders_is_taken_up(tmp_path: Path) -> None:
    """Senders of a CA that was added get in, those of one that was taken out do not, and a file
    that is just being written keeps nobody out."""
    now = dt.datetime.now(dt.UTC)
    old, new = (certificates.ensure(tmp_path / name, ["localhost"], now) for name in ("a", "b"))
    senders = [sender(each, now) for each in (old, new)]
    trusted = tmp_path / "senders.pem"
    trusted.write_bytes(old.ca.read_bytes())
    tls = TlsSettings(old.server, client_ca=trusted, clients="required")
    assert trusted in tls.files
    context = tls.context()
    assert [shaken(context, old.ca, each) for each in senders] == [True, False]
    trusted.write_bytes(old.ca.read_bytes() + new.ca.read_bytes())
    tls.renew(context)
    assert [shaken(context, old.ca, each) for each in senders] == [True, True]
    trusted.write_bytes(new.ca.read_bytes())
    tls.renew(context)
    assert [shaken(context, old.ca, each) for each in senders] == [False, True]
    trusted.write_bytes(b"-----BEGIN CERT")
    with pytest.raises(OSError, match="client_ca"):
        tls.renew(context)
    assert [shaken(context, old.ca, each) for each in senders] == [False, True]
    assert not shaken(context, old.ca)

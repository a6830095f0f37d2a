"""Who signs the tenants' certificates: Northbound's own CA or one that is given, which is looked at
before it signs anything."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.broker import client_issuer
from app.broker.bundle.trust_stores import key_store
from app.broker.client_certificates import held
from app.broker.cluster_error import ClusterError
from tests.broker.authorities import Authority

NOW = dt.datetime(2026, 11, 27, 12, 0, tzinfo=dt.UTC)


@pytest.fixture
def root() -> Authority:
    return Authority("Root", now=NOW)


def certificates(text: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(text)


def issue(folder: Path, issuer: client_issuer.Issuer) -> tuple[bytes, bytes]:
    return client_issuer.pem(client_issuer.issue(folder / "issued", issuer, "acme", "eu.", NOW))


def test_a_given_ca(tmp_path: Path, root: Authority) -> None:
    """The certificate is signed by it, names the user and nothing else, and brings the CAs that the
    brokers do not know along, in Java's key store, too: they may trust the root alone."""
    between = root.issue_ca("Between", now=NOW)
    issuer = between.write(tmp_path, above=[root])
    certificate, key = issue(tmp_path, issuer)
    own, *others = certificates(certificate)
    own.verify_directly_issued_by(between.certificate)
    assert others == [between.certificate]
    login = held(tmp_path / "issued", "acme")[0].login
    assert own.subject.rfc4514_string() == f"CN=eu.{login}"
    usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    _, stored, more = pkcs12.load_key_and_certificates(key_store(certificate, key), b"changeit")
    assert (stored, more) == (own, [between.certificate])


def test_northbounds_own_ca(tmp_path: Path) -> None:
    """It is made once where brokers are not Northbound's own; bundles go without it. Where the
    embedded broker makes it, it is waited for."""
    issuer = client_issuer.own(tmp_path / "tls", made=True)
    first, _ = issue(tmp_path, issuer)
    second, _ = issue(tmp_path, issuer)
    (ca,) = certificates(issuer.ca.read_bytes())
    assert issuer.key.stat().st_mode & 0o777 == 0o600
    for each in (first, second):
        (own,) = certificates(each)
        own.verify_directly_issued_by(ca)
    with pytest.raises(ClusterError, match="`northbound up` makes it"):
        issue(tmp_path, client_issuer.own(tmp_path / "embedded"))


def test_a_ca_that_is_of_no_use(tmp_path: Path, root: Authority) -> None:
    """Each mistake is told with the file and what is expected there, and nothing is issued."""
    between = root.issue_ca("Between", now=NOW)
    server = root.issue_ca("server", now=NOW, ca=False)
    ended = Authority("Ended", now=NOW - dt.timedelta(days=5000))
    encrypted = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    cases = {
        "no such file": (None, root.key_pem, "No such file"),
        "text": (b"ca", root.key_pem, "expected certificates in PEM"),
        "no CA": (server.pem, server.key_pem, "CN=server, is no CA (basicConstraints)"),
        "order": (root.pem + between.pem, root.key_pem, "CN=Between has not issued CN=Root"),
        "ended": (ended.pem, ended.key_pem, "it has ended on"),
        "other key": (root.pem, between.key_pem, "certificates.key_file has to be that of"),
        "no key": (root.pem, None, "certificates.key_file has to be that of"),
        "password": (root.pem, encrypted, "in PEM, without a password"),
    }
    for name, (ca, key, told) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        issuer = client_issuer.Issuer(folder / "ca.pem", folder / "ca.key", given=True)
        for file, content in ((issuer.ca, ca), (issuer.key, key)):
            if content is not None:
                file.write_bytes(content)
        with pytest.raises(ClusterError) as caught:
            issue(folder, issuer)
        assert told in str(caught.value), name
        assert str(folder) in str(caught.value), name
        assert held(folder / "issued", "acme") == []

"""The broker's CA and server certificate."""

import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509

from app.broker.certificates import ensure

NOW = dt.datetime(2026, 11, 23, tzinfo=dt.UTC)


def names(file: Path) -> list[str]:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return sorted(str(name.value) for name in extension.value)


def test_names_are_those_advertised(tmp_path: Path) -> None:
    """SANs are the advertised hosts and this machine; names and addresses keep their kind."""
    files = ensure(tmp_path, ["kafka.example.org", "192.0.2.7"], NOW)
    assert names(files.server) == ["127.0.0.1", "192.0.2.7", "kafka.example.org", "localhost"]


def test_kept_while_good(tmp_path: Path) -> None:
    """The same hosts a day later: no file changes."""
    first = ensure(tmp_path, ["a.example"], NOW)
    before = first.server.read_bytes(), first.ca.read_bytes()
    again = ensure(tmp_path, ["a.example"], NOW + dt.timedelta(days=1))
    assert (again.server.read_bytes(), again.ca.read_bytes()) == before


@pytest.mark.parametrize(("hosts", "days"), [(["b.example"], 0), (["a.example"], 380)])
def test_renewed_under_the_same_ca(tmp_path: Path, hosts: list[str], days: int) -> None:
    """Other hosts, or the last 30 days: a new server certificate; bundles keep their CA."""
    first = ensure(tmp_path, ["a.example"], NOW)
    server, ca = first.server.read_bytes(), first.ca.read_bytes()
    ensure(tmp_path, hosts, NOW + dt.timedelta(days=days))
    assert first.server.read_bytes() != server
    assert first.ca.read_bytes() == ca


def test_a_server_certificate_of_another_ca_is_replaced(tmp_path: Path) -> None:
    """A lost CA gives a new CA and a server certificate that belongs to it."""
    files = ensure(tmp_path, ["a.example"], NOW)
    files.ca.unlink()
    ensure(tmp_path, ["a.example"], NOW)
    ca = x509.load_pem_x509_certificate(files.ca.read_bytes())
    x509.load_pem_x509_certificate(files.server.read_bytes()).verify_directly_issued_by(ca)


def test_keys_are_private(tmp_path: Path) -> None:
    """Only the owner reads the files with keys, and the server's key is PKCS#8."""
    files = ensure(tmp_path / "tls", ["a.example"], NOW)
    for file in (files.server, tmp_path / "tls" / "ca.key"):
        assert file.stat().st_mode & 0o777 == 0o600
    assert files.server.read_text().startswith("-----BEGIN PRIVATE KEY-----")


def test_strict_verification(tmp_path: Path) -> None:
    """OpenSSL accepts the pair with X509_STRICT, which Python 3.13 sets by itself."""
    files = ensure(tmp_path, ["a.example"], dt.datetime.now(dt.UTC))
    client_context = ssl.create_default_context(cafile=files.ca)
    client_context.verify_flags |= ssl.VERIFY_X509_STRICT
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.server)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server, server_hostname="a.example")
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    done = {client: False, server: False}
    for _ in range(10):
        for side in done:
            try:
                side.do_handshake()
                done[side] = True
            except ssl.SSLWantReadError:
                continue
    assert all(done.values())

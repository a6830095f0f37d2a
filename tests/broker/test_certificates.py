"""The broker's CA and server certificate."""

import datetime as dt
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from app.broker.brought_certificate import Brought, pem
from app.broker.certificates import Certificates, ends, ensure
from app.broker.errors import BrokerError

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


def test_a_ca_is_never_replaced_by_itself(tmp_path: Path) -> None:
    """Bundles trust it: without its key the certificate serves as long as it is good, and then the
    message says what to put back. A key of another CA is no key."""
    files = ensure(tmp_path / "tls", ["a.example"], NOW)
    ca, key = files.ca.read_bytes(), files.ca.with_name("ca.key")
    kept = key.read_bytes()
    key.unlink()
    ensure(tmp_path / "tls", ["a.example"], NOW + dt.timedelta(days=300))
    for hosts, days in ((["a.example"], 380), (["b.example"], 0)):
        with pytest.raises(
            BrokerError, match=r"ca\.key, the key of the CA, is not there: put back"
        ):
            ensure(tmp_path / "tls", hosts, NOW + dt.timedelta(days=days))
    other = ensure(tmp_path / "other", [], NOW).ca.with_name("ca.key")
    key.write_bytes(other.read_bytes())
    with pytest.raises(BrokerError, match="not the key of the CA"):
        ensure(tmp_path / "tls", ["b.example"], NOW)
    assert files.ca.read_bytes() == ca
    key.write_bytes(kept)
    ensure(tmp_path / "tls", ["b.example"], NOW)
    assert names(files.server) == ["127.0.0.1", "b.example", "localhost"]


def test_no_certificate_outlives_its_ca(tmp_path: Path) -> None:
    """Near the CA's end the server's ends with it, and is not made again and again; behind it the
    message says what everybody needs."""
    files = ensure(tmp_path, ["a.example"], NOW)
    end = ends(files.ca)
    ensure(tmp_path, ["a.example"], end - dt.timedelta(days=10))
    assert ends(files.server) == end
    server = files.server.read_bytes()
    ensure(tmp_path, ["a.example"], end - dt.timedelta(days=1))
    assert files.server.read_bytes() == server
    with pytest.raises(BrokerError, match="every tenant needs a new bundle"):
        ensure(tmp_path, ["a.example"], end)


def test_a_ca_of_ones_own(tmp_path: Path) -> None:
    """ca.pem and ca.key that are there before the first start, with an RSA key too, sign."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Ours")])
    ca = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + dt.timedelta(days=1000))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "ca.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    files = ensure(tmp_path, ["a.example"], NOW)
    x509.load_pem_x509_certificate(files.server.read_bytes()).verify_directly_issued_by(ca)


def brought(made: Certificates, folder: Path) -> Brought:
    """The files of another CA's server certificate, as somebody brings them along."""
    key, _, chain = made.server.read_text().partition("-----BEGIN CERTIFICATE")
    (folder / "own.key").write_text(key)
    (folder / "own.pem").write_text(f"-----BEGIN CERTIFICATE{chain}")
    return Brought(folder / "own.pem", folder / "own.key", made.ca)


def test_a_certificate_that_is_brought_along(tmp_path: Path) -> None:
    """Key and chain in one file for the broker; what would keep clients out is told at once."""
    made = ensure(tmp_path / "theirs", ["*.a.example", "192.0.2.7"], NOW)
    own = brought(made, tmp_path)
    assert pem(own, ["k.a.example", "192.0.2.7"], NOW) == made.server.read_bytes()
    other = ensure(tmp_path / "other", ["b.example"], NOW)
    wrong = replace(own, key=tmp_path / "other" / "ca.key", ca=other.ca)
    with pytest.raises(BrokerError) as caught:
        pem(wrong, ["k.b.example", "192.0.2.8"], NOW + dt.timedelta(days=400))
    setting = "kafka.embedded.northbound.tls"
    told = str(caught.value).splitlines()
    assert [each.partition(": ")[0] for each in told] == [
        f"{setting}.{key}" for key in ("key", "certificate", "certificate", "ca")
    ]
    assert "k.b.example, 192.0.2.8" in told[1]
    for missing, key in (
        (replace(own, ca=tmp_path / "no"), "ca"),
        (replace(own, key=made.ca), "key"),
    ):
        with pytest.raises(BrokerError, match=rf"tls\.{key}: "):
            pem(missing, ["k.a.example"], NOW)


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

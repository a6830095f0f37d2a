"""Certificates that others sign: what is asked for, and what is taken as the answer."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from app.broker import client_issuer, client_requests
from app.broker.client_certificates import answered, forget, held, waiting
from app.broker.cluster_error import ClusterError
from tests.broker.authorities import Authority

NOW = dt.datetime(2026, 11, 27, 12, 0, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("Root", now=NOW).issue_ca("Issuing", now=NOW)


def test_a_request_is_answered(tmp_path: Path, authority: Authority) -> None:
    """One request waits at a time; its key never leaves. The certificate is kept with the CA behind
    it, and the request until it is known that it works."""
    request = client_requests.ensure(tmp_path, "acme", "eu.")
    assert client_requests.ensure(tmp_path, "acme", "eu.") == request
    assert client_requests.ensure(tmp_path, "acme-2", "eu.") != request
    for file in (request, request.with_suffix(".key")):
        assert file.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in request.read_bytes()
    signed = tmp_path / "signed.pem"
    signed.write_bytes(authority.sign(request, now=NOW))
    for _ in range(2):  # as after a listener that refused it for another reason
        found = client_requests.take(tmp_path, "acme", signed, NOW)
        assert held(tmp_path, "acme") == [found]
        assert waiting(tmp_path, "acme") == request
    own, between = x509.load_pem_x509_certificates(client_issuer.pem(found)[0])
    assert own.subject.rfc4514_string() == f"CN=eu.{found.login}"
    assert between == authority.certificate
    answered(found)
    assert waiting(tmp_path, "acme") is None
    assert held(tmp_path, "acme") == [found]
    later = client_requests.ensure(tmp_path, "acme", "eu.")
    assert later.name.startswith("acme.2-")
    forget(tmp_path, "acme")
    assert sorted(file.suffix for file in tmp_path.glob("acme*")) == [".csr", ".key"]
    assert waiting(tmp_path, "acme-2") is not None


def test_what_is_no_answer(tmp_path: Path, authority: Authority) -> None:
    """Each is told with the file and what was expected; nothing is kept, and the request waits."""
    request = client_requests.ensure(tmp_path, "acme", "eu.")
    other = client_requests.ensure(tmp_path / "other", "acme", "eu.")
    server = ExtendedKeyUsageOID.SERVER_AUTH
    cases = {
        "no such file": (None, "No such file"),
        "text": (b"signed", "expected a certificate in PEM"),
        "other key": (authority.sign(other, now=NOW), "not for the key of"),
        "order": (authority.pem + authority.sign(request, now=NOW), "not for the key of"),
        "subject": (
            authority.sign(request, now=NOW, subject="CN=acme,O=Example"),
            "saw the subject CN=acme,O=Example, expected the common name eu.acme/1-",
        ),
        "ended": (authority.sign(request, now=NOW, days=-1 / 48), "it has ended on"),
        "server": (authority.sign(request, now=NOW, usage=server), "expected one for clients"),
    }
    for name, (content, told) in cases.items():
        signed = tmp_path / f"{name}.crt"
        if content is not None:
            signed.write_bytes(content)
        with pytest.raises(ClusterError) as caught:
            client_requests.take(tmp_path, "acme", signed, NOW)
        assert told in str(caught.value), name
        assert str(signed) in str(caught.value), name
        assert held(tmp_path, "acme") == []
        assert waiting(tmp_path, "acme") == request
    with pytest.raises(ClusterError, match="No certificate of beta was asked for"):
        client_requests.take(tmp_path, "beta", tmp_path / "server.crt", NOW)


def test_an_issuer_may_add_to_the_subject(tmp_path: Path, authority: Authority) -> None:
    """The common name is what Northbound has asked for; what the brokers make of the rest is said
    in `user`."""
    request = client_requests.ensure(tmp_path, "acme", "")
    asked = x509.load_pem_x509_csr(request.read_bytes()).subject.rfc4514_string()
    signed = tmp_path / "signed.pem"
    signed.write_bytes(authority.sign(request, now=NOW, subject=f"{asked},O=Example"))
    found = client_requests.take(tmp_path, "acme", signed, NOW)
    assert held(tmp_path, "acme") == [found]

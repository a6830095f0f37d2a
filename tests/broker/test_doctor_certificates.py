"""What the bundle's doctor says of certificates that are not right: of the client's and of the
server's, without a broker: a server that asks for a certificate and answers one octet."""

import datetime as dt
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message

from app.broker import bundle, certificates, client_issuer
from app.broker.bundle import doctor
from app.broker.bundle.access import Access

NOW = dt.datetime.now(dt.UTC)
NEW, ENDED = 100.0, -1 / 48
"""Days that a certificate of a client lasts; it began an hour ago."""


@contextmanager
def listening(server: Path, clients: Path, version: ssl.TLSVersion) -> Iterator[int]:
    """A port of a server with this certificate and key that trusts this CA for its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server)
    context.load_verify_locations(clients)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    opened = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = opened.accept()
            except OSError:
                return
            # As Kafka, which reads nothing of a client that it refuses.
            with connection, suppress(OSError):
                connection.settimeout(10)
                with context.wrap_socket(connection, server_side=True) as secured:
                    if secured.recv(64):
                        secured.sendall(b"\0")
                        secured.recv(64)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield int(opened.getsockname()[1])
    finally:
        opened.shutdown(socket.SHUT_RDWR)
        opened.close()
        thread.join(20)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Makes a bundle of a tenant with a certificate: by a CA of the name `ca`, for days, trusting
    that of the servers of `trusted`."""
    numbers = iter(range(100))

    def make(ca: str = "clients", days: float = NEW, trusted: str = "servers") -> Path:
        client_issuer.ensure_ca(tmp_path / ca, NOW)
        found = client_issuer.issue(
            tmp_path / "issued", client_issuer.own(tmp_path / ca), "acme", "", NOW, days
        )
        access = Access(
            tenant="acme",
            servers="localhost:1",
            user="acme",
            password="",
            topics={"alerts": "northbound.acme.alerts"},
            group_prefix="acme.",
            ca=certificates.ensure(tmp_path / trusted, [], NOW).ca.read_bytes(),
            certificate=client_issuer.pem(found),
        )
        folder = tmp_path / f"bundle-{next(numbers)}"
        bundle.write(access, folder)
        return folder

    return make


def examined(folder: Path, host: str, port: int) -> dict[str, str]:
    """What fails of the files and of the connection, and what is said of it."""
    client, _ = doctor.read(folder, "")
    results = [
        *doctor.files(folder, client),
        *doctor.reach(f"{host}:{port}", doctor.tls(client), certified=True),
    ]
    return {check.partition(" ")[0]: said for good, check, said in results if not good}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_what_is_wrong_with_a_certificate(
    made: Callable[..., Path], tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """A certificate of another CA, one that has ended, the wrong CA for the server, another name of
    it, and a server whose own certificate has ended: one line each, with what to change. In TLS 1.3
    a server refuses a certificate after the handshake."""
    servers = certificates.ensure(tmp_path / "servers", [], NOW)
    clients = client_issuer.ensure_ca(tmp_path / "clients", NOW)
    with listening(servers.server, clients, version) as port:
        assert examined(made(), "localhost", port) == {}
        foreign = examined(made(ca="others"), "localhost", port)
        assert list(foreign) == ["TLS"]
        assert "client.pem is not one that the brokers take" in foreign["TLS"]
        ended = examined(made(days=ENDED), "localhost", port)
        assert list(ended) == ["client.pem", "TLS"]
        assert "It has ended, or the clock of this machine is wrong: ask" in ended["client.pem"]
        assert "ask for a new bundle" in ended["TLS"]
        wrong = examined(made(trusted="other-servers"), "localhost", port)
        assert wrong["TLS"].endswith(
            "ca.pem is not the CA of this server: take it from a new bundle"
        )
        named = examined(made(), "127.1", port)
        assert "for another name: use a name that is in it" in named["TLS"]
    long_ago = NOW - dt.timedelta(days=400)
    old = certificates.ensure(tmp_path / "servers", [], long_ago, "old.pem")
    with listening(old.server, clients, version) as port:
        assert (
            "Else the certificate has to be renewed" in examined(made(), "localhost", port)["TLS"]
        )


def test_files_that_are_of_no_use(
    made: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of another certificate, one that is missing, and a CA that is none: each is said with
    where to take it from, and nothing is connected to."""
    monkeypatch.setattr(doctor, "reach", lambda *_, **__: pytest.fail("connected"))

    def failed(folder: Path) -> dict[str, str]:
        return {check: said for good, check, said in doctor.checks(folder) if not good}

    mixed = made()
    (mixed / "client.key").write_bytes((made() / "client.key").read_bytes())
    (mixed / "client.key").chmod(0o600)
    missing = made()
    (missing / "client.key").unlink()
    for folder in (mixed, missing):
        found = failed(folder)
        assert list(found) == ["client.pem"]
        assert "Take client.pem and client.key from the bundle again" in found["client.pem"]
    broken = made()
    (broken / "ca.pem").write_text("no CA")
    assert "Take ca.pem from the bundle again" in failed(broken)["CA"]


def test_a_feed_that_is_paused() -> None:
    """Its topic is seen and its records are not: the doctor says who can change that."""

    class Paused:
        def assign(self, _: object) -> None: ...

        def consume(self, *_: object) -> list[Message]:
            error = KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)
            return [Message(topic="northbound.acme.events", partition=0, offset=0, error=error)]

    consumer: Any = Paused()
    good, what, said = doctor.fetch(consumer, "events", [])
    assert (good, what) == (False, "records of events")
    assert "paused" in said
    assert "ask whoever runs Northbound" in said

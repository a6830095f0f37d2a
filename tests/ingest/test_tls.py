"""TLS on TCP and RELP: certificates of Northbound's own CA, client certificates, port checks."""

import asyncio
import contextlib
import datetime as dt
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from app.broker import certificates
from app.broker.server import EmbeddedKafka
from app.ingest.tls import TlsSettings
from app.ingest.topics import IngestError
from tests.ingest.peers import rsyslog, wait_for
from tests.ingest.rig import listener, make_agent, read_topic, run, until, values

pytestmark = pytest.mark.broker

A1 = b"<13>Oct 11 22:14:15 h app: a1"


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of one partition."""
    return create_topic("raw.tls").removeprefix("raw.")


@pytest.fixture
def made(tmp_path: Path) -> certificates.Certificates:
    """A CA and a server certificate for localhost."""
    folder = tmp_path / "tls"
    return certificates.ensure(folder, ["localhost"], dt.datetime.now(dt.UTC), "ingest.pem")


def client(made: certificates.Certificates, own: Path | None = None) -> ssl.SSLContext:
    """What a careful sender uses."""
    context = ssl.create_default_context(cafile=made.ca)
    if own is not None:
        context.load_cert_chain(own)
    return context


def test_counted_frames_over_tls(
    kafka: EmbeddedKafka,
    source: str,
    made: certificates.Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """RFC 5425: a verified connection delivers every frame; port checks and garbage do no harm."""
    lines = [A1 + b" %d" % n for n in range(5_000)]

    async def work() -> None:
        tls = TlsSettings(made.server)
        agent = make_agent(kafka.bootstrap, listener(source, protocol="tls", tls=tls))
        await agent.start()
        host, port = agent.listeners[0].address
        for _ in range(3):
            socket.create_connection((host, port)).close()
        await asyncio.sleep(0.3)
        assert [each for each in caplog.records if each.levelno >= logging.WARNING] == []
        with socket.create_connection((host, port)) as plain:
            plain.sendall(b"<13>this is no TLS\n" * 10)
            plain.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                await asyncio.to_thread(plain.recv, 100)
        _, writer = await asyncio.open_connection(
            host, port, ssl=client(made), server_hostname="localhost"
        )
        writer.writelines([b"%d %b" % (len(line), line) for line in lines])
        await writer.drain()
        writer.close()
        await until(lambda: agent.ledgers()[0].published == len(lines), "all lines")
        assert agent.ledgers()[0].faults == {"tls": 1}
        assert await agent.stop() == 0

    run(work())
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", len(lines))) == lines


def test_a_sender_that_hangs_up_at_once(
    kafka: EmbeddedKafka, source: str, made: certificates.Certificates
) -> None:
    """One that closes its socket without a TLS goodbye, as loggen does, loses nothing."""
    lines = [A1 + b" %06d" % n for n in range(20_000)]

    def send(address: tuple[str, int]) -> None:
        plain = socket.create_connection(address)
        with client(made).wrap_socket(plain, server_hostname="localhost") as target:
            target.sendall(b"\n".join(lines) + b"\n")

    async def work() -> None:
        tls = TlsSettings(made.server)
        agent = make_agent(kafka.bootstrap, listener(source, protocol="tls", tls=tls))
        await agent.start()
        await asyncio.to_thread(send, agent.listeners[0].address)
        await until(lambda: agent.ledgers()[0].published == len(lines), "all lines")
        assert await agent.stop() == 0

    run(work())
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", len(lines))) == lines


def test_an_unusable_certificate_is_named(
    kafka: EmbeddedKafka, source: str, made: certificates.Certificates, tmp_path: Path
) -> None:
    """A file that is not there, holds no certificate or another's key stops the start."""
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    now = dt.datetime.now(dt.UTC)
    other = certificates.ensure(tmp_path / "other", ["localhost"], now)

    async def work() -> None:
        for tls in (
            TlsSettings(tmp_path / "none.pem"),
            TlsSettings(empty),
            TlsSettings(made.server, other.server),
            TlsSettings(made.server, client_ca=empty, clients="required"),
        ):
            agent = make_agent(kafka.bootstrap, listener(source, protocol="tls", tls=tls))
            with pytest.raises(IngestError, match=r"tls\.\w+ /.*\.pem"):
                await agent.start()

    run(work())


def test_client_certificates(
    kafka: EmbeddedKafka, source: str, made: certificates.Certificates, tmp_path: Path
) -> None:
    """Required: a sender without a certificate, or with one of another CA, delivers nothing."""
    now = dt.datetime.now(dt.UTC)
    foreign = certificates.ensure(tmp_path / "foreign", ["localhost"], now)
    settings = TlsSettings(made.server, client_ca=made.ca, clients="required")

    async def deliver(context: ssl.SSLContext, address: tuple[str, int]) -> None:
        try:
            reader, writer = await asyncio.open_connection(
                *address, ssl=context, server_hostname="localhost"
            )
            writer.write(A1 + b"\n")
            writer.close()
            await reader.read()
        except (ssl.SSLError, ConnectionError):
            pass

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, protocol="tls", tls=settings))
        await agent.start()
        address = agent.listeners[0].address
        await deliver(client(made), address)
        await deliver(client(made, foreign.server), address)
        await until(lambda: agent.ledgers()[0].faults["tls"] == 2, "two refusals")
        assert agent.ledgers()[0].received == 0
        assert await agent.stop() == 0

    run(work())


def test_certificates_are_read_again(
    kafka: EmbeddedKafka, source: str, made: certificates.Certificates
) -> None:
    """After `reload` new connections get the renewed certificate; open ones go on."""

    async def serial(address: tuple[str, int]) -> int:
        _, writer = await asyncio.open_connection(
            *address, ssl=client(made), server_hostname="localhost"
        )
        found = writer.get_extra_info("ssl_object").getpeercert()
        writer.write(A1 + b"\n")
        await writer.drain()
        return int(found["serialNumber"], 16)

    async def work() -> None:
        tls = TlsSettings(made.server)
        agent = make_agent(kafka.bootstrap, listener(source, protocol="tls", tls=tls))
        await agent.start()
        address = agent.listeners[0].address
        first = await serial(address)
        made.server.unlink()
        now = dt.datetime.now(dt.UTC)
        certificates.ensure(made.server.parent, ["localhost"], now, "ingest.pem")
        agent.listeners[0].reload()
        assert await serial(address) != first
        await until(lambda: agent.ledgers()[0].published == 2, "both lines")
        await agent.stop()

    run(work())


@pytest.mark.parametrize("protocol", ["tls", "relp+tls"])
def test_rsyslog_over_tls(
    kafka: EmbeddedKafka,
    source: str,
    made: certificates.Certificates,
    tmp_path: Path,
    protocol: str,
) -> None:
    """A real rsyslog (omfwd with gtls; omrelp with TLS) verifies the agent and delivers all.

    Without a certificate of its own omrelp offers anonymous ciphers only, which verify nobody.
    """
    now = dt.datetime.now(dt.UTC)
    own = certificates.ensure(made.server.parent, ["localhost"], now, "sender.pem")
    lines = [A1 + b" %06d" % n for n in range(5_000)]

    async def work() -> None:
        settings = listener(source, protocol=protocol, tls=TlsSettings(made.server))
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        host, port = agent.listeners[0].address
        more = f'global(DefaultNetstreamDriverCAFile="{made.ca}")'
        if protocol == "tls":
            action = (
                f'type="omfwd" target="{host}" port="{port}" protocol="tcp" '
                'TCP_Framing="octet-counted" StreamDriver="gtls" StreamDriverMode="1" '
                'StreamDriverAuthMode="x509/certvalid"'
            )
        else:
            action = (
                f'type="omrelp" target="localhost" port="{port}" windowSize="2000" tls="on" '
                f'tls.caCert="{made.ca}" tls.myCert="{own.server}" tls.myPrivKey="{own.server}" '
                'tls.authMode="name" tls.permittedPeer=["localhost"]'
            )

        def forward() -> None:
            with rsyslog(tmp_path / "rsyslog", action, more) as send:
                send(lines)
                wait_for(lambda: agent.listeners[0].ledger.received >= len(lines), "all lines")
                wait_for(lambda: agent.listeners[0].in_flight == 0, "acknowledgements")

        await asyncio.to_thread(forward)
        assert await agent.stop() == 0

    run(work())
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", len(lines))) == lines

"""PROXY protocol: trusted proxies alone speak for others, before TLS and RELP too."""

import asyncio
import contextlib
import datetime as dt
import socket
import ssl
import struct
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from app.broker import certificates
from app.broker.server import EmbeddedKafka
from app.ingest.proxy import SIGNATURE
from app.ingest.tls import TlsSettings
from tests.ingest.rig import listener, make_agent, read_topic, run, until

pytestmark = pytest.mark.broker

LOOPBACK = (ip_network("127.0.0.0/8"),)
LINE = b"<13>Oct 11 22:14:15 h app: a1\n"


def v2(source: str, command: int = 1, tlv: bytes = b"") -> bytes:
    """A version 2 header for a TCP connection from `source`."""
    four = ":" not in source
    family = socket.AF_INET if four else socket.AF_INET6
    address = socket.inet_pton(family, source)
    body = address + address + struct.pack("!HH", 40_000, 5514) + tlv
    return (
        SIGNATURE
        + bytes([0x20 | command, 0x11 if four else 0x21])
        + struct.pack("!H", len(body))
        + body
    )


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of one partition."""
    return create_topic("raw.proxy").removeprefix("raw.")


GOOD = [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 40000 5514\r\n", b"192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 5514\r\n", b"2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", b"127.0.0.1"),
    (v2("192.0.2.8"), b"192.0.2.8"),
    (v2("2001:db8::8", tlv=b"\x03\x00\x04abcd"), b"2001:db8::8"),
    (v2("192.0.2.9", command=0), b"127.0.0.1"),
]
BAD = [
    LINE * 3,
    b"PROXY TCP4 nonsense 192.0.2.1 40000 5514\r\n",
    b"PROXY TCP4 " + b"1" * 200,
    SIGNATURE + b"\x31\x11\0\x0c" + b"\0" * 12,
    SIGNATURE + b"\x21\x11\0\x02ab",
    SIGNATURE + b"\x21\x11\xff\xff",
]


def test_the_sender_behind_a_proxy(kafka: EmbeddedKafka, source: str) -> None:
    """Versions 1 and 2, cut anywhere, name the sender; a wrong or missing header is refused."""

    async def work() -> None:
        settings = listener(source, proxy_from=LOOPBACK)
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        address = agent.listeners[0].address
        socket.create_connection(address).close()  # a health check without a word
        for header, _ in GOOD:
            wire = header + LINE
            _, writer = await asyncio.open_connection(*address)
            for cut in range(0, len(wire), 5):
                writer.write(wire[cut : cut + 5])
                await writer.drain()
            writer.close()
        for wire in BAD:
            reader, writer = await asyncio.open_connection(*address)
            writer.write(wire)
            with contextlib.suppress(ConnectionResetError):
                assert await asyncio.wait_for(reader.read(), 60) == b""
            writer.close()
        await until(lambda: agent.ledgers()[0].published == len(GOOD), "the good ones")
        await until(lambda: agent.ledgers()[0].faults["proxy"] == len(BAD), "the bad ones")
        assert agent.ledgers()[0].received == len(GOOD)
        assert await agent.stop() == 0

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", len(GOOD))
    assert sorted(each.key() for each in found) == sorted(key for _, key in GOOD)


def test_a_stranger_cannot_speak_for_others(kafka: EmbeddedKafka, source: str) -> None:
    """From a peer that is no trusted proxy a header is a line like any other, kept as it came."""

    async def work() -> None:
        settings = listener(source, proxy_from=(ip_network("192.0.2.1"),))
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(GOOD[0][0] + LINE)
        writer.close()
        await until(lambda: agent.ledgers()[0].published == 2, "two lines")
        assert await agent.stop() == 0

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", 2)
    assert {each.key() for each in found} == {b"127.0.0.1"}
    assert found[0].value() == GOOD[0][0].strip()


def test_proxy_before_tls(kafka: EmbeddedKafka, source: str, tmp_path: Path) -> None:
    """The header comes before the handshake, in the same segment as its first bytes."""
    made = certificates.ensure(tmp_path, ["localhost"], dt.datetime.now(dt.UTC))
    offer = b"commands=syslog"
    wire = b"1 open 15 %b\n2 syslog 3 abc\n" % offer

    def client(address: tuple[str, int]) -> bytes:
        context = ssl.create_default_context(cafile=made.ca)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with socket.create_connection(address) as plain:
            plain.settimeout(60)
            first = v2("192.0.2.8")
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    plain.sendall(first + outgoing.read())
                    first = b""
                    incoming.write(plain.recv(65_536))
            tls.write(wire)
            plain.sendall(outgoing.read())
            got = b""
            while b"2 rsp" not in got:
                incoming.write(plain.recv(65_536))
                try:
                    got += tls.read(65_536)
                except ssl.SSLWantReadError:
                    continue
            return got

    async def work() -> None:
        settings = listener(
            source, protocol="relp+tls", tls=TlsSettings(made.server), proxy_from=LOOPBACK
        )
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        got = await asyncio.to_thread(client, agent.listeners[0].address)
        assert got.endswith(b"2 rsp 6 200 OK\n")
        assert await agent.stop() == 0

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", 1)
    assert [(each.key(), each.value()) for each in found] == [(b"192.0.2.8", b"abc")]

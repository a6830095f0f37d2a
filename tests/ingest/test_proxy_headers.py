"""PROXY headers without a broker: whose address they say, and what is left on the connection."""

import asyncio
import socket
import struct

import pytest

from app.ingest.proxy import SIGNATURE, ProxyError, read_header, version_1


def version_2(address: str) -> bytes:
    """A header of a dual-stack proxy, for a connection from this IPv6 address."""
    packed = socket.inet_pton(socket.AF_INET6, address)
    body = packed + packed + struct.pack("!HH", 40_000, 5514)
    return SIGNATURE + b"\x21\x21" + struct.pack("!H", len(body)) + body


@pytest.mark.parametrize(
    ("header", "sender"),
    [
        (version_2("::ffff:192.0.2.7"), "192.0.2.7"),
        (version_2("2001:db8::7"), "2001:db8::7"),
        (version_2("::1"), "::1"),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.1 40000 5514\r\n", "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 5514\r\n", "2001:db8::7"),
    ],
)
def test_a_sender_has_one_name(header: bytes, sender: str) -> None:
    """That of its IPv4 address, whether the proxy listens on IPv4 alone or on both: its lines are
    keyed by it, and stay in order in one partition."""
    near, far = socket.socketpair()

    async def work() -> str | None:
        near.setblocking(False)
        return await read_header(asyncio.get_running_loop(), near)

    with near, far:
        far.sendall(header + b"<13>the first line")
        assert asyncio.run(work()) == sender
        assert near.recv(100) == b"<13>the first line"


def test_a_wrong_address_is_refused() -> None:
    """It would key lines by anything a sender likes."""
    with pytest.raises(ProxyError, match="malformed"):
        version_1(b"PROXY TCP6 ::ffff:192.0.2 ::1 40000 5514\r\n")

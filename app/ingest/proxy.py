"""PROXY protocol, versions 1 and 2 (HAProxy, doc/proxy-protocol.txt): who sends through a proxy.

The header is read before anything else, octet by octet exactly, so that TLS or RELP can follow.
"""

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Iterable
from typing import Final, TypeAlias

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
V1_LONGEST: Final = 107
V2_LONGEST: Final = 4096
"""Of the part after the fixed one. TLVs are allowed, floods are not."""
_FIXED: Final = struct.Struct("!12sBBH")


class ProxyError(Exception):
    """No valid header where one is required."""


def trusted(peer: str, networks: Iterable[Network]) -> bool:
    """Whether a peer is a proxy that tells the truth."""
    if not networks:
        return False
    try:
        address = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    return any(address in network for network in networks)


async def read_header(loop: asyncio.AbstractEventLoop, source: socket.socket) -> str | None:
    """The sender's address; "" if the proxy speaks for itself; None if it said nothing at all.

    Raises ProxyError.
    """
    start = await _read(loop, source, len(SIGNATURE), nothing=True)
    if not start:
        return None
    if start == SIGNATURE:
        return _version_2(*await _rest_2(loop, source))
    if not start.startswith(b"PROXY "):
        raise ProxyError(f"expected a PROXY header, found {start!r}")
    while not start.endswith(b"\r\n"):
        if len(start) >= V1_LONGEST:
            raise ProxyError("a PROXY header without an end")
        start += await _read(loop, source, 1)
    return version_1(start)


def version_1(line: bytes) -> str:
    """The source address in a version 1 header; "" for UNKNOWN. Raises ProxyError."""
    words = line[:-2].decode("latin-1").split(" ")
    if words[1] == "UNKNOWN":
        return ""
    if words[1] not in ("TCP4", "TCP6") or len(words) != 6:
        raise ProxyError(f"malformed PROXY header {line!r}")
    try:
        return _text(ipaddress.ip_address(words[2]))
    except ValueError:
        raise ProxyError(f"malformed PROXY header {line!r}") from None


async def _rest_2(loop: asyncio.AbstractEventLoop, source: socket.socket) -> tuple[int, int, bytes]:
    head = SIGNATURE + await _read(loop, source, _FIXED.size - len(SIGNATURE))
    _, command, family, size = _FIXED.unpack(head)
    if size > V2_LONGEST:
        raise ProxyError(f"a PROXY header of {size} octets")
    return command, family, await _read(loop, source, size) if size else b""


def _version_2(command: int, family: int, rest: bytes) -> str:
    if command >> 4 != 2 or command & 15 > 1:
        raise ProxyError(f"PROXY version and command {command:#x}")
    if command & 15 == 0:  # LOCAL: the proxy's own health check
        return ""
    wanted = {1: 4, 2: 16}.get(family >> 4)
    if wanted is None:  # UNSPEC and Unix sockets have no address to speak of
        return ""
    if len(rest) < wanted:
        raise ProxyError("a PROXY header without its addresses")
    return _text(ipaddress.ip_address(rest[:wanted]))


def _text(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """IPv4 in IPv6 as IPv4, which a proxy on a dual-stack socket sends."""
    return str(getattr(address, "ipv4_mapped", None) or address)


async def _read(
    loop: asyncio.AbstractEventLoop, source: socket.socket, size: int, *, nothing: bool = False
) -> bytes:
    found = b""
    while len(found) < size:
        part = await loop.sock_recv(source, size - len(found))
        if not part:
            if nothing and not found:
                return b""
            raise ProxyError(f"the connection ended inside a PROXY header, after {found!r}")
        found += part
    return found

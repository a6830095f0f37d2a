"""One sender's connection to a stream listener; what its bytes mean is for subclasses."""

import logging
import socket
from asyncio import BaseTransport, BufferedProtocol, Transport
from typing import TYPE_CHECKING, Final, TypeAlias, cast

if TYPE_CHECKING:
    from app.ingest.streams import StreamListener

log = logging.getLogger(__name__)

Counters: TypeAlias = tuple[int, int, int, int]
"""Of one connection: empty, oversize, dropped bytes, malformed."""

LOCAL_PEER: Final = "unix"


class Connection(BufferedProtocol):
    """One sender. Subclasses say what its bytes mean."""

    __slots__ = ("_key", "_listener", "_transport", "peer")

    def __init__(self, listener: "StreamListener", peer: str = "") -> None:
        self._listener = listener
        self._transport: Transport | None = None
        self._key = b""
        self.peer = peer

    def connection_made(self, transport: BaseTransport) -> None:
        """A sender is there; it waits like the others while the publisher is full."""
        self._transport = cast("Transport", transport)
        found = transport.get_extra_info("socket")
        if found is not None and found.family != socket.AF_UNIX:
            # A sender that vanished without a word must not hold its connection for ever.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.peer = self.peer or peer_name(transport.get_extra_info("peername"))
        self._key = self.peer.encode()
        self._listener.opened(self)

    def get_buffer(self, _size_hint: int) -> memoryview:
        """The listener's buffer: it is read out before any other connection can be."""
        return self._listener.buffer

    def buffer_updated(self, size: int) -> None:
        """Bytes came in."""
        self._listener.read(size)
        self._take(bytes(self._listener.buffer[:size]))

    def eof_received(self) -> bool:
        """The sender has finished: the connection ends."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended, in order or not."""
        self._ended(error)
        self._listener.closed(self)

    def counters(self) -> Counters:
        """Of this connection so far."""
        raise NotImplementedError

    async def finish(self) -> None:
        """The agent stops: answer what is to be answered before `close`."""

    def pause(self) -> None:
        """Stop reading."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it at once, whatever the sender has not read."""
        if self._transport is not None:
            self._transport.abort()

    def _take(self, data: bytes) -> None:
        raise NotImplementedError

    def _ended(self, error: Exception | None) -> None:
        raise NotImplementedError

    def _fault(self, kind: str, reason: str) -> None:
        """The sender broke the protocol: this connection alone ends."""
        log.warning("A connection is closed. peer=%s reason=%s", self.peer, reason)
        self._listener.fault(kind)


def peer_name(address: object) -> str:
    """The host of a socket address; IPv4 in IPv6 as IPv4."""
    if isinstance(address, tuple):
        return str(address[0]).removeprefix("::ffff:")
    return LOCAL_PEER

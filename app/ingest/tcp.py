"""A TCP listener: bytes of many connections in, messages into a publisher, backpressure to senders.

While the publisher is full no connection is read, so that the senders' own queues hold the rest.
"""

import asyncio
import logging
import socket
import time
from asyncio import BaseTransport, BufferedProtocol, Server, Transport
from collections.abc import Sequence
from typing import Final, cast

from app.ingest.framing import Framer
from app.ingest.ledger import Ledger
from app.ingest.publisher import Publisher
from app.ingest.settings import ListenerSettings

log = logging.getLogger(__name__)

READ_SIZE: Final = 256 * 1024
BACKLOG: Final = 1024
QUIET_S: Final = 0.1
"""A sender that has sent nothing for so long after a stop has nothing on its way."""


class Connection(BufferedProtocol):
    """One sender."""

    __slots__ = ("_framer", "_key", "_listener", "_transport", "peer")

    def __init__(self, listener: "TcpListener") -> None:
        self._listener = listener
        settings = listener.settings
        self._framer = Framer(settings.framing, limit=settings.limit, oversize=settings.oversize)
        self._transport: Transport | None = None
        self._key = b""
        self.peer = ""

    def connection_made(self, transport: BaseTransport) -> None:
        """A sender is there; it waits like the others while the publisher is full."""
        self._transport = cast("Transport", transport)
        # A sender that vanished without a word must not hold its connection for ever.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.peer = str(transport.get_extra_info("peername")[0]).removeprefix("::ffff:")
        self._key = self.peer.encode()
        self._listener.opened(self)

    def get_buffer(self, _size_hint: int) -> memoryview:
        """The listener's buffer: it is read out before any other connection can be."""
        return self._listener.buffer

    def buffer_updated(self, size: int) -> None:
        """Bytes came in."""
        listener, framer = self._listener, self._framer
        listener.read(size)
        lines = framer.feed(bytes(listener.buffer[:size]))
        if lines:
            listener.take(lines, self._key)
        if framer.error:
            log.warning("A connection is closed. peer=%s reason=%s", self.peer, framer.error)
            listener.ledger.connections_refused += 1
            self.close()

    def eof_received(self) -> bool:
        """The sender has finished; nothing is ever sent to it, so the connection ends."""
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection has ended, in order or not: what it left unfinished goes out too."""
        framer, ledger = self._framer, self._listener.ledger
        lines = framer.end()
        if framer.remainder:
            lines.append(framer.remainder)
            ledger.incomplete += 1
            log.warning("A sender left a message incomplete. peer=%s error=%s", self.peer, error)
        if lines:
            self._listener.take(lines, self._key)
        self._listener.closed(self)

    def counters(self) -> tuple[int, int, int, int]:
        """Empty, oversize, dropped bytes and malformed so far."""
        framer = self._framer
        return framer.empty, framer.oversize, framer.dropped, framer.malformed

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


class TcpListener:
    """One port and its connections. `ledger` is brought up to date by `account`."""

    def __init__(self, settings: ListenerSettings, publisher: Publisher) -> None:
        self.settings = settings
        self.publisher = publisher
        self.ledger = Ledger(settings.protocol, settings.source)
        self.address = (settings.host, settings.port)
        """Where it listens, once started."""
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.paused = False
        self._connections: set[Connection] = set()
        self._server: Server | None = None
        self._ended = (0, 0, 0, 0)
        self._loop = asyncio.get_running_loop()
        self._last_read = 0.0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    async def start(self) -> None:
        """Listen. Raises OSError with advice when the address cannot be had."""
        settings = self.settings
        try:
            self._server = await self._loop.create_server(
                lambda: Connection(self), settings.host, settings.port, backlog=BACKLOG
            )
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot listen on {settings.host}:{settings.port} for source {settings.source}: "
                f"{error.strerror or error}. Stop what uses the port, or set another `listen` "
                "in northbound.yaml",
            ) from None
        bound = self._server.sockets[0].getsockname()
        self.address = host, port = str(bound[0]), int(bound[1])
        self.ledger.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        log.info("Listening. address=%s source=%s", self.ledger.address, settings.source)

    def opened(self, connection: Connection) -> None:
        """A connection has been made."""
        self.ledger.connections_total += 1
        self._connections.add(connection)
        self._all_closed.clear()
        if self.paused:
            connection.pause()

    def closed(self, connection: Connection) -> None:
        """A connection has ended."""
        self._connections.discard(connection)
        self._ended = _sum([self._ended, connection.counters()])
        if not self._connections:
            self._all_closed.set()

    def read(self, size: int) -> None:
        """`size` bytes came in on some connection."""
        self.ledger.bytes += size
        self._last_read = self._loop.time()

    def take(self, lines: Sequence[bytes], key: bytes) -> None:
        """Messages of one connection, in order."""
        self.ledger.received += len(lines)
        if not self.publisher.publish(lines, key, self.settings.key) and not self.paused:
            self.paused = True
            self.ledger.pauses += 1
            for connection in self._connections:
                connection.pause()

    def turn(self) -> None:
        """Called often: serve the publisher, and let senders go on when there is room again."""
        self.publisher.poll(time.monotonic())
        if self.paused and not self.publisher.full:
            self.paused = False
            for connection in list(self._connections):
                connection.resume()

    def account(self) -> Ledger:
        """The ledger as of now, open connections included."""
        publisher, ledger = self.publisher, self.ledger
        ledger.connections = len(self._connections)
        counters = _sum([self._ended, *(each.counters() for each in self._connections)])
        ledger.empty, ledger.oversize, ledger.dropped_bytes, ledger.malformed = counters
        ledger.in_flight = publisher.in_flight
        ledger.published = publisher.published
        ledger.retried = publisher.retried
        ledger.refused = publisher.refused.copy()
        return ledger

    async def stop(self, drain_s: float) -> None:
        """Stop accepting, read what senders have sent already, end the connections.

        A sender that never pauses is cut off after `drain_s`; TCP cannot tell it what arrived.
        """
        if self._server is not None:
            self._server.close()
        deadline = self._loop.time() + drain_s
        while self._connections and self._loop.time() < deadline:
            await asyncio.sleep(QUIET_S / 4)
            if not self.paused and self._loop.time() - self._last_read > QUIET_S:
                break
        for connection in list(self._connections):
            connection.close()
        await self._all_closed.wait()


def _sum(counters: Sequence[tuple[int, int, int, int]]) -> tuple[int, int, int, int]:
    empty, oversize, dropped, malformed = map(sum, zip(*counters, strict=True))
    return empty, oversize, dropped, malformed

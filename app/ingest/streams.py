"""Stream listeners (TCP, TLS, Unix socket): many connections into a publisher, with back-pressure.

While the publisher is full no connection is read, so that the senders' own queues hold the rest.
What a connection's bytes mean is for the classes in lines.py and relp.py.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from asyncio import Server
from collections.abc import Sequence
from typing import Final

from app.broker import ports
from app.ingest import proxy
from app.ingest.connection import LOCAL_PEER, Connection, Counters, peer_name
from app.ingest.ledger import Ledger
from app.ingest.publisher import Publisher
from app.ingest.settings import ListenerSettings
from app.ingest.spill import Spill
from app.ingest.unix import make_way, remove

log = logging.getLogger(__name__)

READ_SIZE: Final = 256 * 1024
BACKLOG: Final = 4096
QUIET_S: Final = 0.1
"""A sender that has sent nothing for so long after a stop has nothing on its way."""
HANDSHAKE_S: Final = 10.0
END_S: Final = 1.0
"""How long a sender may take to agree that a connection ends; one that reads nothing never does."""


class StreamListener:
    """One port, or socket file, and its connections. `ledger` is brought up to date by `account`.

    Subclasses say what a connection is.
    """

    connection: type[Connection]

    def __init__(
        self, settings: ListenerSettings, publisher: Publisher, spill: Spill | None = None
    ) -> None:
        self.settings = settings
        self.publisher = publisher
        self.spill = spill
        self.ledger = Ledger(settings.protocol, settings.source)
        self.address = (settings.host, settings.port)
        """Where it listens, once started."""
        self.buffer = memoryview(bytearray(READ_SIZE))
        self.paused = False
        self._connections: set[Connection] = set()
        self._server: Server | None = None
        self._socket: socket.socket | None = None
        self._welcomes: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext | None = None
        self._ended: Counters = (0, 0, 0, 0)
        self._loop = asyncio.get_running_loop()
        self._last_read = 0.0
        self._all_closed = asyncio.Event()
        self._all_closed.set()

    async def start(self) -> None:
        """Listen. Raises OSError with advice when the address or a certificate cannot be had."""
        settings = self.settings
        try:
            if settings.tls is not None:
                self._context = settings.tls.context()
        except OSError:
            await self.close()
            raise
        try:
            await self._listen()
        except OSError as error:
            if self._server is not None:
                self._server.close()
            await self.close()
            raise settings.refused(error) from None
        self.ledger.address = settings.where
        if settings.path is None:
            listening = self._socket or (self._server.sockets[0] if self._server else None)
            bound = listening.getsockname() if listening else self.address
            self.address = host, port = str(bound[0]), int(bound[1])
            self.ledger.address = ports.join(host, port)
        log.info(
            "Listening. protocol=%s address=%s source=%s",
            settings.protocol,
            self.ledger.address,
            settings.source,
        )

    async def _listen(self) -> None:
        settings, loop = self.settings, self._loop
        if settings.path is not None:
            make_way(settings.path, socket.SOCK_STREAM)
            self._server = await loop.create_unix_server(
                lambda: self.connection(self, LOCAL_PEER), str(settings.path), backlog=BACKLOG
            )
            settings.path.chmod(settings.mode)
        elif settings.tls is None and not settings.proxy_from:
            self._server = await loop.create_server(
                lambda: self.connection(self), settings.host, settings.port, backlog=BACKLOG
            )
        else:
            found = await loop.getaddrinfo(
                settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, _, _, _, address = found[0]
            self._socket = socket.create_server(
                address,
                family=family,
                backlog=BACKLOG,
            )
            self._socket.setblocking(False)
            task = asyncio.create_task(self._accept(self._socket), name="accept")
            self._welcomes.add(task)

    async def _accept(self, listening: socket.socket) -> None:
        """Accept by hand where something comes before the messages: a PROXY header, TLS."""
        while True:
            try:
                accepted, address = await self._loop.sock_accept(listening)
            except OSError as error:
                log.warning("A connection cannot be accepted. error=%s", error)
                await asyncio.sleep(0.1)  # out of file descriptors: some will be closed
                continue
            task = asyncio.create_task(self._welcome(accepted, peer_name(address)), name="welcome")
            self._welcomes.add(task)
            task.add_done_callback(self._welcomes.discard)

    async def _welcome(self, accepted: socket.socket, peer: str) -> None:
        accepted.setblocking(False)
        try:
            if proxy.trusted(peer, self.settings.proxy_from):
                async with asyncio.timeout(HANDSHAKE_S):
                    told = await proxy.read_header(self._loop, accepted)
                if told is None:  # a health check, which connects and says nothing
                    accepted.close()
                    return
                peer = told or peer
            options = {"ssl_handshake_timeout": HANDSHAKE_S} if self._context else {}
            await self._loop.connect_accepted_socket(
                lambda: self.connection(self, peer),
                accepted,
                ssl=self._context,
                **options,
            )
        except (proxy.ProxyError, TimeoutError) as error:
            self._unwelcome("proxy", accepted, peer, str(error) or "no PROXY header in time")
        except ssl.SSLError as error:
            self._unwelcome("tls", accepted, peer, error.reason or str(error))
        except OSError:
            accepted.close()  # gone before it said anything, as port checks do

    def _unwelcome(self, kind: str, accepted: socket.socket, peer: str, reason: str) -> None:
        accepted.close()
        log.warning("A connection is closed. peer=%s kind=%s reason=%s", peer, kind, reason)
        self.fault(kind)

    def reload(self) -> None:
        """Read the certificates again; connections to come get them. Raises OSError."""
        if self._context is not None and self.settings.tls is not None:
            self.settings.tls.renew(self._context)

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

    def fault(self, kind: str) -> None:
        """A connection was ended because its sender broke a protocol."""
        self.ledger.connections_refused += 1
        self.ledger.faults[kind] += 1

    def read(self, size: int) -> None:
        """`size` bytes came in on some connection."""
        self.ledger.bytes += size
        self._last_read = self._loop.time()

    def take(self, lines: Sequence[bytes], key: bytes) -> None:
        """Messages of one connection, in order."""
        self.ledger.received += len(lines)
        if self.spill is not None:
            self.spill.take(lines, key, self.settings.key)
        elif not self.publisher.publish(lines, key, self.settings.key):
            self.hold_back()

    def hold_back(self) -> None:
        """There is no room: read no connection until there is."""
        if not self.paused:
            self.paused = True
            self.ledger.pauses += 1
            for connection in self._connections:
                connection.pause()

    def warm(self) -> None:
        """Let the first line not wait for who leads the topic. Blocks a while."""
        self.publisher.warm()

    def turn(self) -> None:
        """Called often: serve the publisher, and let senders go on when there is room again."""
        now = time.monotonic()
        if self.spill is not None:
            self.spill.turn(now)
        else:
            self.publisher.poll(now)
        if self.paused and not self.publisher.full:
            self.paused = False
            for connection in list(self._connections):
                connection.resume()

    @property
    def waiting(self) -> bool:
        """Whether messages wait here for Kafka longer than they should."""
        spooled = self.spill is not None and bool(self.spill.spool.depth)
        return self.publisher.stalled or self.publisher.full or spooled

    @property
    def stalled(self) -> bool:
        """Whether Kafka takes nothing of what waits."""
        return self.publisher.stalled

    @property
    def in_flight(self) -> int:
        """Messages that are in no safe place yet."""
        return self.publisher.in_flight

    def account(self) -> Ledger:
        """The ledger as of now, open connections included."""
        ledger = self.ledger
        ledger.connections = len(self._connections)
        counters = _sum([self._ended, *(each.counters() for each in self._connections)])
        ledger.empty, ledger.oversize, ledger.dropped_bytes, ledger.malformed = counters
        ledger.add_publishers([self.publisher], [self.spill] if self.spill else [])
        return ledger

    async def stop(self, drain_s: float) -> None:
        """Stop accepting, read what senders have sent already, end the connections.

        A sender that never pauses is cut off after `drain_s`; TCP cannot tell it what arrived.
        """
        await self._stop_accepting()
        deadline = self._loop.time() + drain_s
        while self._connections and self._loop.time() < deadline:
            await asyncio.sleep(QUIET_S / 4)
            if not self.paused and self._loop.time() - self._last_read > QUIET_S:
                break
        await self._end_connections()

    async def close(self) -> None:
        """After `stop`: end the publisher; what Kafka has not taken goes to the spool, if any."""
        if self.spill is not None:
            self.spill.close()
        self.publisher.close()

    async def _stop_accepting(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._welcomes):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._socket is not None:
            self._socket.close()
        if self.settings.path is not None:
            remove(self.settings.path)

    async def _end_connections(self) -> None:
        """In order where the senders take part in it. TLS and answers that nobody reads would else
        be waited for, for half a minute or for ever, and the lines of all others with them."""
        for connection in list(self._connections):
            connection.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_closed.wait(), END_S)
        for connection in list(self._connections):
            connection.abort()
        await self._all_closed.wait()


def _sum(counters: Sequence[Counters]) -> Counters:
    empty, oversize, dropped, malformed = map(sum, zip(*counters, strict=True))
    return empty, oversize, dropped, malformed

"""Datagram listeners: UDP (RFC 5426) and Unix datagram sockets, each worker in its own thread.

Senders of UDP cannot be held back: what Kafka does not take goes to the spool, and what the kernel
had to drop is counted. A thread of its own keeps reading while streams are in full burst.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from typing import Final

from app.broker import ports
from app.ingest.ledger import Ledger
from app.ingest.publisher import Publisher
from app.ingest.receiver import Receiver
from app.ingest.settings import ListenerSettings
from app.ingest.spill import Spill
from app.ingest.unix import make_way, remove

log = logging.getLogger(__name__)

TURN_S: Final = 0.5
"""A receiver's turn takes less than this."""
BUSY_S: Final = 0.2
"""How long a receiver that works has messages in hand, at most."""
SO_RCVBUFFORCE: Final = 33  # asm-generic/socket.h; needs CAP_NET_ADMIN


class DatagramListener:
    """One address with `threads` receivers. `ledger` is brought up to date by `account`."""

    paused = False

    def __init__(
        self,
        settings: ListenerSettings,
        make: Callable[[int], tuple[Publisher, Spill | None]],
    ) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.protocol, settings.source)
        self.address = (settings.host, settings.port)
        self.receivers: list[Receiver] = []
        self._make = make

    async def start(self) -> None:
        """Listen. Raises OSError with advice when the address cannot be had."""
        settings = self.settings
        try:
            sockets = self._open()
        except OSError as error:
            raise settings.refused(error) from None
        size = sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2
        made: list[Receiver] = []
        try:
            for number, source in enumerate(sockets):
                made.append(Receiver(source, settings, *self._make(number)))
        except OSError:
            # Else what listened here before could not do so again.
            for source in sockets:
                source.close()
            for each in made:
                if each.spill is not None:
                    each.spill.close()
            raise
        self.receivers = made
        for each in made:
            each.start()
        self.ledger.address = settings.where
        if settings.path is None:
            host, port = self.address
            self.ledger.address = ports.join(host, port)
        if size < settings.receive_buffer and settings.path is None:
            log.warning(
                "The receive buffer is smaller than asked for: set net.core.rmem_max to %d. "
                "bytes=%d",
                settings.receive_buffer,
                size,
            )
        log.info(
            "Listening. protocol=udp address=%s source=%s", self.ledger.address, settings.source
        )

    def _open(self) -> list[socket.socket]:
        settings = self.settings
        with contextlib.ExitStack() as opened:
            if settings.path is not None:
                make_way(settings.path, socket.SOCK_DGRAM)
                source = opened.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
                source.bind(str(settings.path))
                settings.path.chmod(settings.mode)
                sockets = [source]
            else:
                sockets = []
                for _ in range(settings.threads):
                    source = opened.enter_context(self._udp())
                    self.address = source.getsockname()[:2]
                    sockets.append(source)
            opened.pop_all()
            return sockets

    def _udp(self) -> socket.socket:
        settings = self.settings
        host, port = self.address
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )[0]
        source = socket.socket(family, kind)
        if settings.threads > 1:
            source.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            source.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, settings.receive_buffer)
        except OSError:
            source.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, settings.receive_buffer)
        try:
            source.bind(address)
        except OSError:
            source.close()
            raise
        return source

    def turn(self) -> None:
        """Receivers serve themselves."""

    def reload(self) -> None:
        """Nothing is read from files."""

    def warm(self) -> None:
        """Let the first line not wait for who leads the topic. Blocks a while."""
        self.receivers[0].publisher.warm()

    @property
    def waiting(self) -> bool:
        """Whether messages wait here for Kafka longer than they should."""
        return any(
            each.publisher.stalled
            or each.publisher.full
            or (each.spill is not None and each.spill.spool.depth > 0)
            for each in self.receivers
        )

    @property
    def stalled(self) -> bool:
        """Whether Kafka takes nothing of what waits."""
        return any(each.publisher.stalled for each in self.receivers)

    @property
    def in_flight(self) -> int:
        """Messages that are in no safe place yet."""
        return sum(each.publisher.in_flight for each in self.receivers)

    def account(self) -> Ledger:
        """The ledger as of now; as it was last where a receiver waits for its spool's disk, for
        which nobody else is to wait."""
        ledger = self.ledger
        with contextlib.ExitStack() as held:
            for each in self.receivers:
                if not each.lock.acquire(timeout=BUSY_S):
                    return ledger
                held.callback(each.lock.release)
            for name in (
                "received",
                "bytes",
                "empty",
                "oversize",
                "dropped_bytes",
                "kernel_drops",
            ):
                setattr(ledger, name, sum(getattr(each, name) for each in self.receivers))
            ledger.add_publishers(
                [each.publisher for each in self.receivers],
                [each.spill for each in self.receivers if each.spill is not None],
            )
        return ledger

    async def stop(self, drain_s: float) -> None:
        """Receive what has arrived, then no more."""
        if self.settings.path is not None:
            # Before the end: whoever listens there next, after a reload, has a file of his own.
            remove(self.settings.path)
        for each in self.receivers:
            each.stop(drain_s)
        for each in self.receivers:
            await asyncio.to_thread(each.drained.wait, drain_s + TURN_S)

    async def close(self) -> None:
        """End the threads; what Kafka has not taken goes to the spool."""
        for each in self.receivers:
            await asyncio.to_thread(each.close)
            if each.spill is not None:
                each.spill.close()
            each.publisher.close()

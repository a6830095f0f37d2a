"""One datagram socket, read by a thread of its own, into a publisher or its spool."""

import logging
import os
import select
import socket
import threading
import time
from typing import Final

from app.ingest.connection import LOCAL_PEER
from app.ingest.datagrams import MOST, Datagrams, kernel_drops
from app.ingest.framing import cut_oversize
from app.ingest.publisher import Publisher
from app.ingest.settings import ListenerSettings
from app.ingest.spill import Spill

log = logging.getLogger(__name__)

TURN_MS: Final = 20
GATHER_S: Final = 0.002
"""A short wait lets a batch gather, which costs less than a call for each datagram."""
FEW: Final = 64
DROPS_S: Final = 1.0


class Receiver:
    """One socket, one thread, one publisher."""

    def __init__(
        self,
        source: socket.socket,
        settings: ListenerSettings,
        publisher: Publisher,
        spill: Spill | None,
    ) -> None:
        self.publisher = publisher
        self.spill = spill
        self.received = self.bytes = self.empty = self.oversize = self.dropped_bytes = 0
        self.kernel_drops = 0
        self.ended = False
        self.drained = threading.Event()
        self.lock = threading.Lock()
        """Held while messages are in hand, so that the ledger balances whenever it is read."""
        self._source = source
        self._inode = os.fstat(source.fileno()).st_ino
        self._settings = settings
        self._datagrams = Datagrams(source, LOCAL_PEER.encode())
        self._full = False
        self._stopping = False
        self._until = 0.0
        self._drops_at = 0.0
        self._thread = threading.Thread(target=self._run, name="datagrams", daemon=True)

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self, drain_s: float) -> None:
        """Receive what has arrived, then no more, nor after `drain_s`, as a flood never ends. The
        thread goes on serving the publisher; the address is free."""
        self._until = time.monotonic() + drain_s
        self._stopping = True

    def close(self) -> None:
        """End the thread."""
        self.ended = True
        self._thread.join()
        self._source.close()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        while not self.ended:
            try:
                self._step(poll)
            except Exception:
                # A disk that fails, say, is no reason to hear no sender any more.
                log.exception("Datagrams cannot be received. source=%s", self._settings.source)
                time.sleep(1.0)

    def _step(self, poll: "select.poll") -> None:
        if self.drained.is_set() or (self._full and not self._stopping):
            time.sleep(TURN_MS / 1000 / 4)
        elif self._stopping:
            # Full or not: what the socket holds is in nobody else's hands, and ends with it.
            count = self._receive()
            if not count or (self._full and count < MOST):
                self._end()
        elif poll.poll(TURN_MS) and self._receive() < FEW:
            time.sleep(GATHER_S)
        if self._stopping and not self.drained.is_set() and time.monotonic() > self._until:
            self._end()
        self._turn(time.monotonic())

    def _end(self) -> None:
        """Receive no more."""
        self._count_drops()
        self._source.close()
        self.drained.set()

    def _receive(self) -> int:
        with self.lock:
            groups, count, size = self._datagrams.receive()
            self.bytes += size
            for group in groups:
                self._take(group.lines, group.peer)
        return count

    def _take(self, lines: list[bytes], peer: bytes) -> None:
        if empty := lines.count(b""):
            self.empty += empty
            lines = [line for line in lines if line]
        if max(map(len, lines), default=0) > self._settings.limit:
            lines = self._cut(lines)
        if not lines:
            return
        self.received += len(lines)
        if self.spill is not None:
            self.spill.take(lines, peer, self._settings.key)
        else:
            # Unix senders are held back by the socket; UDP ones lose what its buffer cannot hold.
            self._full = not self.publisher.publish(lines, peer, self._settings.key)

    def _cut(self, lines: list[bytes]) -> list[bytes]:
        limit, out = self._settings.limit, []
        for line in lines:
            if len(line) <= limit:
                out.append(line)
                continue
            self.oversize += 1
            pieces, dropped = cut_oversize(line, limit, self._settings.oversize)
            self.dropped_bytes += dropped
            out += pieces
        return out

    def _turn(self, now: float) -> None:
        with self.lock:
            if self.spill is not None:
                self.spill.turn(now)
            else:
                self.publisher.poll(now)
                self._full = self._full and self.publisher.full
        if now - self._drops_at > DROPS_S:
            self._drops_at = now
            self._count_drops()

    def _count_drops(self) -> None:
        if self._settings.protocol != "udp" or self.drained.is_set():
            return
        dropped = kernel_drops(self._inode)
        if dropped > self.kernel_drops:
            log.warning(
                "The kernel dropped datagrams; a larger receive_buffer or more threads help. "
                "source=%s datagrams=%d",
                self._settings.source,
                dropped - self.kernel_drops,
            )
            self.kernel_drops = dropped

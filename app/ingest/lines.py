"""Syslog over a stream (RFC 6587, RFC 5425): frames in one direction, nothing goes back."""

import logging

from app.ingest.connection import Connection, Counters
from app.ingest.framing import Framer
from app.ingest.streams import StreamListener

log = logging.getLogger(__name__)


class LineConnection(Connection):
    """One sender of frames."""

    __slots__ = ("_framer",)

    def __init__(self, listener: StreamListener, peer: str = "") -> None:
        super().__init__(listener, peer)
        settings = listener.settings
        self._framer = Framer(settings.framing, limit=settings.limit, oversize=settings.oversize)

    def _take(self, data: bytes) -> None:
        lines = self._framer.feed(data)
        if lines:
            self._listener.take(lines, self._key)
        if self._framer.error:
            self._fault("framing", self._framer.error)
            self.close()

    def _ended(self, error: Exception | None) -> None:
        """What the sender left unfinished goes out too."""
        framer, ledger = self._framer, self._listener.ledger
        lines = framer.end()
        if framer.remainder:
            lines.append(framer.remainder)
            ledger.incomplete += 1
            log.warning("A sender left a message incomplete. peer=%s error=%s", self.peer, error)
        if lines:
            self._listener.take(lines, self._key)

    def counters(self) -> Counters:
        """Of this connection so far."""
        framer = self._framer
        return framer.empty, framer.oversize, framer.dropped, framer.malformed


class LineListener(StreamListener):
    """TCP, TLS or a Unix stream socket."""

    connection = LineConnection

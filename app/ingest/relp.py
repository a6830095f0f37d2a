"""RELP: a message is answered with 200 only after all in-sync replicas of Kafka have it, in order.

An agent that is killed has promised nothing that Kafka does not have; the sender sends the rest
again, so that duplicates after a reconnect are possible and losses are not.
"""

import asyncio
from collections import deque
from typing import Final, NamedTuple, cast

from app.ingest.batch import Receipt
from app.ingest.confirming import ConfirmingPublisher
from app.ingest.connection import Connection, Counters
from app.ingest.relp_session import SERVERCLOSE, Answer, Session, accepted
from app.ingest.streams import StreamListener

STEP_S: Final = 0.005


class Owed(NamedTuple):
    """An answer that waits for its turn, and for `receipt` if there is one."""

    numbers: list[bytes]
    receipt: Receipt | None
    answer: Answer | None


class RelpConnection(Connection):
    """One RELP session."""

    __slots__ = ("_choked", "_over", "_owed", "_session")

    def __init__(self, listener: StreamListener, peer: str = "") -> None:
        super().__init__(listener, peer)
        settings = listener.settings
        self._session = Session(limit=settings.limit, oversize=settings.oversize)
        self._owed: deque[Owed] = deque()
        self._over = False
        self._choked = False

    def _take(self, data: bytes) -> None:
        session, listener = self._session, cast("RelpListener", self._listener)
        for step in session.feed(data):
            if isinstance(step, Answer):
                self._owed.append(Owed([], None, step))
            else:
                receipt = listener.confirm(step.lines, self._key, self) if step.lines else None
                self._owed.append(Owed(step.numbers, receipt, None))
        if session.fault and not self._over:
            self._over = True
            self._fault("relp", session.fault)
        self.settle()

    def settle(self) -> None:
        """Send every answer whose turn has come."""
        out = []
        last = False
        while self._owed and not last:
            owed = self._owed[0]
            if owed.receipt is not None and not owed.receipt.done:
                break
            self._owed.popleft()
            if owed.answer is not None:
                out.append(owed.answer.data)
                last = owed.answer.last
            else:
                out.append(accepted(owed.numbers, _refused(owed)))
        transport = self._transport
        if out and transport is not None and not transport.is_closing():
            transport.write(b"".join(out))
        if last or (self._over and not self._owed):
            self.close()

    def eof_received(self) -> bool:
        """The client sends no more, but may still read what it is owed."""
        self._over = True
        if not self._owed:
            return False
        return self._transport is not None and self._transport.get_extra_info("sslcontext") is None

    def _ended(self, _error: Exception | None) -> None:
        """What was received is published all the same; the client sends again what it must."""
        self._owed.clear()

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more commands until it does."""
        self._choked = True
        self.pause()

    def resume_writing(self) -> None:
        """It reads again."""
        self._choked = False
        if not self._listener.paused:
            self.resume()

    def resume(self) -> None:
        """Read on, if the client reads too."""
        if not self._choked and not self._over:
            super().resume()

    def counters(self) -> Counters:
        """Of this connection so far."""
        session = self._session
        return session.empty, session.oversize, session.dropped, session.malformed

    async def finish(self) -> None:
        """Take no more commands, answer those taken, then say goodbye."""
        self.pause()
        self._over = True
        while self._owed:  # noqa: ASYNC110  # settle() would have to know of us for one use
            await asyncio.sleep(STEP_S)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(SERVERCLOSE)


class RelpListener(StreamListener):
    """RELP over TCP or TLS."""

    connection = RelpConnection
    publisher: ConfirmingPublisher

    def confirm(self, lines: list[bytes], key: bytes, owner: RelpConnection) -> Receipt:
        """Publish lines; their receipt."""
        self.ledger.received += len(lines)
        receipt, room = self.publisher.confirm(lines, key, self.settings.key, owner)
        if not room:
            self.hold_back()
        return receipt

    async def stop(self, drain_s: float) -> None:
        """Stop accepting and reading; answer what Kafka acknowledges in time; say goodbye."""
        await self._stop_accepting()
        finishing = [asyncio.create_task(each.finish()) for each in self._connections]
        if finishing:
            _, late = await asyncio.wait(finishing, timeout=drain_s)
            for task in late:
                task.cancel()
        await self._end_connections()


def _refused(owed: Owed) -> set[int]:
    """The places of transactions of which Kafka has refused a line."""
    if owed.receipt is None or not owed.receipt.refused:
        return set()
    if len(owed.numbers) != len(owed.receipt.lines):  # one message in pieces
        return {0}
    return owed.receipt.refused

"""A RELP sender that keeps what is not acknowledged and sends it again on the next connection.

Its own few lines of protocol instead of librelp, so that what was acknowledged is known exactly.
"""

import argparse
import asyncio
import time
from collections import deque
from contextlib import suppress

from chaos.sender import FINISH_S, TURN_S, Connection

WINDOW = 128
"""omrelp's default."""
OFFERS = b"relp_version=0\nrelp_software=chaos\ncommands=syslog"


class RelpConnection(Connection):
    """Lines that were acknowledged go to OUT/acked-<n>.log."""

    def __init__(self, number: int, given: argparse.Namespace) -> None:
        super().__init__(number, given)
        self._acked = (given.out / f"acked-{given.first + number}.log").open("ab")
        self._waiting: deque[bytes] = deque()

    async def run(self, ending: asyncio.Event) -> None:
        """Send until `ending`, then until everything is acknowledged."""
        while not ending.is_set() or self._waiting:
            try:
                reader, writer = await self._open()
            except OSError:
                await asyncio.sleep(0.1)
                continue
            try:
                await self._session(reader, writer, ending)
            except (OSError, EOFError):
                self.resets += 1
            finally:
                writer.close()
        self._log.close()
        self._acked.close()

    async def _session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
    ) -> None:
        writer.write(b"1 open %d %s\n" % (len(OFFERS), OFFERS))
        await _answer(reader)
        self.resent += len(self._waiting)
        for number, line in enumerate(self._waiting, 2):
            writer.write(_frame(number, line))
        answers = asyncio.create_task(self._answers(reader, ending))
        try:
            await self._send_new(writer, len(self._waiting) + 2, ending, answers)
            if self._waiting:
                await asyncio.wait([answers], timeout=FINISH_S)
        finally:
            answers.cancel()
        if self._waiting:
            raise EOFError

    async def _send_new(
        self,
        writer: asyncio.StreamWriter,
        number: int,
        ending: asyncio.Event,
        answers: "asyncio.Task[None]",
    ) -> None:
        due = time.monotonic()
        while not ending.is_set() and not answers.done():
            now = time.monotonic()
            due = max(due, now - 1.0)
            count = min(int((now - due) * self._rate), WINDOW - len(self._waiting))
            lines = [self.lines.next(time.time()) for _ in range(count)]
            if lines:
                due += count / self._rate
                self._log.write(b"".join(line + b"\n" for line in lines))
                self._log.flush()
                self._waiting += lines
                frames = [_frame(number + place, line) for place, line in enumerate(lines)]
                number += count
                self.sent += count
                writer.write(b"".join(frames))
                await writer.drain()
                self.blocked = max(self.blocked, time.monotonic() - now)
            await asyncio.sleep(TURN_S)

    async def _answers(self, reader: asyncio.StreamReader, ending: asyncio.Event) -> None:
        """Until the connection breaks, or nothing is left to be acknowledged."""
        with suppress(OSError, EOFError):
            while (await _answer(reader)).startswith(b"200"):
                self._acked.write(self._waiting.popleft() + b"\n")
                self._acked.flush()
                if ending.is_set() and not self._waiting:
                    return


def _frame(number: int, line: bytes) -> bytes:
    return b"%d syslog %d %s\n" % (number, len(line), line)


async def _answer(reader: asyncio.StreamReader) -> bytes:
    """The data of the next frame; the end of the stream is an EOFError."""
    header = b""
    while header.count(b" ") < 3 and not header.endswith(b"\n"):
        header += await reader.readexactly(1)
    size = int(header.split()[2])
    return await reader.readexactly(size + 1) if header.endswith(b" ") else b""

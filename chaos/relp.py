"""A RELP sender that keeps what is not acknowledged and sends it again on the next connection.

Its own few lines of protocol instead of librelp, so that what was acknowledged is known exactly.
"""

import argparse
import asyncio
from collections import deque
from collections.abc import Collection
from contextlib import suppress

from chaos.sender import FINISH_S, Connection

WINDOW = 128
"""omrelp's default."""
OFFERS = b"relp_version=0\nrelp_software=chaos\ncommands=syslog"


class RelpConnection(Connection):
    """Lines that were acknowledged go to OUT/acked-<n>.log."""

    def __init__(self, number: int, given: argparse.Namespace) -> None:
        super().__init__(number, given)
        self._acked = (given.out / f"acked-{given.first + number}.log").open("ab")
        self._waiting: deque[bytes] = deque()
        self._number = 1

    async def run(self, ending: asyncio.Event) -> None:
        """Send until `ending`, then until everything is acknowledged."""
        await super().run(ending)
        self._acked.close()

    def _unfinished(self) -> bool:
        return bool(self._waiting)

    async def _session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
    ) -> None:
        writer.write(b"1 open %d %s\n" % (len(OFFERS), OFFERS))
        await _answer(reader)
        self.resent += len(self._waiting)
        self._number = 2
        writer.write(self._numbered(self._waiting))
        answers = asyncio.create_task(self._answers(reader, ending))
        try:
            await self._send(writer, lambda: ending.is_set() or answers.done())
            if self._waiting:
                await asyncio.wait([answers], timeout=FINISH_S)
        finally:
            answers.cancel()
        if self._waiting:
            raise EOFError

    def _room(self) -> int:
        return WINDOW - len(self._waiting)

    def _framed(self, lines: list[bytes]) -> bytes:
        self._waiting += lines
        return self._numbered(lines)

    def _numbered(self, lines: Collection[bytes]) -> bytes:
        first, self._number = self._number, self._number + len(lines)
        return b"".join(_frame(first + place, line) for place, line in enumerate(lines))

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

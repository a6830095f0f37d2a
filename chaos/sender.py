"""One connection of a syslog sender over TCP.

A connection that breaks is opened again and what was in flight on it is not sent again, as syslog
over TCP does.
"""

import argparse
import asyncio
import socket
import time
from collections.abc import Callable
from contextlib import suppress

from chaos.lines import Lines

TURN_S = 0.02
FINISH_S = 20.0
MOST = 1_000_000


class Connection:
    """One sender."""

    def __init__(self, number: int, given: argparse.Namespace) -> None:
        self.lines = Lines(given.seed, given.first + number, tree=given.tree)
        self.resets = 0
        self.resent = 0
        self.blocked = 0.0
        self.sent = 0
        self._address = f"127.0.1.{given.first + number + 1}"
        self._port = given.port
        self._rate = given.rate / given.connections
        name = f"input-{given.first + number}.log"
        self._log = (given.out / name).open("ab")

    async def run(self, ending: asyncio.Event) -> None:
        """Send until `ending`, then until nothing is left to be sent again."""
        while not ending.is_set() or self._unfinished():
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

    def _unfinished(self) -> bool:
        return False

    async def _session(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ending: asyncio.Event
    ) -> None:
        """One connection; what was sent is to be read by the agent before it ends."""
        await self._send(writer, ending.is_set)
        writer.write_eof()
        with suppress(TimeoutError):
            await asyncio.wait_for(reader.read(), FINISH_S)

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        ends = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        ends.setblocking(False)
        try:
            ends.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
            ends.bind((self._address, 0))
            await asyncio.get_running_loop().sock_connect(ends, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(sock=ends)
        except BaseException:
            ends.close()
            raise
        writer.transport.set_write_buffer_limits(high=0)
        return reader, writer

    async def _send(self, writer: asyncio.StreamWriter, done: Callable[[], bool]) -> None:
        """New lines at the rate until `done`."""
        due = time.monotonic()
        while not done():
            now = time.monotonic()
            due = max(due, now - 1.0)  # what could not be sent in time is not made up for
            count = min(int((now - due) * self._rate), self._room())
            if count:
                due += count / self._rate
                lines = [self.lines.next(time.time()) for _ in range(count)]
                self._log.write(b"".join(line + b"\n" for line in lines))
                self._log.flush()
                writer.write(self._framed(lines))
                await writer.drain()
                self.sent += count
                self.blocked = max(self.blocked, time.monotonic() - now)
            await asyncio.sleep(TURN_S)

    def _room(self) -> int:
        """Lines that may be sent now."""
        return MOST

    def _framed(self, lines: list[bytes]) -> bytes:
        return b"".join(line + b"\n" for line in lines)

"""Sends the demo's stream over its connections, in event-time order, at a bounded rate.

`python -m app.demo.sender --seed=1 --lines=300000 --start-ms=... --end-ms=... --port=5514`.
The connections stay close to one another in event time: before a chunk goes out, those before it
have left this process, and little of them fits into the kernel's buffers. Loopback only.
"""

import argparse
import asyncio
import heapq
import ipaddress
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from app.demo.stream import Chunk, Connection, Stream

SEND_BUFFER = 64 * 1024
CONNECT_S = 10.0
PROGRESS_S = 0.5


class SendError(RuntimeError):
    """The stream could not be sent; the message says what to do."""


class Line:
    """One open connection to the agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, host: str, port: int) -> "Line":
        """Connect from `address`. Raises OSError."""
        ends = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        ends.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        ends.setblocking(False)
        try:
            ends.bind((address, 0))
            async with asyncio.timeout(CONNECT_S):
                await asyncio.get_running_loop().sock_connect(ends, (host, port))
            reader, writer = await asyncio.open_connection(sock=ends)
        except BaseException:
            ends.close()
            raise
        writer.transport.set_write_buffer_limits(high=0)
        return cls(reader, writer)

    async def send(self, data: bytes) -> None:
        """Hand the bytes to the kernel, waiting for it to take them all."""
        self._writer.write(data)
        await self._writer.drain()

    async def finish(self) -> None:
        """End our side and wait until the agent, having read everything, ends its own."""
        self._writer.write_eof()
        await self._reader.read()

    async def close(self) -> None:
        """Close."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


async def send(
    stream: Stream,
    host: str,
    port: int,
    rate: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Send all of it and return the number of lines. `rate`: lines a second at most; 0: no bound.

    `progress` receives the number of lines sent so far about twice a second. Raises SendError.
    """
    if not ipaddress.ip_address(host).is_loopback:
        raise SendError(f"saw {host}, expected a loopback address: the demo sends to no other host")
    connections = stream.connections()
    lines: list[Line] = []
    try:
        for each in connections:
            line = await Line.open(each.address, host, port)
            lines.append(line)  # at once, so that it is closed if the next one fails
        sent = await _send(connections, lines, rate, progress)
        await asyncio.gather(*(each.finish() for each in lines))
    except (OSError, TimeoutError) as error:
        raise SendError(
            f"the ingest agent on {host}:{port} cannot be reached or hung up ({error}); "
            "its log says why"
        ) from None
    finally:
        await asyncio.gather(*(each.close() for each in lines))
    progress(sent)
    return sent


async def _send(
    connections: list[Connection], lines: list[Line], rate: int, progress: Callable[[int], None]
) -> int:
    started = said = time.monotonic()
    sent = 0
    for number, chunk in _merged(connections):
        await lines[number].send(chunk.data)
        sent += chunk.lines
        now = time.monotonic()
        if now - said >= PROGRESS_S:
            said = now
            progress(sent)
        ahead = sent / rate - (now - started) if rate else 0.0
        if ahead > 0.005:
            await asyncio.sleep(ahead)
    return sent


def _merged(connections: list[Connection]) -> Iterator[tuple[int, Chunk]]:
    """Chunks of all connections in order of event time, with the connection's number."""

    def numbered(number: int, connection: Connection) -> Iterator[tuple[int, int, Chunk]]:
        for chunk in connection.chunks():
            yield chunk.time_ms, number, chunk

    each = [numbered(number, connection) for number, connection in enumerate(connections)]
    for _, number, chunk in heapq.merge(*each, key=lambda item: item[:2]):
        yield number, chunk


def main() -> None:
    """Parse the options, send, end with status 0 only if all lines were read by the agent."""
    parser = argparse.ArgumentParser(description="Send the demo's stream to an ingest agent.")
    for name in ("seed", "lines", "start-ms", "end-ms", "port"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--rate", type=int, default=0, help="lines a second at most; 0: no bound")
    parser.add_argument("--host", default="127.0.0.1")
    given = parser.parse_args()
    stream = Stream(given.seed, given.lines, given.start_ms, given.end_ms)

    def progress(sent: int) -> None:
        sys.stdout.write(f"{sent}\n")
        sys.stdout.flush()

    try:
        asyncio.run(send(stream, given.host, given.port, given.rate, progress))
    except SendError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()

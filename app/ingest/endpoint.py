"""A small HTTP server on the agent's own loop: answers GET, then closes."""

import asyncio
import contextlib
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final, NamedTuple

REQUEST_S: Final = 5.0
REQUEST_BYTES: Final = 8192


class Answer(NamedTuple):
    """What a page says."""

    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


class Endpoint:
    """Pages by path. A connection without a request, as a port check makes, is no error."""

    def __init__(self, pages: Mapping[str, Callable[[], Answer]]) -> None:
        self._pages = pages
        self._server: asyncio.Server | None = None
        self.address: tuple[str, int] | None = None
        """Where they are served."""

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Serve on an address; port 0 is any free one. Returns what it got."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=REQUEST_BYTES)
        bound = self._server.sockets[0].getsockname()
        self.address = str(bound[0]), int(bound[1])
        return self.address

    async def move(self, where: tuple[str, int] | None) -> None:
        """Serve at another address, or nowhere. Raises OSError; then it is served where it was."""
        before = self.address
        await self.stop()
        try:
            if where is not None:
                await self.start(*where)
        except OSError:
            if before is not None:
                await self.start(*before)
            raise

    async def stop(self) -> None:
        """Serve no more."""
        self.address = None
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_S):
                writer.write(await self._respond(reader))
                await writer.drain()
        writer.close()

    async def _respond(self, reader: StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            large = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            return _text("GET", Answer(b"the request is too large\n", status=large))
        return self._answer(head.split(b"\r\n", 1)[0].decode("latin-1"))

    def _answer(self, request: str) -> bytes:
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        page = self._pages.get(path)
        if method not in ("GET", "HEAD"):
            answer = Answer(b"only GET\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
        elif page is None:
            pages = " ".join(self._pages)
            answer = Answer(f"pages: {pages}\n".encode(), status=HTTPStatus.NOT_FOUND)
        else:
            answer = page()
        return _text(method, answer)


def _text(method: str, answer: Answer) -> bytes:
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (b"" if method == "HEAD" else answer.body)

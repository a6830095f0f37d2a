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

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Serve on an address; port 0 is any free one. Returns what it got."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=REQUEST_BYTES)
        bound = self._server.sockets[0].getsockname()
        return str(bound[0]), int(bound[1])

    async def stop(self) -> None:
        """Serve no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
            async with asyncio.timeout(REQUEST_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0].decode("latin-1")))
                await writer.drain()
        writer.close()

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
        head = (
            f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
            f"Content-Type: {answer.content_type}\r\n"
            f"Content-Length: {len(answer.body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + (b"" if method == "HEAD" else answer.body)

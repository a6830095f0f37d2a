"""The pages for HAProxy and Prometheus, asked in odd ways: no noise, and the next one is served."""

import asyncio
import socket
from typing import Any

import pytest

from app.ingest import endpoint
from app.ingest.endpoint import Answer, Endpoint
from tests.ingest.rig import run

ASKED = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (ASKED, b"HTTP/1.1 200 OK\r\n"),
        (b"HEAD /health?x=1 HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 OK\r\n"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 404 "),
        (b"POST /health HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"GET /health HTTP/1.1\r\nCookie: " + b"x" * 70_000 + b"\r\n\r\n", b"HTTP/1.1 431 "),
        (b"x" * 70_000, b"HTTP/1.1 431 "),
        (b"\x16\x03\x01\r\n\r\n", b"HTTP/1.1 405 "),
        (b"", b""),
        (b"GET /hea", b""),
    ],
)
def test_whatever_is_asked(monkeypatch: pytest.MonkeyPatch, sent: bytes, answer: bytes) -> None:
    """An answer, or the end of the connection for one who says nothing more; nothing in the log."""
    monkeypatch.setattr(endpoint, "REQUEST_S", 60.0)
    noise: list[dict[str, Any]] = []

    async def ask(address: tuple[str, int], data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*address)
        try:
            writer.write(data)
            if not data.endswith(b"\r\n\r\n"):
                writer.write_eof()
            return await asyncio.wait_for(reader.read(), 60)
        except ConnectionError:  # of what was sent in vain
            return answer
        finally:
            writer.close()

    async def work() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, found: noise.append(found))
        pages = Endpoint({"/health": lambda: Answer(b"ok\n")})
        address = await pages.start("127.0.0.1", 0)
        socket.create_connection(address).close()
        assert (await ask(address, sent)).startswith(answer)
        assert (await ask(address, ASKED)).endswith(b"\r\n\r\nok\n")
        await pages.stop()

    asyncio.run(work())
    assert noise == []


def test_it_moves_and_stays_where_it_cannot() -> None:
    """A changed `ingest.web` is taken up by a reload; an address that is not to be had leaves the
    pages where HAProxy asks for them."""

    async def served(address: tuple[str, int]) -> bool:
        try:
            reader, writer = await asyncio.open_connection(*address)
        except ConnectionRefusedError:
            return False
        writer.write(ASKED)
        found = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return found.endswith(b"ok\n")

    async def work() -> None:
        pages = Endpoint({"/health": lambda: Answer(b"ok\n")})
        first = await pages.start("127.0.0.3", 0)  # of nobody else
        await pages.move(first)  # free at once, as another address may have the same port
        assert (pages.address, await served(first)) == (first, True)
        await pages.move(("127.0.0.2", 0))
        second = pages.address
        assert second is not None
        assert (await served(second), await served(first)) == (True, False)
        with socket.create_server(("127.0.0.1", 0)) as taken:
            with pytest.raises(OSError, match="in use"):
                await pages.move(taken.getsockname())
            assert pages.address == second
            assert await served(second)
        await pages.move(None)
        assert pages.address is None
        assert not await served(second)

    run(work())

"""What a busy or a hostile network does: many connections, slow senders, a line without an end."""

import asyncio
import socket
from collections.abc import Callable

import pytest

from app.broker.server import EmbeddedKafka
from tests.ingest.rig import listener, make_agent, read_topic, resident_mb, run, until, values

pytestmark = pytest.mark.broker

CONNECTIONS = 5_000
ENDLESS = 100 << 20


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source whose raw topic exists."""
    return create_topic("raw.many", partitions=2).removeprefix("raw.")


def test_five_thousand_connections(kafka: EmbeddedKafka, source: str) -> None:
    """Each keeps half a line back until all are connected; every line comes, once and whole."""
    lines = [b"<13>line of connection %05d" % n for n in range(CONNECTIONS)]

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        address = agent.listeners[0].address
        loop, clients = asyncio.get_running_loop(), []
        before = resident_mb()
        try:
            for line in lines:
                client = socket.socket()
                client.setblocking(False)
                clients.append(client)
                await loop.sock_connect(client, address)
                await loop.sock_sendall(client, line[:10])
            await until(lambda: agent.ledgers()[0].connections == CONNECTIONS, "all connections")
            assert resident_mb() - before < 200
            assert agent.ledgers()[0].received == 0
            for client, line in zip(clients, lines, strict=True):
                await loop.sock_sendall(client, line[10:] + b"\n")
            await until(lambda: agent.ledgers()[0].published == CONNECTIONS, "all lines")
        finally:
            for client in clients:
                client.close()
        await until(lambda: agent.ledgers()[0].connections == 0, "all to be closed")
        assert await agent.stop() == 0

    run(work())
    assert sorted(values(read_topic(kafka.bootstrap, f"raw.{source}", CONNECTIONS))) == lines


def test_slow_senders_hold_up_nobody(kafka: EmbeddedKafka, source: str) -> None:
    """Two hundred that send byte by byte, and one in a hurry whose lines are through before."""
    slow = [b"<13>slowly %03d" % n for n in range(200)]
    fast = [b"<13>in a hurry %06d" % n for n in range(50_000)]

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        address = agent.listeners[0].address
        writers = [(await asyncio.open_connection(*address))[1] for _ in slow]
        for place in range(len(slow[0]) - 1):
            for writer, line in zip(writers, slow, strict=True):
                writer.write(line[place : place + 1])
            await asyncio.sleep(0)
        _, hurry = await asyncio.open_connection(*address)
        hurry.write(b"\n".join(fast) + b"\n")
        await until(lambda: agent.ledgers()[0].published == len(fast), "the fast lines")
        for writer, line in zip(writers, slow, strict=True):
            writer.write(line[-1:] + b"\n")
        total = len(fast) + len(slow)
        await until(lambda: agent.ledgers()[0].published == total, "the slow lines")
        for writer in (*writers, hurry):
            writer.close()
        assert await agent.stop() == 0

    run(work())
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", len(fast) + len(slow)))
    assert sorted(found) == sorted(slow + fast)


@pytest.mark.parametrize("oversize", ["truncate", "split"])
def test_a_hundred_megabytes_without_an_end(
    kafka: EmbeddedKafka, source: str, oversize: str
) -> None:
    """Memory stays bounded, no byte leaves the books, and the line after it is whole."""
    limit = 1 << 20

    async def work() -> None:
        agent = make_agent(
            kafka.bootstrap, listener(source, limit=limit, oversize=oversize), buffer_kib=16_384
        )
        await agent.start()
        before = resident_mb()
        most = before
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        for _ in range(ENDLESS >> 16):
            writer.write(b"x" * 65_536)
            await writer.drain()
            most = max(most, resident_mb())
        writer.write(b"\n<13>the next\n")
        await writer.drain()
        pieces = 1 if oversize == "truncate" else ENDLESS // limit
        await until(lambda: agent.ledgers()[0].published == pieces + 1, "what is left", 90)
        assert most - before < 120
        ledger = agent.ledgers()[0]
        assert ledger.oversize == 1
        assert ledger.dropped_bytes == (ENDLESS - limit if oversize == "truncate" else 0)
        writer.close()
        assert await agent.stop() == 0

    run(work())
    count = 2 if oversize == "truncate" else ENDLESS // limit + 1
    found = [value or b"" for value in values(read_topic(kafka.bootstrap, f"raw.{source}", count))]
    assert found[-1] == b"<13>the next"
    assert {len(value) for value in found[:-1]} == {limit}
    assert set(b"".join(found[:-1])) == set(b"x")

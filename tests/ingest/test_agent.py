"""The agent over real sockets and a real broker: exact bytes, no loss, a ledger that balances."""

import asyncio
import random
import resource
import socket
import struct
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from app.broker.server import EmbeddedKafka
from app.demo.sender import SendError, send
from app.demo.stream import Stream
from app.ingest import topics
from app.ingest.framing import frames
from app.ingest.topics import IngestError
from tests.ingest.rig import listener, make_agent, read_topic, run, until, values

pytestmark = pytest.mark.broker

START_MS = 1_795_000_000_000
A1 = b"<13>Oct 11 22:14:15 h app: a1"


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of six partitions."""
    return create_topic("raw.source", partitions=6).removeprefix("raw.")


def test_the_demo_stream_arrives_byte_for_byte(
    kafka: EmbeddedKafka, source: str, seed: int
) -> None:
    """Three senders, three framings: each one's messages are in the topic, in order, unaltered."""
    stream = Stream(seed, 30_000, START_MS, START_MS + 600_000)

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        assert await send(stream, *agent.listeners[0].address) == 30_000
        assert await agent.stop() == 0
        ledger = agent.ledgers()[0]
        assert ledger.balanced
        assert (ledger.received, ledger.published) == (30_000, 30_000)
        assert (ledger.malformed, ledger.incomplete, ledger.connections_total) == (0, 0, 3)

    before = int(time.time() * 1000)
    run(work())
    found = defaultdict(list)
    for message in read_topic(kafka.bootstrap, f"raw.{source}", 30_000):
        found[message.key().decode()].append(message.value())
        assert before <= message.timestamp()[1] <= int(time.time() * 1000)
    for connection in stream.connections():
        data = b"".join(chunk.data for chunk in connection.chunks())
        assert frames(data) == found[connection.address]


def test_both_framings_on_one_connection(kafka: EmbeddedKafka, source: str, seed: int) -> None:
    """Counted frames and lines mixed at will, sent in odd pieces, are told apart."""
    choose = random.Random(seed)
    sent = [b"<13>%d " % n + choose.randbytes(20).hex().encode() for n in range(5_000)]
    wire = b"".join(
        b"%d %b" % (len(line), line) if choose.random() < 0.5 else line + b"\n" for line in sent
    )

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        position = 0
        while position < len(wire):
            size = choose.choice((1, 7, 500, 4_000))
            writer.write(wire[position : position + size])
            await writer.drain()
            position += size
        writer.close()
        await until(lambda: agent.ledgers()[0].published == len(sent), "all messages")
        assert await agent.stop() == 0

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", len(sent))
    assert sent == values(found)
    assert {message.partition() for message in found} == {found[0].partition()}


def test_a_connection_that_breaks_off(kafka: EmbeddedKafka, source: str) -> None:
    """A reset in the middle of a message loses nothing: its bytes are in the topic as they came."""

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        for wire in (A1 + b"\n" + A1[:-3], b"29 " + A1 + b"29 " + A1[:-5], b""):
            client = socket.create_connection(agent.listeners[0].address)
            there = agent.ledgers()[0].bytes + len(wire)
            client.sendall(wire)
            await until(lambda: agent.ledgers()[0].bytes == there, "the bytes")  # noqa: B023
            await until(lambda: agent.ledgers()[0].connections == 1, "the connection")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            await until(lambda: agent.ledgers()[0].connections == 0, "the reset")
        ledger = agent.ledgers()[0]
        assert (ledger.incomplete, ledger.malformed, ledger.connections_total) == (1, 1, 3)
        assert await agent.stop() == 0
        assert agent.ledgers()[0].balanced

    run(work())
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 4))
    assert sorted([A1, A1[:-3], A1, b"29 " + A1[:-5]]) == sorted(found)


def test_octet_counting_alone_hangs_up_on_a_fault(kafka: EmbeddedKafka, source: str) -> None:
    """With framing octet a wrong count ends that connection only; what it sent is kept."""

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, framing="octet"))
        await agent.start()
        other = await asyncio.open_connection(*agent.listeners[0].address)
        reader, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(b"29 " + A1 + b"nonsense")
        assert await asyncio.wait_for(reader.read(), 60) == b""
        other[1].write(b"29 " + A1)
        other[1].close()
        await until(lambda: agent.ledgers()[0].published == 3, "the other's message")
        assert agent.ledgers()[0].connections_refused == 1
        await agent.stop()

    run(work())
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 3))
    assert sorted([A1, A1, b"nonsense"]) == sorted(found)


def test_empty_lines_are_counted_and_oversize_ones_split(kafka: EmbeddedKafka, source: str) -> None:
    """An empty line is no message; a message above the limit comes in pieces, all of it."""

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, limit=1_000, key="spread"))
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(b"\n\r\n" + b"x" * 2_500 + b"\n" + A1 + b"\n\n")
        writer.close()
        await until(lambda: agent.ledgers()[0].published == 4, "all pieces")
        ledger = agent.ledgers()[0]
        assert (ledger.empty, ledger.oversize, ledger.dropped_bytes) == (3, 1, 0)
        await agent.stop()

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", 4)
    assert sorted([b"x" * 1_000, b"x" * 1_000, b"x" * 500, A1]) == sorted(values(found))
    assert {message.key() for message in found} == {None}


def test_what_the_broker_refuses_is_counted(
    kafka: EmbeddedKafka, create_topic: Callable[..., str]
) -> None:
    """A message too large for its topic is refused with a reason; its neighbours get through."""
    source = create_topic("raw.small", max_message_bytes="2000").removeprefix("raw.")

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source), linger_ms=0)
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        for count, line in enumerate((A1, random.Random(1).randbytes(4_000).hex().encode(), A1), 1):
            writer.write(line + b"\n")
            await writer.drain()
            await until(lambda: agent.listeners[0].ledger.received == count, "a line")  # noqa: B023
            await until(lambda: agent.ledgers()[0].in_flight == 0, "an answer")
        ledger = agent.ledgers()[0]
        assert dict(ledger.refused) == {"MSG_SIZE_TOO_LARGE": 1}
        assert (ledger.received, ledger.published, ledger.balanced) == (3, 2, True)
        writer.close()
        await agent.stop()

    run(work())
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", 2)) == [A1, A1]


def resident_kb() -> int:
    """Memory of this process now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def test_a_thousand_connections(kafka: EmbeddedKafka, source: str) -> None:
    """A thousand open connections that all send: every line arrives, for less than 200 MB more.

    Other tests' memory is this process's too, so the growth is what counts.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_500:
        pytest.skip(f"only {hard} open files are allowed here")

    async def work() -> None:
        before = resident_kb()
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        clients = []
        for _ in range(1_000):
            _, writer = await asyncio.open_connection(*agent.listeners[0].address)
            clients.append(writer)
        await until(lambda: agent.ledgers()[0].connections == 1_000, "1,000 connections")
        for turn in range(10):
            for number, writer in enumerate(clients):
                writer.write(b"<13>client %d turn %d\n<13>half" % (number, turn))
            for number, writer in enumerate(clients):
                writer.write(b" of %d %d\n" % (number, turn))
        await until(lambda: agent.ledgers()[0].published == 20_000, "20,000 lines")
        grown = resident_kb() - before
        assert grown < 200_000, f"{grown} kB more with 1,000 connections"
        for writer in clients:
            writer.close()
        await until(lambda: agent.ledgers()[0].connections == 0, "the end of all")
        assert await agent.stop() == 0

    run(work())
    found = Counter(values(read_topic(kafka.bootstrap, f"raw.{source}", 20_000)))
    expected = Counter(
        text % (number, turn)
        for text in (b"<13>client %d turn %d", b"<13>half of %d %d")
        for number in range(1_000)
        for turn in range(10)
    )
    assert expected == found


def test_stop_publishes_what_was_sent_before(kafka: EmbeddedKafka, source: str) -> None:
    """What the agent's host had received when it was told to stop is in the topic afterwards."""
    lines = [b"<13>line %06d of a sender that is still connected" % n for n in range(20_000)]

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source))
        await agent.start()
        client = socket.create_connection(agent.listeners[0].address)
        await asyncio.to_thread(client.sendall, b"\n".join(lines))
        assert await agent.stop() == 0
        assert client.recv(1) == b""
        client.close()
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(agent.listeners[0].address)

    run(work())
    assert lines == values(read_topic(kafka.bootstrap, f"raw.{source}", len(lines)))


def test_pages_and_status_file(kafka: EmbeddedKafka, source: str, tmp_path: Path) -> None:
    """/health, /ready, /metrics, the status file: what goes on; a bare connect is no error."""

    async def page(address: tuple[str, int], path: str) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection(*address)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        answer = (await reader.read()).decode()
        writer.close()
        return int(answer.split(" ")[1]), answer.partition("\r\n\r\n")[2]

    async def work() -> None:
        file = tmp_path / "state" / "ingest.json"
        agent = make_agent(kafka.bootstrap, listener(source), status_file=file)
        await agent.start()
        assert agent.web is not None
        await until(lambda: agent.ready, "readiness")
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        writer.write(A1 + b"\n")
        await until(lambda: agent.ledgers()[0].published == 1, "one line")
        probe = socket.create_connection(agent.web)
        probe.close()
        assert await page(agent.web, "/health") == (200, "ok\n")
        assert await page(agent.web, "/ready") == (200, "ready\n")
        status, metrics = await page(agent.web, "/metrics")
        assert status == 200
        labels = f'listener="{agent.ledgers()[0].address}",protocol="tcp",source="{source}"'
        assert f"northbound_ingest_published_total{{{labels}}} 1.0" in metrics
        assert f"northbound_ingest_connections{{{labels}}} 1.0" in metrics
        assert (await page(agent.web, "/nothing"))[0] == 404
        await until(
            lambda: file.exists() and orjson.loads(file.read_bytes())["listeners"][0]["published"],
            "the status file",
        )
        written = orjson.loads(file.read_bytes())
        assert written["ready"] is True
        assert written["listeners"][0]["balanced"] is True
        writer.close()
        await agent.stop()
        assert orjson.loads(file.read_bytes())["stopping"] is True

    run(work())


def test_a_port_in_use_says_what_to_do(kafka: EmbeddedKafka, source: str) -> None:
    """An address that is taken stops the start with advice and leaves no listener open."""

    async def work() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = listener(source)
            object.__setattr__(busy, "port", taken.getsockname()[1])
            agent = make_agent(kafka.bootstrap, listener(source), busy)
            with pytest.raises(IngestError, match=r"Stop what uses the port, or set another"):
                await agent.start()
            first = agent.listeners[0].ledger.address.rpartition(":")
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((first[0], int(first[2])))

    run(work())


def test_a_missing_topic_says_what_to_do(
    kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent does not wait for ever for a topic that nobody made."""
    monkeypatch.setattr(topics, "SETTLE_S", 0.2)
    agent = make_agent(kafka.bootstrap, listener("nobody"))
    with pytest.raises(IngestError, match=r"no topic raw\.nobody in Kafka: run `northbound topics"):
        run(agent.start())


def test_the_demo_sends_to_loopback_only() -> None:
    """The demo's sender refuses other hosts, and says so when nothing listens."""
    stream = Stream(1, 10_000, START_MS, START_MS + 600_000)
    with pytest.raises(SendError, match="expected a loopback address"):
        run(send(stream, "192.0.2.1", 514))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(SendError, match="cannot be reached"):
        run(send(stream, "127.0.0.1", port))

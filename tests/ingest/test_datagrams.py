"""UDP and Unix sockets: exact bytes by sender, kernel drops counted, nothing silent."""

import asyncio
import socket
import subprocess
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest

from app.broker.server import EmbeddedKafka
from app.ingest.udp import DatagramListener
from tests.ingest.peers import need
from tests.ingest.rig import listener, make_agent, read_topic, run, until, values

pytestmark = pytest.mark.broker

LINE = b"<13>Oct 11 22:14:15 host app: %d %d"


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of four partitions."""
    return create_topic("raw.udp", partitions=4).removeprefix("raw.")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::"])
def test_udp(kafka: EmbeddedKafka, source: str, host: str) -> None:
    """Every datagram is one message, by its sender's address, in that sender's order.

    Trailers are stripped, empty datagrams counted.
    """
    peers = ["127.0.0.1", "127.0.0.2", "127.0.0.3"] if host != "::1" else ["::1"]

    async def work() -> None:
        settings = listener(source, protocol="udp", threads=2, receive_buffer=8 << 20)
        object.__setattr__(settings, "host", host)
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        port = agent.listeners[0].address[1]
        clients = []
        for peer in peers:
            clients.append(
                socket.socket(socket.AF_INET6 if ":" in peer else socket.AF_INET, socket.SOCK_DGRAM)
            )
            clients[-1].bind((peer, 0))
            clients[-1].connect(("::1" if ":" in peer else "127.0.0.1", port))
        for n in range(1_000):
            for number, client in enumerate(clients):
                client.send(LINE % (number, n) + (b"\r\n", b"\0", b"\n", b"")[n % 4])
            if n % 50 == 49:  # else the kernel drops what a busy machine does not fetch in time
                so_far = (n + 1) * len(clients)
                await until(lambda: agent.ledgers()[0].received == so_far, "a burst")  # noqa: B023
        clients[0].send(b"")
        clients[0].send(b"\n")
        clients[0].send(b"x" * 60_000)
        total = 1_000 * len(peers) + 1
        await until(lambda: agent.ledgers()[0].published == total, "all datagrams")
        ledger = agent.ledgers()[0]
        assert (ledger.empty, ledger.kernel_drops, ledger.balanced) == (2, 0, True)
        assert await agent.stop() == 0
        for client in clients:
            client.close()

    run(work())
    found = defaultdict(list)
    for message in read_topic(kafka.bootstrap, f"raw.{source}", 1_000 * len(peers) + 1):
        found[message.key().decode()].append(message.value())
    assert sorted(found) == peers
    assert found[peers[0]].pop() == b"x" * 60_000
    for number, peer in enumerate(peers):
        assert found[peer] == [LINE % (number, n) for n in range(1_000)]


def test_kernel_drops_are_counted(kafka: EmbeddedKafka, source: str) -> None:
    """What the kernel had to drop is in the ledger: sent = received + kernel_drops."""

    async def work() -> None:
        settings = listener(source, protocol="udp", receive_buffer=65_536)
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        udp = agent.listeners[0]
        assert isinstance(udp, DatagramListener)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(udp.address)
            with udp.receivers[0].lock:  # a receiver that does not come round
                for n in range(5_000):
                    client.send(LINE % (0, n))
            client.send(b"<13>the last")
        await until(
            lambda: agent.ledgers()[0].received + agent.ledgers()[0].kernel_drops == 5_001,
            "every datagram in the books",
        )
        assert agent.ledgers()[0].kernel_drops > 1_000
        assert await agent.stop() == 0
        assert agent.ledgers()[0].balanced

    run(work())


def test_real_logger(kafka: EmbeddedKafka, source: str) -> None:
    """util-linux logger over UDP."""
    need("logger")

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener(source, protocol="udp"))
        await agent.start()
        host, port = agent.listeners[0].address
        argv = ["logger", "--udp", "--server", host, "--port", str(port), "--tag", "t"]
        for n in range(5):
            done = await asyncio.to_thread(subprocess.run, [*argv, f"number {n}"], check=True)
            assert done.returncode == 0
        await until(lambda: agent.ledgers()[0].published == 5, "five messages")
        assert await agent.stop() == 0

    run(work())
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 5))
    assert [line[-8:] for line in found if line] == [b"number %d" % n for n in range(5)]


@pytest.mark.parametrize("datagram", [False, True])
def test_unix_sockets(kafka: EmbeddedKafka, source: str, tmp_path: Path, datagram: bool) -> None:
    """A stream or datagram socket file, with its permissions; a stale one is replaced."""
    path = tmp_path / "in.sock"
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(path))
    stale.close()
    lines = [LINE % (0, n) for n in range(5_000)]

    async def work() -> None:
        settings = listener(source, protocol="unix", datagram=datagram, path=path, mode=0o600)
        agent = make_agent(kafka.bootstrap, settings)
        await agent.start()
        assert path.stat().st_mode & 0o777 == 0o600
        kind = socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM

        def send() -> None:
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.connect(str(path))
                for line in lines:
                    client.sendall(line if datagram else line + b"\n")

        await asyncio.to_thread(send)
        await until(lambda: agent.ledgers()[0].published == len(lines), "all lines")
        assert await agent.stop() == 0
        assert not path.exists()

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", len(lines))
    assert values(found) == lines
    assert Counter(message.key() for message in found) == {b"unix": len(lines)}

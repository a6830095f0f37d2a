"""The HTTP connector: 200 means that Kafka has every line; all else says what the sender may do."""

import asyncio
import datetime as dt
import gzip
import http.client
import json
import logging
import os
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker import certificates, ports
from app.broker.server import EmbeddedKafka
from app.ingest.agent import IngestAgent
from app.ingest.connectors import http as connector
from app.ingest.connectors.http import HttpSettings
from app.ingest.tls import TlsSettings
from app.ingest.topics import IngestError
from tests.ingest.connectors.rig import Agent
from tests.ingest.peers import wait_for
from tests.ingest.rig import make_agent, read_topic, run, until, values

pytestmark = pytest.mark.broker

TOKEN = "correct-horse-battery"


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic of one partition."""
    return create_topic("raw.http").removeprefix("raw.")


def agent_of(bootstrap: str, source: str, **options: Any) -> IngestAgent:
    """An agent with one HTTP connector on a free port."""
    settings = HttpSettings(source=source, host="127.0.0.1", port=0, **options)
    return make_agent(bootstrap, ticks={source: 3600.0}, connectors=(settings,))


def url(agent: IngestAgent, path: str = "/", scheme: str = "http") -> str:
    """Where its connector is."""
    _, port = agent.listeners[0].address
    return f"{scheme}://localhost:{port}{path}"


def test_all_lines_of_many_requests(kafka: EmbeddedKafka, source: str) -> None:
    """Requests at once, plain and gzip, JSON lines and raw ones: each line once, each in its
    request's order; the answer says how many."""
    bodies = [
        [json.dumps({"request": n, "line": m, "text": "é"}).encode() for m in range(50)]
        for n in range(200)
    ]

    async def work() -> None:
        agent = agent_of(kafka.bootstrap, source, path="/in")
        await agent.start()

        async def post(number: int) -> None:
            data = b"\n".join(bodies[number]) + (b"\r\n\n" if number % 3 else b"")
            headers = {}
            if number % 2:
                data, headers = gzip.compress(data), {"Content-Encoding": "gzip"}
            async with client.post(url(agent, "/in"), data=data, headers=headers) as answer:
                assert (answer.status, await answer.json()) == (200, {"accepted": 50})

        async with aiohttp.ClientSession() as client:
            await asyncio.gather(*map(post, range(200)))
            async with client.post(url(agent, "/in")) as answer:
                assert (answer.status, await answer.json()) == (200, {"accepted": 0})
        ledger = agent.ledgers()[0]
        assert (ledger.received, ledger.published, ledger.balanced) == (10_000, 10_000, True)
        assert ledger.acknowledgements == 200
        assert await agent.stop() == 0

    run(work())
    found = read_topic(kafka.bootstrap, f"raw.{source}", 10_000)
    assert sorted(values(found)) == sorted(line for body in bodies for line in body)
    assert {message.key() for message in found} == {b"127.0.0.1"}
    came: list[list[bytes]] = [[] for _ in bodies]
    for line in filter(None, values(found)):
        came[json.loads(line)["request"]].append(line)
    assert came == bodies


def test_refusals(
    kafka: EmbeddedKafka, source: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each mistake has its status, nothing of such a request is published, and no token is shown.

    A zip bomb ends in 413, as do bodies above the limit with a length and without one.
    """
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\nsecond-token\n")
    caplog.set_level(logging.DEBUG)
    good = {"Authorization": f"Bearer {TOKEN}"}
    packed = {**good, "Content-Encoding": "gzip"}

    async def without_length() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b"x" * 1_000

    async def work() -> None:
        agent = agent_of(kafka.bootstrap, source, token_file=file, path="/in", max_body=20_000)
        await agent.start()
        assert TOKEN not in repr(agent.settings)
        cases: list[tuple[int, str, str, Any, dict[str, str]]] = [
            (401, "POST", "/in", b"a", {}),
            (401, "POST", "/in", b"a", {"Authorization": "Bearer wrong"}),
            (401, "POST", "/in", b"a", {"Authorization": f"Basic {TOKEN}"}),
            (401, "POST", "/in", b"a", {"Authorization": "Bearer "}),
            (401, "GET", "/none", None, {}),
            (404, "POST", "/", b"a", good),
            (405, "GET", "/in", None, good),
            (415, "POST", "/in", b"a", {**good, "Content-Encoding": "br"}),
            (400, "POST", "/in", b"a", packed),
            (400, "POST", "/in", gzip.compress(b"a" * 100)[:-5], packed),
            (413, "POST", "/in", b"a" * 20_001, good),
            (413, "POST", "/in", without_length(), good),
            (413, "POST", "/in", gzip.compress(bytes(10_000_000)), packed),
            (200, "POST", "/in", b"one", good),
            (200, "POST", "/in", b"two", {"Authorization": "bearer second-token"}),
        ]
        async with aiohttp.ClientSession() as client:
            for status, method, path, data, headers in cases:
                sent = client.request(method, url(agent, path), data=data, headers=headers)
                async with sent as answer:
                    assert answer.status == status, (method, path, headers)
                    assert answer.content_type == "application/json"
        ledger = agent.ledgers()[0]
        assert dict(ledger.faults) == {"401": 5, "404": 1, "405": 1, "415": 1, "400": 2, "413": 3}
        assert (ledger.received, ledger.balanced) == (2, True)
        file.write_text("third-token\n")
        await agent.apply(agent.settings)
        async with aiohttp.ClientSession() as client:
            for token, status in ((TOKEN, 401), ("third-token", 200)):
                headers = {"Authorization": f"Bearer {token}"}
                async with client.post(url(agent, "/in"), data=b"3", headers=headers) as answer:
                    assert answer.status == status
        file.write_text("\n")
        with pytest.raises(IngestError, match="holds no token; write one, or leave the key out"):
            await agent.apply(agent.settings)
        await agent.stop()

    run(work())
    assert sorted(values(read_topic(kafka.bootstrap, f"raw.{source}", 3))) == [b"3", b"one", b"two"]
    assert TOKEN not in caplog.text
    assert "third-token" not in caplog.text


def test_a_sender_that_leaves(
    kafka: EmbeddedKafka, source: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A request that is cut off in its body is published in no part, and makes no noise."""

    async def work() -> None:
        agent = agent_of(kafka.bootstrap, source)
        await agent.start()
        address = agent.listeners[0].address
        for head in (b"Content-Length: 1000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"):
            reader, writer = await asyncio.open_connection(*address)
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + head + b"one\ntwo\nth")
            await writer.drain()
            await until(lambda: agent.ledgers()[0].connections == 1, "the connection")
            writer.transport.abort()
            await until(lambda: agent.ledgers()[0].connections == 0, "its end")
            del reader
        socket.create_connection(address).close()
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"<13>this is no HTTP\n\n")
        assert b"400 Bad Request" in await reader.read()
        writer.close()
        async with aiohttp.ClientSession() as client, client.post(url(agent), data=b"a") as answer:
            assert answer.status == 200
        assert agent.ledgers()[0].received == 1
        await agent.stop()

    run(work())
    assert values(read_topic(kafka.bootstrap, f"raw.{source}", 1)) == [b"a"]
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


def test_a_line_that_kafka_refuses(kafka: EmbeddedKafka, create_topic: Callable[..., str]) -> None:
    """A line that the topic never takes is answered with 422: to send it again would not help."""
    source = create_topic("raw.small", max_message_bytes="2000").removeprefix("raw.")

    async def work() -> None:
        agent = agent_of(kafka.bootstrap, source)
        await agent.start()
        data = os.urandom(4_000).hex().encode()
        async with aiohttp.ClientSession() as client, client.post(url(agent), data=data) as answer:
            assert answer.status == 422
            assert "1 of 1 lines" in (await answer.json())["error"]
        assert agent.ledgers()[0].balanced
        await agent.stop()

    run(work())


def test_https(kafka: EmbeddedKafka, source: str, tmp_path: Path) -> None:
    """A certificate of Northbound's own CA, verified; a sender that asks first whether it may."""
    now = dt.datetime.now(dt.UTC)
    made = certificates.ensure(tmp_path / "tls", ["localhost"], now, "ingest.pem")
    (tmp_path / "body").write_bytes(b"line\n" * 20_000)
    context = ssl.create_default_context(cafile=made.ca)

    async def work() -> None:
        agent = agent_of(kafka.bootstrap, source, tls=TlsSettings(made.server))
        await agent.start()
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as client,
            client.post(
                url(agent, scheme="https"),
                data=(tmp_path / "body").read_bytes(),
                expect100=True,
            ) as answer,
        ):
            assert (answer.status, await answer.json()) == (200, {"accepted": 20_000})
        await agent.stop()

    run(work())
    assert len(read_topic(kafka.bootstrap, f"raw.{source}", 20_000)) == 20_000


@pytest.mark.kill
def test_kafka_away(
    make_kafka: Callable[..., EmbeddedKafka], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Kafka does not answer, neither does 200: 503 with Retry-After, at once where it is
    known. Afterwards everything works again, and what was answered with 200 is there."""
    monkeypatch.setattr(connector, "ACK_S", 60.0)
    kafka = make_kafka()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("raw.nas", 1)])["raw.nas"].result(60)
    accepted = []

    async def work() -> None:
        agent = agent_of(kafka.bootstrap, "nas")
        await agent.start()

        async def post(number: int) -> int:
            data = b"line %d" % number
            async with client.post(url(agent), data=data) as answer:
                if answer.status == 200:
                    accepted.append(data)
                else:
                    assert answer.headers["Retry-After"] == "5"
                return answer.status

        async with aiohttp.ClientSession() as client:
            assert await post(0) == 200
            os.kill(kafka.pid, signal.SIGSTOP)
            try:
                with monkeypatch.context() as soon:
                    soon.setattr(connector, "ACK_S", 2.0)
                    assert await post(1) == 503
                await until(lambda: agent.listeners[0].stalled, "the stall")
                assert [await post(n) for n in range(2, 20)] == [503] * 18
                assert agent.ledgers()[0].received == 2
            finally:
                os.kill(kafka.pid, signal.SIGCONT)
            await until(lambda: agent.ledgers()[0].in_flight == 0, "Kafka")
            assert await post(20) == 200
        assert await agent.stop() == 0

    run(work())
    found = values(read_topic(kafka.bootstrap, "raw.nas", 3))
    assert set(accepted) <= set(found)
    assert len(found) == 3


@pytest.mark.kill
def test_what_was_answered_survives_kill_9(
    kafka: EmbeddedKafka, source: str, tmp_path: Path
) -> None:
    """Every line of a request that got 200 is in Kafka, whenever the agent is killed."""
    port = ports.free("127.0.0.1")
    (tmp_path / "token").write_text(TOKEN)
    keys = {"type": "http", "listen": f"127.0.0.1:{port}", "token_file": "token"}
    agent = Agent(tmp_path, kafka.bootstrap, source, keys)
    answered: list[bytes] = []
    stop = threading.Event()

    def pour(sender: int) -> None:
        number = 0
        while not stop.is_set():
            lines = [b"%d %d %d" % (sender, number, n) for n in range(100)]
            number += 1
            try:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                for _ in range(5):
                    head = {"Authorization": f"Bearer {TOKEN}"}
                    link.request("POST", "/", b"\n".join(lines), head)
                    answer = link.getresponse()
                    answer.read()
                    if answer.status == 200:
                        answered.extend(lines)
                    lines = [b"%d %d %d" % (sender, number, n) for n in range(100)]
                    number += 1
            except (OSError, http.client.HTTPException):
                stop.wait(0.05)
            finally:
                link.close()

    threads = [threading.Thread(target=pour, args=(n,)) for n in range(4)]
    try:
        agent.start()
        for thread in threads:
            thread.start()
        for _ in range(3):
            before = len(answered)
            wait_for(lambda: len(answered) > before + 5_000, "answers")  # noqa: B023
            agent.kill()
            agent.start()
        stop.set()
        for thread in threads:
            thread.join()
        agent.stop()
    finally:
        stop.set()
        agent.end()
    listing = subprocess.run(["ps", "-ef"], check=True, capture_output=True).stdout
    assert TOKEN.encode() not in listing + agent.log.read_bytes()
    assert set(answered) <= set(values(read_topic(kafka.bootstrap, f"raw.{source}", len(answered))))

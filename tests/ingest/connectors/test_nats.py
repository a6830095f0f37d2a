"""NATS JetStream with a real server: nothing lost across kill -9, nothing doubled otherwise."""

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.broker import ports
from app.broker.server import EmbeddedKafka
from app.commands.ingest import agent_settings
from app.config import load
from tests.ingest.connectors.rig import Agent, compare
from tests.ingest.peers import need, running, wait_for
from tests.ingest.rig import read_topic, values

nats = pytest.importorskip("nats")

pytestmark = pytest.mark.broker

PASSWORD = "a-secret-of-the-server"
MESSAGE = b"message %08d"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A server with JetStream that asks for a password; its address."""
    need("nats-server")
    port = ports.free("127.0.0.1")
    conf = tmp_path / "nats.conf"
    conf.write_text(
        f'listen: "127.0.0.1:{port}"\n'
        f'jetstream {{ store_dir: "{tmp_path / "jetstream"}" }}\n'
        f'authorization {{ user: northbound, password: "{PASSWORD}" }}\n'
    )
    with running(["nats-server", "-c", str(conf)], tmp_path / "nats.log"):
        yield f"nats://127.0.0.1:{port}"


async def connect(server: str) -> Any:
    """A client, once the server is up."""
    for _ in range(1_000):
        try:
            return await nats.connect(server, user="northbound", password=PASSWORD)
        except (OSError, nats.errors.Error):
            await asyncio.sleep(0.05)
    raise AssertionError("no NATS server")


class Sender:
    """Publishes numbered messages until told to stop."""

    def __init__(self, server: str) -> None:
        self.sent = 0
        self._server = server
        self._stop = threading.Event()
        self._made = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._made.wait(60)

    async def _run(self) -> None:
        client = await connect(self._server)
        stream = client.jetstream(timeout=60)
        await stream.add_stream(name="AUDIT", subjects=["audit.>"])
        self._made.set()
        while not self._stop.is_set():
            numbers = range(self.sent, self.sent + 50)
            await asyncio.gather(*(stream.publish("audit.nas", MESSAGE % n) for n in numbers))
            self.sent += 50
            await asyncio.sleep(0.03)
        await client.close()

    def stop(self) -> int:
        """No more; how many were sent."""
        self._stop.set()
        self._thread.join()
        return self.sent


async def consumer_of(server: str) -> Any:
    """What the server knows of the connector's consumer."""
    client = await connect(server)
    found = await client.jetstream(timeout=60).consumer_info("AUDIT", "follower")
    await client.close()
    return found


async def redeliver_soon(server: str) -> None:
    """What a killed agent did not acknowledge comes again after 5 s, not after half a minute."""
    config = (await consumer_of(server)).config
    config.ack_wait = 5.0
    client = await connect(server)
    await client.jetstream(timeout=60).add_consumer("AUDIT", config)
    await client.close()


@pytest.mark.kill
def test_kill_9_and_stops(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], server: str, tmp_path: Path
) -> None:
    """Clean stops double nothing; kill -9 of the agent loses nothing; in the end the server has
    every message acknowledged; the password is nowhere to be seen."""
    source = create_topic("raw.nats").removeprefix("raw.")
    keys = {
        "type": "nats",
        "servers": [server],
        "stream": "AUDIT",
        "subject": "audit.>",
        "durable": "follower",
        "username": "northbound",
        "password_env": "NATS_PASSWORD",
    }
    agent = Agent(tmp_path, kafka.bootstrap, source, keys, env={"NATS_PASSWORD": PASSWORD})
    sender = Sender(server)
    topic = f"raw.{source}"

    def progress() -> None:
        before = agent.ledgers()[0]["published"]
        wait_for(lambda: agent.ledgers()[0]["published"] > before + 500, "messages")

    try:
        for _ in range(2):
            agent.start()
            progress()
            agent.stop()
        stopped = values(read_topic(kafka.bootstrap, topic, 1_000))
        assert len(stopped) == len(set(stopped))
        asyncio.run(redeliver_soon(server))
        for _ in range(3):
            agent.start()
            progress()
            agent.kill()
        count = sender.stop()
        agent.start()
        wait_for(lambda: not asyncio.run(consumer_of(server)).num_pending, "the last messages")
        wait_for(lambda: not asyncio.run(consumer_of(server)).num_ack_pending, "acks")
        redelivered = agent.ledgers()[0]["faults"].get("redelivered", 0)
        agent.stop()
    finally:
        agent.end()
    missing, doubled, _ = compare(kafka.bootstrap, topic, (MESSAGE % n for n in range(count)))
    assert missing == 0
    assert doubled <= 3 * 20_000
    print(f"{count} messages, {doubled} doubled by three kills, {redelivered} delivered again")
    os.environ["NATS_PASSWORD"] = PASSWORD
    try:
        (settings,) = agent_settings(load(agent.file)).connectors
    finally:
        del os.environ["NATS_PASSWORD"]
    assert PASSWORD not in agent.log.read_text() + repr(settings)


@pytest.mark.kill
def test_nothing_is_acknowledged_before_kafka_has_it(
    make_kafka: Callable[..., EmbeddedKafka], server: str, tmp_path: Path
) -> None:
    """With Kafka stopped messages stay unacknowledged on the server; an agent that comes later
    gets them again."""
    from confluent_kafka.admin import AdminClient, NewTopic

    kafka = make_kafka()
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic("raw.nas", 1)])["raw.nas"].result(60)
    (tmp_path / "password").write_text(PASSWORD + "\n")
    keys = {
        "type": "nats",
        "servers": [server],
        "stream": "AUDIT",
        "subject": ">",
        "durable": "follower",
        "username": "northbound",
        "password_file": "password",
    }
    agent = Agent(tmp_path, kafka.bootstrap, "nas", keys)
    sender = Sender(server)
    try:
        agent.start()
        wait_for(lambda: agent.ledgers()[0]["published"] > 100, "messages")
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            before = agent.ledgers()[0]["received"]
            wait_for(lambda: agent.ledgers()[0]["received"] > before + 200, "more to be fetched")
            count = sender.stop()
            found = asyncio.run(consumer_of(server))
            assert found.ack_floor.stream_seq < count
            assert found.num_ack_pending > 0
            agent.kill()
            asyncio.run(redeliver_soon(server))
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        agent.start()
        wait_for(lambda: not asyncio.run(consumer_of(server)).num_ack_pending, "all acks", 90)
        missing, _, _ = compare(kafka.bootstrap, "raw.nas", (MESSAGE % n for n in range(count)))
        assert missing == 0
        agent.stop()
    finally:
        agent.end()

"""Topics of another cluster: each record once, whatever is killed, with its key and its time."""

import asyncio
import logging
import os
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from typer.testing import CliRunner

from app.broker import admin as topics
from app.broker import credentials, rights, tenants
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.commands.ingest import agent_settings
from app.config import ConfigError, load
from app.ingest.agent import IngestAgent
from app.ingest.connectors.kafka import KafkaSettings
from app.ingest.topics import IngestError
from tests.ingest.connectors.rig import Agent
from tests.ingest.peers import wait_for
from tests.ingest.rig import make_agent, read_all, read_topic, run, until, values
from topology.topics import Feeds, Names, declare

pytestmark = pytest.mark.broker

RECORD = b"record %08d"
START_MS = int(time.time() * 1000) - 600_000


def create(kafka: EmbeddedKafka, topic: str, partitions: int = 1, **config: str) -> None:
    """A topic on a broker."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_topics([NewTopic(topic, partitions, config=config)])[topic].result(60)


def declare_topics(agent: Agent) -> None:
    """As a user does."""
    argv = ["topics", "create", "--config", str(agent.file)]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 0, result.output


class Sender:
    """Writes numbered records to a topic of three partitions until told to stop."""

    def __init__(self, kafka: EmbeddedKafka, topic: str) -> None:
        self.sent = 0
        # Idempotent: its own retries must not double what the copy is judged by.
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap, "linger.ms": 5, "enable.idempotence": True}
        )
        self._topic = topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            for _ in range(20 if len(self._producer) < 10_000 else 0):  # a broker that is away
                number = self.sent
                value, key = RECORD % number, b"host-%d" % (number % 7)
                self._producer.produce(self._topic, value, key, timestamp=START_MS + number)
                self.sent += 1
            self._producer.poll(0)
            self._stop.wait(0.02)

    def stop(self) -> int:
        """No more; how many were sent."""
        self._stop.set()
        self._thread.join()
        assert self._producer.flush(60) == 0
        return self.sent


@pytest.mark.kill
def test_exactly_once_across_kill_9(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path
) -> None:
    """The agent is killed in the midst of copying, then the other cluster, then ours: every record
    is here once, with its key and time, in order for each key; the books balance."""
    ours, theirs = make_kafka(), make_kafka()
    create(theirs, "audit", 3)
    keys = {"type": "kafka", "bootstrap": theirs.bootstrap, "topics": ["audit"]}
    agent = Agent(tmp_path, ours.bootstrap, "nas", keys)
    declare_topics(agent)
    sender = Sender(theirs, "audit")

    def progress() -> None:
        before = agent.ledgers()[0]["published"]
        wait_for(lambda: agent.ledgers()[0]["published"] > before + 500, "records to be copied")

    def copied() -> list[Message]:
        """Records here that are no ticks, once all that were sent are there."""
        sent = (RECORD % number for number in range(sender.sent))
        everything = read_all(ours.bootstrap, "raw.nas", sent)
        return [message for message in everything if message.value() is not None]

    try:
        for _ in range(3):
            agent.start()
            progress()
            agent.kill()
        agent.start()
        progress()
        theirs.kill()
        theirs.start()
        progress()
        ours.kill()
        ours.start()
        progress()
        count = sender.stop()
        found = copied()
        agent.stop()
        agent.start()
        agent.stop()
    finally:
        agent.end()
    assert len(found) == count
    assert Counter(values(found)) == Counter(RECORD % n for n in range(count))
    by_key: dict[bytes, list[int]] = {}
    for message in found:
        number = int(message.value()[7:])
        assert message.key() == b"host-%d" % (number % 7)
        assert message.timestamp()[1] == START_MS + number
        by_key.setdefault(message.key(), []).append(number)
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert len(copied()) == count


@pytest.fixture
def source(create_topic: Callable[..., str]) -> str:
    """A source with a raw topic that takes small records only."""
    return create_topic("raw.copied", max_message_bytes="2000").removeprefix("raw.")


@pytest.fixture
def copy(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], source: str
) -> Callable[..., IngestAgent]:
    """An agent that copies within the session's broker: `copy("topic", **KafkaSettings)`."""
    offsets = create_topic("connector-offsets", cleanup_policy="compact")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(offsets, b"a-mark", b'["of-another-copy"]')
    producer.produce(offsets, b"7", b'["of-another-copy","cluster","topic",0]')
    producer.flush(60)

    def make(topic: str, **options: Any) -> IngestAgent:
        settings = KafkaSettings(
            source=source,
            bootstrap=kafka.bootstrap,
            topics=(topic,),
            theirs=(("bootstrap.servers", kafka.bootstrap),),
            name=f"copy-{source}",
            **{"offsets_topic": offsets, **options},
        )
        return make_agent(kafka.bootstrap, ticks={source: 3600.0}, connectors=(settings,))

    return make


def test_odd_records(
    kafka: EmbeddedKafka,
    source: str,
    copy: Callable[..., IngestAgent],
    create_topic: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No tombstone becomes a tick; a record that our topic never takes is counted and stops none
    of its neighbours; records that were gone before they were copied are told of."""
    topic = create_topic("odd")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for value in (b"one", None, b"", os.urandom(4_000), b"two"):
        producer.produce(topic, value)
    producer.flush(60)

    async def work(expected: int) -> None:
        agent = copy(topic)
        await agent.start()
        # Half a minute of it goes by as librdkafka waits for what is behind the refused record.
        await until(lambda: agent.ledgers()[0].published == expected, "records", 120)
        ledger = agent.ledgers()[0]
        assert ledger.balanced
        if expected == 3:
            assert (ledger.empty, dict(ledger.refused)) == (1, {"MSG_SIZE_TOO_LARGE": 1})
        assert await agent.stop() == 0

    caplog.set_level(logging.INFO)
    run(work(3))
    producer.produce(topic, b"gone")
    producer.produce(topic, b"three")
    producer.flush(60)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    place = TopicPartition(topic, 0, 6)
    admin.delete_records([place])[place].result(60)
    run(work(1))
    assert "gone from the other cluster" in caplog.text
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 4))
    assert found == [b"one", b"", b"two", b"three"]


def test_start_at_the_end(
    kafka: EmbeddedKafka,
    source: str,
    copy: Callable[..., IngestAgent],
    create_topic: Callable[..., str],
) -> None:
    """With `start: end` old records are left out, once: what comes between two runs is copied."""
    topic = create_topic("late", partitions=2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})

    def send(*numbers: int) -> None:
        for number in numbers:
            producer.produce(topic, b"%d" % number)
        producer.flush(60)

    async def work(expected: int, *numbers: int) -> None:
        agent = copy(topic, from_end=True)
        await agent.start()
        await until(lambda: agent.ledgers()[0].acknowledgements or expected, "the first places")
        await asyncio.to_thread(send, *numbers)
        await until(lambda: agent.ledgers()[0].published == expected + len(numbers), "records")
        await agent.stop()

    send(*range(100))
    run(work(0, *range(100, 150)))
    send(*range(150, 160))
    run(work(10, 160))
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 61))
    assert sorted(map(int, found)) == list(range(100, 161))


def test_a_topic_whose_end_was_cut_off(
    kafka: EmbeddedKafka,
    source: str,
    copy: Callable[..., IngestAgent],
    create_topic: Callable[..., str],
) -> None:
    """What is left of what was copied comes once; what is written behind it is copied, also where
    that is more than was cut off, and the agent was away meanwhile."""
    topic = create_topic("cut")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})

    def send(word: bytes, count: int, stamp: int) -> None:
        for number in range(count):
            producer.produce(topic, word + b" %d" % number, timestamp=stamp)
        producer.flush(30)

    async def work(published: int, faults: Counter[str]) -> None:
        agent = copy(topic)
        await agent.start()
        await until(
            lambda: (
                agent.ledgers()[0].published == published and agent.ledgers()[0].faults == faults
            ),
            "records",
        )
        assert await agent.stop() == 0

    send(b"copied", 5, START_MS)
    run(work(5, Counter()))
    # As short as after a power failure: Kafka cuts off no end at somebody's request.
    topics.delete(topics.connect({"bootstrap.servers": kafka.bootstrap}), [topic])
    create(kafka, topic)
    send(b"left", 2, START_MS - 60_000)
    run(work(0, Counter({"cut_off": 1})))
    send(b"new", 4, START_MS + 60_000)
    run(work(4, Counter()))
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 9))
    assert found == [b"copied %d" % n for n in range(5)] + [b"new %d" % n for n in range(4)]


def test_a_missing_offsets_topic(copy: Callable[..., IngestAgent]) -> None:
    """Without the topic for its offsets the agent does not start, and says what makes it."""
    agent = copy("any", offsets_topic="not-there")
    with pytest.raises(IngestError, match="no topic not-there in Kafka: run `northbound topics"):
        run(agent.start())


def test_sasl_ssl(kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path) -> None:
    """A cluster that asks for SCRAM over TLS, with a user that may read the topic and nothing else
    of ours; the password is in no log, process list or repr."""
    names = Names("other.")
    admin = topics.connect({"bootstrap.servers": kafka.bootstrap})
    topics.ensure(admin, declare(names, [], [Feeds("copied")], []), 1)
    tenants.add(admin, names, "copied", tmp_path / "secrets")
    file = credentials.password_file(tmp_path / "secrets", "copied")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(500):
        producer.produce(names.events("copied"), b"event %d" % number)
    producer.flush(60)
    keys = {
        "type": "kafka",
        "bootstrap": kafka.northbound,
        "topics": [names.events("copied")],
        "security": {
            "protocol": "SASL_SSL",
            "mechanism": "SCRAM-SHA-256",
            "username": rights.user_name(names, "copied"),
            "password_file": str(file),
            "ca_file": str(kafka.ca),
        },
    }
    prefix = unique("sasl") + "."
    external = {"bootstrap": kafka.bootstrap, "replication": 1}
    agent = Agent(tmp_path, "", "nas", keys, kafka={"external": external, "topic_prefix": prefix})
    declare_topics(agent)
    password = file.read_text().strip()
    try:
        agent.start()
        wait_for(lambda: agent.ledgers()[0]["published"] == 500, "events")
        listing = subprocess.run(["ps", "-ef"], check=True, capture_output=True).stdout
        agent.stop()
    finally:
        agent.end()
    (settings,) = agent_settings(load(agent.file)).connectors
    seen = listing + agent.log.read_bytes() + repr(settings).encode()
    assert password.encode() not in seen
    assert len(read_topic(kafka.bootstrap, f"{prefix}raw.nas", 500)) == 500
    file.unlink()
    problem = r"connectors\[0\]\.security\.password_file: .*No such file"
    with pytest.raises(ConfigError, match=problem):
        agent_settings(load(agent.file))

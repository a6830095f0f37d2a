"""Kafka away or slow: senders are held back, memory stays bounded, nothing is lost."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker.server import EmbeddedKafka
from app.ingest.publisher import Publisher
from tests.ingest.rig import listener, make_agent, read_topic, resident_mb, run, until, values

pytestmark = [pytest.mark.broker, pytest.mark.kill]

LINE = b"<13>line %07d " + b"x" * 1_000
COUNT = 30_000
BUFFER_KIB = 4_096


def with_topic(kafka: EmbeddedKafka, partitions: int, source: str = "nas") -> EmbeddedKafka:
    """A broker that is not the session's, with the raw topic of this source."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    topic = f"raw.{source}"
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(60)
    return kafka


def test_a_stopped_broker_holds_senders_back(shaken_kafka: EmbeddedKafka) -> None:
    """With the broker stopped (SIGSTOP) the sender blocks, memory stays; after SIGCONT all arrives.

    30 MB are sent through a bound of 4 MiB; what is beyond it stays in the sender.
    """
    kafka = with_topic(shaken_kafka, 2, "stopped")
    sent = 0

    def pour(address: tuple[str, int]) -> None:
        nonlocal sent
        with socket.create_connection(address) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)
            for first in range(0, COUNT, 100):
                client.sendall(b"".join(LINE % n + b"\n" for n in range(first, first + 100)))
                sent += 100

    async def work() -> None:
        nonlocal sent
        agent = make_agent(kafka.bootstrap, listener("stopped"), buffer_kib=BUFFER_KIB)
        await agent.start()
        await until(lambda: agent.ready, "readiness")
        os.kill(kafka.pid, signal.SIGSTOP)
        try:
            before = resident_mb()
            sender = asyncio.create_task(asyncio.to_thread(pour, agent.listeners[0].address))
            await until(lambda: agent.listeners[0].paused, "the pause")
            await until(lambda: not agent.ready, "readiness to go red")
            held = sent
            await asyncio.sleep(1.0)
            assert agent.listeners[0].paused
            # The kernel's buffers may still take some; then the sender stands still.
            while held != sent:
                held = sent
                await asyncio.sleep(0.5)
            assert held < COUNT
            assert resident_mb() - before < 60
            ledger = agent.ledgers()[0]
            assert ledger.in_flight * len(LINE) < (BUFFER_KIB + 1_024) * 1_024
            assert ledger.balanced
        finally:
            os.kill(kafka.pid, signal.SIGCONT)
        await sender
        await until(lambda: agent.ledgers()[0].published == COUNT, "all lines", 120)
        await until(lambda: agent.ready, "readiness")
        assert agent.ledgers()[0].pauses > 0
        assert await agent.stop() == 0

    run(work())
    found = values(read_topic(kafka.bootstrap, "raw.stopped", COUNT))
    assert found == [LINE % n for n in range(COUNT)]


def test_a_broker_that_is_killed_loses_and_doubles_nothing(shaken_kafka: EmbeddedKafka) -> None:
    """Kill -9 of the broker in mid-stream: once it is back, each line is there once.

    An agent that then has to end without Kafka says how many messages it could not publish.
    """
    kafka = with_topic(shaken_kafka, 2, "killed")
    lines = [b"<13>number %06d" % n for n in range(40_000)]

    async def work() -> None:
        agent = make_agent(kafka.bootstrap, listener("killed"), flush_s=1.0)
        await agent.start()
        _, writer = await asyncio.open_connection(*agent.listeners[0].address)
        for first in range(0, len(lines), 500):
            writer.write(b"\n".join(lines[first : first + 500]) + b"\n")
            await writer.drain()
            await asyncio.sleep(0.002)
            if first == 15_000:
                kafka.kill()
            if first == 25_000:
                await asyncio.to_thread(kafka.start)
        await until(lambda: agent.ledgers()[0].published == len(lines), "all lines", 120)
        found = await asyncio.to_thread(read_topic, kafka.bootstrap, "raw.killed", len(lines))
        assert values(found) == lines
        kafka.kill()  # it is the last that needs it
        writer.write(b"<13>one\n<13>two\n")
        await until(lambda: agent.ledgers()[0].received == len(lines) + 2, "two lines")
        assert await agent.stop() == 2
        assert agent.ledgers()[0].balanced
        writer.close()

    run(work())


def test_a_fatal_error_renews_the_producer(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path
) -> None:
    """Kafka came back without its data: what the producer then calls fatal costs no message."""
    first = make_kafka(data=tmp_path / "old")
    with_topic(first, partitions=1)
    publisher = Publisher({"bootstrap.servers": first.bootstrap}, "raw.nas")
    publisher.publish([b"old"], b"key")
    assert publisher.flush(60) == 0
    address = first.bootstrap
    first.kill()
    second = make_kafka(data=tmp_path / "new", internal=address)
    with_topic(second, partitions=1)
    # Its producer ids begin anew, so that another producer is now the one that the first was.
    usurper = Publisher({"bootstrap.servers": address}, "raw.nas")
    usurper.publish([b"%d" % n for n in range(9)], b"key")
    assert usurper.flush(60) == 0
    before = time.time()
    publisher.publish([b"fresh"], b"key")
    publisher.publish([b"spooled"], b"key", timestamp=1_700_000_000_000)
    taken = time.time()
    assert publisher.flush(60) == 0
    assert publisher.published == 3
    assert publisher.renewed == 1
    found = read_topic(address, "raw.nas", 11)[9:]
    assert values(found) == [b"fresh", b"spooled"]
    fresh, spooled = (message.timestamp()[1] for message in found)
    assert before - 0.1 <= fresh / 1000 <= taken + 0.1
    assert spooled == 1_700_000_000_000

"""An input that cannot end keeps none of the others from saving what they hold."""

import asyncio
import datetime as dt
import socket
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from confluent_kafka import KafkaError, Message

from app.broker import certificates
from app.ingest.agent import IngestAgent
from app.ingest.lines import LineListener
from app.ingest.publisher import Publisher as Publishing
from app.ingest.settings import AgentSettings
from app.ingest.streams import END_S
from app.ingest.tls import TlsSettings
from app.supervisor import GRACE
from tests.ingest.rig import listener, until
from topology.topics import Names

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Publisher:
    """Takes everything at once."""

    in_flight = 0
    full = stalled = False

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def publish(self, lines: list[bytes], *_: Any) -> bool:
        self.lines += lines
        return True


@pytest.mark.parametrize("loop", LOOPS)
def test_a_sender_that_reads_nothing_holds_up_no_stop(tmp_path: Path, loop: str) -> None:
    """As a syslog daemon that only writes: it never agrees to the end of its TLS connection, which
    TLS waits for half a minute for, longer than a supervisor waits for an agent."""
    made = certificates.ensure(tmp_path, ["localhost"], dt.datetime.now(dt.UTC))
    context = ssl.create_default_context(cafile=made.ca)

    def connect(address: tuple[str, int]) -> ssl.SSLSocket:
        found = context.wrap_socket(socket.create_connection(address), server_hostname="localhost")
        found.sendall(b"a line\n")
        return found

    async def work() -> list[bytes]:
        publisher: Any = Publisher()
        settings = listener("q", protocol="tls", tls=TlsSettings(made.server))
        listening = LineListener(settings, publisher)
        await listening.start()
        sender = await asyncio.to_thread(connect, listening.address)
        await until(lambda: publisher.lines, "the line")
        await asyncio.wait_for(listening.stop(0.2), 20)
        sender.close()
        return list(publisher.lines)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        assert runner.run(work()) == [b"a line"]


class Input:
    """Says what becomes of it."""

    paused = waiting = False

    def __init__(self, name: str, said: list[str], *, spool: bool = False) -> None:
        self.settings = SimpleNamespace(source=name, spool_bytes=int(spool))
        self.in_flight, self.stalled = 1, True
        self.said = said

    def turn(self) -> None: ...

    async def stop(self, _: float) -> None: ...

    async def close(self) -> None:
        self.said.append(self.settings.source)


class Broken(Input):
    """Cannot stop."""

    async def stop(self, _: float) -> None:
        raise PermissionError(13, "Permission denied")


async def ended(*kinds: tuple[type[Input], bool]) -> list[str]:
    agent = IngestAgent(AgentSettings(listeners=(), ticks={}, web=None, flush_s=0.3), {}, Names())
    said: list[str] = []
    agent.listeners = [
        kind(f"{number}", said, spool=spool)  # type: ignore[misc]
        for number, (kind, spool) in enumerate(kinds)
    ]
    await agent.stop()
    return said


def test_lines_go_into_their_spool_while_others_wait_for_kafka() -> None:
    """Kafka is away and a supervisor's patience is not endless: what can be saved is saved first,
    not behind the listener that has nothing but Kafka."""
    assert asyncio.run(ended((Input, False), (Input, True))) == ["1", "0"]


def test_one_that_cannot_stop_is_closed_like_the_others() -> None:
    """As when its socket file's folder may not be written any more."""
    assert sorted(asyncio.run(ended((Broken, True), (Input, True)))) == ["0", "1"]


def test_nothing_ticks_past_lines_of_a_listener_that_is_leaving() -> None:
    """Those lines are old by the time Kafka takes them; a tick before them would make them late,
    and no window would have them."""

    async def work() -> tuple[bool, bool]:
        agent = IngestAgent(AgentSettings(listeners=(), ticks={}, web=None), {}, Names())
        agent._leaving = [Input("q", [])]  # type: ignore[list-item]
        return agent._busy("raw.q"), agent._busy("raw.r")

    assert asyncio.run(work()) == (True, False)


def test_an_agent_that_waits_for_kafka_is_not_killed() -> None:
    """It says how many lines Kafka did not take, and ends with status 1."""
    settings = AgentSettings(listeners=(), ticks={})
    assert settings.drain_s + END_S + settings.flush_s < GRACE - 5


class Producer:
    """Reports what is purged, as librdkafka does, and takes more."""

    def __init__(self, publisher: Publishing) -> None:
        self.sent: list[bytes] = []
        self.left: list[bytes] = []
        self._publisher = publisher

    def __len__(self) -> int:
        return len(self.left)

    def produce(self, _: str, value: bytes, *__: Any, **___: Any) -> None:
        self.sent.append(value)
        self.left.append(value)

    def purge(self) -> None:
        for value in self.left:
            error = KafkaError(KafkaError._PURGE_INFLIGHT)
            self._publisher._on_error(error, Message(topic="raw.q", value=value))
        self.left.clear()

    def poll(self, _: float) -> int:
        return 0


def test_a_closed_publisher_sends_nothing_again() -> None:
    """The agent still serves it for a moment. A file's place is saved before that, and its lines
    come from there at the next start: they would be in Kafka twice."""
    publisher = Publishing({"bootstrap.servers": "127.0.0.1:1"}, "raw.q")
    producer = publisher._producer = Producer(publisher)
    publisher.publish([b"a", b"b"], b"k")
    publisher.close()
    for now in (5.0, 9.0):
        publisher.poll(now)
    assert producer.sent == [b"a", b"b"]
    assert publisher.in_flight == 2

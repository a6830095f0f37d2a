"""An input that fails, as with its disk, takes none of the others with it; one that leaves while
Kafka is away takes none of its lines."""

import asyncio
import errno
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.commands import ingest
from app.ingest.agent import IngestAgent
from app.ingest.lines import LineListener
from app.ingest.settings import AgentSettings
from app.ingest.topics import IngestError
from topology.topics import Names


class Input:
    """Counts what is asked of it; fails where it is told to."""

    in_flight = 0
    stalled = paused = waiting = False

    def __init__(self, *, broken: bool) -> None:
        self.settings = SimpleNamespace(source="q", spool_bytes=0)
        self.broken = broken
        self.turns = self.closes = 0

    def turn(self) -> None:
        self.turns += 1
        self._fail()

    async def stop(self, _: float) -> None: ...

    async def close(self) -> None:
        self.closes += 1
        self._fail()

    def _fail(self) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")


async def served() -> list[Any]:
    agent = IngestAgent(AgentSettings(listeners=(), ticks={}, web=None), {}, Names())
    inputs: list[Any] = [Input(broken=True), Input(broken=False)]
    agent.listeners = inputs
    for _ in range(3):
        agent._turn(agent.listeners)
    await agent.stop()
    return inputs


def test_the_others_are_served_and_closed() -> None:
    """In every turn, and at the end, when they put what Kafka has not taken into their spools."""
    first, second = asyncio.run(served())
    assert second.turns == first.turns >= 3
    assert (first.closes, second.closes) == (1, 1)


class Waiting(LineListener):
    """A TCP listener with lines that Kafka takes when it is told to."""

    def __init__(self) -> None:
        self.settings: Any = SimpleNamespace(source="q", spool_bytes=0)
        self.publisher: Any = SimpleNamespace(in_flight=3, stalled=True, full=False)
        self.spill = None
        self.paused = False
        self.closes = 0

    def turn(self) -> None: ...

    async def stop(self, drain_s: float) -> None: ...

    async def close(self) -> None:
        self.closes += 1


class Quiet(IngestAgent):
    """Asks Kafka nothing."""

    async def _require(self, settings: AgentSettings) -> None: ...

    def _start_ticker(self) -> None: ...


async def left() -> tuple[int, int]:
    settings = AgentSettings(listeners=(), ticks={}, web=None, flush_s=0.0)
    agent = Quiet(settings, {}, Names())
    gone = Waiting()
    agent.listeners = [gone]
    await agent.apply(settings)
    await agent._part()
    before = gone.closes
    gone.publisher.in_flight = 0
    await agent._part()
    await agent.stop()
    return before, gone.closes


def test_lines_of_a_listener_that_is_taken_out_wait_for_kafka() -> None:
    """Their senders will not send them again, so it is closed once Kafka has them."""
    assert asyncio.run(left()) == (0, 1)


def test_a_damaged_certificate_ends_no_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is looked after where changes of northbound.yaml are taken up, which goes on."""

    def damaged(_: object) -> None:
        raise ValueError("Unable to load PEM file")

    monkeypatch.setattr(ingest, "load", lambda _: None)
    monkeypatch.setattr(ingest, "_own_certificate", damaged)
    ingest._renew(tmp_path / "northbound.yaml")
    assert "The certificate cannot be renewed." in caplog.text


def test_pages_move_with_a_reload() -> None:
    """What the agent says of itself is at the new address, and the old one is free."""

    async def work() -> None:
        agent = Quiet(AgentSettings(listeners=(), ticks={}), {}, Names())
        await agent.start()
        before = agent.web
        await agent.apply(AgentSettings(listeners=(), ticks={}, web=("127.0.0.2", 0)))
        assert agent.web is not None
        assert (agent.web[0], agent.status()["web"].startswith("127.0.0.2:")) == ("127.0.0.2", True)
        _, writer = await asyncio.open_connection(*agent.web)
        writer.close()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            busy = AgentSettings(listeners=(), ticks={}, web=taken.getsockname())
            with pytest.raises(IngestError, match=r"ingest\.web: .*in use"):
                await agent.apply(busy)
        assert agent.web[0] == "127.0.0.2"
        assert before != agent.web
        await agent.stop()

    asyncio.run(work())


def test_another_kafka_takes_a_restart() -> None:
    """A reload says so, where it would else be taken for done."""
    agent = IngestAgent(
        AgentSettings(listeners=(), ticks={}, web=None), {"bootstrap.servers": "a:1"}, Names("p.")
    )
    assert agent.serves({"bootstrap.servers": "a:1"}, Names("p."))
    assert not agent.serves({"bootstrap.servers": "b:1"}, Names("p."))
    assert not agent.serves({"bootstrap.servers": "a:1"}, Names())

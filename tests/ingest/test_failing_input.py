"""An input that fails, as with its disk, takes none of the others with it."""

import asyncio
import errno
from types import SimpleNamespace
from typing import Any

from app.ingest.agent import IngestAgent
from app.ingest.settings import AgentSettings
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

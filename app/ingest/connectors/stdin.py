"""Standard input, to its end: what `northbound ingest --stdin` reads. Not in northbound.yaml.

A pipe is not read while Kafka does not keep up, so that its writer waits.
"""

import asyncio
import os
import select
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from app.ingest.confirming import ConfirmingPublisher
from app.ingest.connectors.connector import PublishingConnector
from app.ingest.framing import LIMIT, Framer, Mode, Oversize
from app.ingest.settings import AgentSettings, ConnectorSettings

READ_SIZE: Final = 256 * 1024
WAIT_S: Final = 0.2
STDIN: Final = 0


@dataclass(frozen=True, kw_only=True)
class StdinSettings(ConnectorSettings):
    """`framing`: how it is cut; the end of the input ends its last line."""

    kind: ClassVar[str] = "stdin"

    framing: Mode = "lf"
    limit: int = LIMIT
    oversize: Oversize = "truncate"

    @property
    def place(self) -> str:
        """There is one."""
        return "standard input"


class StdinConnector(PublishingConnector[StdinSettings]):
    """`ended` is set once all was read and Kafka has it, or once it cannot be read on."""

    def __init__(self, settings: StdinSettings, publisher: ConfirmingPublisher) -> None:
        super().__init__(settings, publisher)
        self.ended = asyncio.Event()
        self.problem = ""
        """Why it was not read to its end."""
        self._framer = Framer(settings.framing, limit=settings.limit, oversize=settings.oversize)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to read."""
        self._task = asyncio.create_task(self._run(), name="stdin")

    async def _run(self) -> None:
        framer = self._framer
        try:
            while not framer.error:
                await self.room()
                data = await asyncio.to_thread(_read)
                if data:  # also at a stop: nobody can read it from the pipe again
                    self.ledger.bytes += len(data)
                    self._take(framer.feed(data))
                elif data is not None:
                    break
                if self.ending.is_set():
                    self.problem = "stopped before the end of standard input"
                    return
            self._take(framer.end())
            if framer.error:
                self.problem = f"{framer.error}. What follows was not published"
            while self.in_flight and not self.ending.is_set():  # noqa: ASYNC110  # the agent polls
                await asyncio.sleep(WAIT_S / 20)
        except OSError as error:
            self.problem = f"standard input cannot be read: {error.strerror}"
        finally:
            self.ended.set()

    def _take(self, lines: list[bytes]) -> None:
        framer, ledger = self._framer, self.ledger
        ledger.received += len(lines)
        ledger.empty, ledger.oversize = framer.empty, framer.oversize
        ledger.dropped_bytes, ledger.malformed = framer.dropped, framer.malformed
        if lines:
            self.publisher.confirm(lines, b"stdin", self.settings.key, self)

    def settle(self) -> None:
        """Kafka has some of it; all of it is awaited at the end."""

    async def stop(self, drain_s: float) -> None:  # noqa: ARG002  # what is not read stays there
        """Read no more."""
        self.ending.set()
        if self._task is not None:
            await self._task


def _read() -> bytes | None:
    """What there is; b"" at the end; None if nothing came for a while."""
    ready, _, _ = select.select([STDIN], [], [], WAIT_S)
    return os.read(STDIN, READ_SIZE) if ready else None


def make(
    chosen: StdinSettings, agent: AgentSettings, client: Mapping[str, Any], topic: str
) -> StdinConnector:
    """A connector that is not started."""
    return StdinConnector(chosen, ConfirmingPublisher.of(agent, client, topic))

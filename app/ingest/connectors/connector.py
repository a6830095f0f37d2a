"""What the agent asks of a connector; docs/connectors.md is the recipe for writing one."""

import asyncio
import contextlib
import time
from typing import Final, Generic, TypeVar

from app.ingest.confirming import ConfirmingPublisher
from app.ingest.ledger import Ledger
from app.ingest.settings import ConnectorSettings

Settings = TypeVar("Settings", bound=ConnectorSettings)
ROOM_S: Final = 0.005


class Connector(Generic[Settings]):
    """Lines from somewhere into one raw topic, counted in `ledger`.

    What was read is forgotten at its origin only once Kafka has it, with acks=all.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger(settings.kind, settings.source, settings.place)
        self.address: tuple[str, int] | str = settings.place
        self.paused = False

    async def start(self) -> None:
        """Begin. Raises OSError with advice when what it needs cannot be had."""
        raise NotImplementedError

    async def stop(self, drain_s: float) -> None:
        """Take no more than what has arrived; at most `drain_s` seconds of waiting."""
        raise NotImplementedError

    async def close(self) -> None:
        """After `stop`, and after Kafka had time."""

    def reload(self) -> None:
        """Read again what stands in files: certificates, tokens. Raises OSError."""

    def warm(self) -> None:
        """Let the first line not wait for who leads the topic. Blocks a while."""

    def turn(self) -> None:
        """Called often."""

    @property
    def stalled(self) -> bool:
        """Whether Kafka takes nothing of what waits."""
        raise NotImplementedError

    @property
    def waiting(self) -> bool:
        """Whether messages wait here for Kafka longer than they should."""
        return self.stalled

    @property
    def in_flight(self) -> int:
        """Messages that were taken from their origin and that Kafka has not acknowledged."""
        return 0

    def account(self) -> Ledger:
        """The ledger as of now."""
        return self.ledger


class PublishingConnector(Connector[Settings]):
    """One that hands over lists of lines with `publisher.confirm`.

    Subclasses count them in `ledger.received`, and take no more while `publisher.full` (`room`) or
    once `ending` is set. What they have read is forgotten at its origin once its receipt is done.
    """

    def __init__(self, settings: Settings, publisher: ConfirmingPublisher) -> None:
        super().__init__(settings)
        self.publisher = publisher
        self.ending = asyncio.Event()

    async def close(self) -> None:
        """End the publisher."""
        self.publisher.close()

    def warm(self) -> None:
        self.publisher.warm()

    def turn(self) -> None:
        self.publisher.poll(time.monotonic())

    @property
    def stalled(self) -> bool:
        return self.publisher.stalled

    @property
    def waiting(self) -> bool:
        return self.publisher.stalled or self.publisher.full

    @property
    def in_flight(self) -> int:
        return self.publisher.in_flight

    def account(self) -> Ledger:
        self.ledger.add_publishers([self.publisher], [])
        return self.ledger

    async def room(self) -> None:
        """Wait until the publisher has room, or for the end."""
        if not self.publisher.full:
            return
        self.paused = True
        self.ledger.pauses += 1
        while self.publisher.full and not self.ending.is_set():  # noqa: ASYNC110  # the agent polls
            await asyncio.sleep(ROOM_S)
        self.paused = False

    async def pause(self, seconds: float) -> None:
        """Wait a while, or for the end."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.ending.wait(), seconds)

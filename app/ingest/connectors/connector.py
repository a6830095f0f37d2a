"""What the agent asks of a connector; docs/connectors.md is the recipe for writing one."""

import asyncio
import time
from typing import Final, Generic, TypeVar

from app.ingest.confirming import ConfirmingPublisher
from app.ingest.ledger import Ledger
from app.ingest.settings import ConnectorSettings

Settings = TypeVar("Settings", bound=ConnectorSettings)
ROOM_S: Final = 0.005


class Connector(Generic[Settings]):
    """Lines from somewhere into one raw topic by way of `publisher`.

    Subclasses read, hand over lists of lines with `publisher.confirm`, count them in
    `ledger.received`, and take no more while `publisher.full`. What they have read is forgotten at
    its origin only once its receipt is done: Kafka has it then, with acks=all.
    """

    def __init__(self, settings: Settings, publisher: ConfirmingPublisher) -> None:
        self.settings = settings
        self.publisher = publisher
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
        """After `stop`, and after Kafka had time: end the publisher."""
        self.publisher.close()

    def reload(self) -> None:
        """Read again what stands in files: certificates, tokens. Raises OSError."""

    def warm(self) -> None:
        """Let the first line not wait for who leads the topic. Blocks a while."""
        self.publisher.warm()

    def turn(self) -> None:
        """Called often."""
        self.publisher.poll(time.monotonic())

    @property
    def waiting(self) -> bool:
        """Whether messages wait here for Kafka longer than they should."""
        return self.publisher.stalled or self.publisher.full

    @property
    def stalled(self) -> bool:
        """Whether Kafka takes nothing of what waits."""
        return self.publisher.stalled

    @property
    def in_flight(self) -> int:
        """Messages that Kafka has not acknowledged."""
        return self.publisher.in_flight

    def account(self) -> Ledger:
        """The ledger as of now."""
        self.ledger.add_publishers([self.publisher], [])
        return self.ledger

    async def room(self, stop: asyncio.Event) -> None:
        """Wait until the publisher has room, or for `stop`."""
        if not self.publisher.full:
            return
        self.paused = True
        self.ledger.pauses += 1
        while self.publisher.full and not stop.is_set():  # noqa: ASYNC110  # the agent polls
            await asyncio.sleep(ROOM_S)
        self.paused = False

"""Stalls on demand in a worker of its own process: each blocks for ever once a file exists."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from app.runtime import engine
from app.runtime.clients import KafkaClients
from app.runtime.faust_app import App


def stall(app: App, kind: str, file: Path) -> None:
    """Make one of "loop", "consumer" and "transaction" stall when the file appears."""
    STALLS[kind](app, lambda: _block(file))


def _block(file: Path) -> None:
    while file.exists():
        time.sleep(0.1)


def _loop(app: App, block: Callable[[], None]) -> None:
    """A timer that never gives the event loop back."""

    async def timer() -> None:
        block()

    app.timer(0.1)(timer)


def _consumer(_: App, block: Callable[[], None]) -> None:
    """A poll that never comes back; the member's heartbeats go on."""

    class Dead(Consumer):
        def consume(self, *arguments: Any) -> Any:
            block()
            return super().consume(*arguments)

    class Clients(KafkaClients):
        def consumer(self, config: Mapping[str, Any]) -> Any:
            return Dead(dict(config))

    engine.KafkaClients = Clients


def _transaction(_: App, block: Callable[[], None]) -> None:
    """A commit that never comes back, as after a broker's crash."""

    class Stuck(Producer):
        def commit_transaction(self, *arguments: Any) -> None:
            block()
            super().commit_transaction(*arguments)

    class Clients(KafkaClients):
        def producer(self, config: Mapping[str, Any], on_delivery: Any) -> Any:
            return Stuck({**config, "on_delivery": on_delivery})

    engine.KafkaClients = Clients


STALLS = {"loop": _loop, "consumer": _consumer, "transaction": _transaction}

"""A publisher that says when Kafka has acknowledged a chunk, as soon as it has.

While anything is unacknowledged, delivery reports are asked for every millisecond; throughput is
the sender's window over the latency of its answers. A thread that waits for them instead costs a
third more, because librdkafka's binding takes the interpreter's lock for each report.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

from confluent_kafka import KafkaError, Message

from app.ingest.batch import KeyBy, Owner, Receipt
from app.ingest.publisher import Publisher
from app.ingest.settings import AgentSettings

TICK_S: Final = 0.001
SLOW_TICK_S: Final = 0.01
PATIENCE: Final = 200
"""Ticks without a report after which Kafka is asked less often."""
LINGER_MS: Final = 2.0
"""At 1 ms or less librdkafka's sending thread spins: 4.3 instead of 1.9 us a line were measured."""


class ConfirmingPublisher(Publisher):
    """As Publisher; and the owner of a receipt that is done is told.

    Each line is reported for itself: a report for a chunk's last line alone says nothing of the
    others, as the broker may refuse one of them.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        *,
        linger_ms: float = LINGER_MS,
        buffer_kib: int = 65_536,
    ) -> None:
        super().__init__(
            {**client, "delivery.report.only.error": False},
            topic,
            linger_ms=min(linger_ms, LINGER_MS),
            buffer_kib=buffer_kib,
        )
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fruitless = 0
        self._done: dict[Receipt, None] = {}
        self._outstanding = 0

    @classmethod
    def of(cls, agent: AgentSettings, client: Mapping[str, Any], topic: str) -> Self:
        """The publisher of one input of an agent."""
        return cls(client, topic, linger_ms=agent.linger_ms, buffer_kib=agent.buffer_kib)

    def confirm(
        self, lines: Sequence[bytes], key: bytes | None, by: KeyBy, owner: Owner
    ) -> tuple[Receipt, bool]:
        """Publish lines; their receipt, and whether there is room for more."""
        receipt = Receipt(lines, owner, self._on_done, self._failed_one)
        self._outstanding += 1
        room = self.publish(lines, key, by, receipt)
        if self._timer is None:
            self._fruitless = 0
            self._timer = self._loop.call_later(TICK_S, self._tick)
        return receipt, room

    def close(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()

    def _serve(self, wait_s: float = 0.0) -> None:
        super()._serve(wait_s)
        if not self._done:
            return
        done, self._done = self._done, {}
        now = time.monotonic()
        owners: dict[Owner, None] = {}
        for receipt in done:
            self.latency_s += now - receipt.taken
            owners[receipt.owner] = None
        self.receipts += len(done)
        self._outstanding -= len(done)
        self._fruitless = 0
        for owner in owners:
            owner.settle()

    def _tick(self) -> None:
        self._timer = None
        self._fruitless += 1
        self._serve()
        if self._outstanding:
            wait = TICK_S if self._fruitless < PATIENCE else SLOW_TICK_S
            self._timer = self._loop.call_later(wait, self._tick)

    def _on_done(self, receipt: Receipt) -> None:
        self._done[receipt] = None

    def _failed_one(self, receipt: Receipt, error: KafkaError, message: Message) -> None:
        taken = time.time() - (time.monotonic() - receipt.taken)
        self._failed(receipt, error, message, int(taken * 1000))

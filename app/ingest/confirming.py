"""A publisher that says when Kafka has acknowledged a chunk, as soon as it has.

A thread waits for librdkafka's delivery reports and wakes the event loop; a timer would add its
period to every acknowledgement, and throughput is the sender's window over that latency.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, Message

from app.ingest.publisher import KeyBy, Owner, Publisher, Receipt

WAIT_S: Final = 0.1
LINGER_MS: Final = 1.0


class ConfirmingPublisher(Publisher):
    """As Publisher; and the owner of a receipt that is done is told on the loop.

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
        self._done: deque[Receipt] = deque()
        self._failures: deque[tuple[Receipt, KafkaError, Message]] = deque()
        self._woken = False
        self._ended = False
        self._thread = threading.Thread(target=self._wait, name="delivery reports", daemon=True)
        self._thread.start()

    def confirm(
        self, lines: Sequence[bytes], key: bytes | None, by: KeyBy, owner: Owner
    ) -> tuple[Receipt, bool]:
        """Publish lines; their receipt, and whether there is room for more."""
        receipt = Receipt(lines, owner, self._on_done, self._on_failure)
        return receipt, self.publish(lines, key, by, receipt)

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._thread.join()

    def _serve(self) -> None:
        """Reports are served by the thread; what failed is dealt with here, on the loop."""
        while self._failures:
            self._failed(*self._failures.popleft())

    def _wait(self) -> None:
        while not self._ended:
            self._producer.poll(WAIT_S)

    # The next two are called in the thread.

    def _on_done(self, receipt: Receipt) -> None:
        self._done.append(receipt)
        self._wake()

    def _on_failure(self, receipt: Receipt, error: KafkaError, message: Message) -> None:
        self._failures.append((receipt, error, message))
        self._wake()

    def _wake(self) -> None:
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._on_woken)

    def _on_woken(self) -> None:
        self._woken = False
        self._serve()
        now = time.monotonic()
        owners: dict[Owner, None] = {}
        while self._done:
            receipt = self._done.popleft()
            self.receipts += 1
            self.latency_s += now - receipt.taken
            owners[receipt.owner] = None
        for owner in owners:
            owner.settle()

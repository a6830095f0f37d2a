"""Kafka or disk: what Kafka does not take at once waits in a spool, and drains in order.

For senders that cannot be held back (UDP) and for those that are not to be.
"""

import threading
import time
from collections.abc import Sequence
from typing import Final

from app.ingest.batch import Batch, KeyBy
from app.ingest.publisher import Publisher
from app.ingest.spool import Position, Spool

DRAIN_MESSAGES: Final = 10_000
"""A kill in the middle of a drain can double so many messages, and lose none."""
SYNC_S: Final = 1.0


class Spill:
    """A publisher with a spool before it. All calls from one thread."""

    def __init__(self, publisher: Publisher, spool: Spool) -> None:
        self.publisher = publisher
        self.spool = spool
        self._draining: tuple[Position, int] | None = None
        self._synced = 0.0
        self._syncing: threading.Thread | None = None
        self._closed = False

    @property
    def spooled(self) -> int:
        """Messages that are on disk and nowhere else."""
        return self.spool.depth - (self._draining[1] if self._draining else 0)

    def take(self, lines: Sequence[bytes], key: bytes | None, by: KeyBy) -> None:
        """Publish, or keep on disk while Kafka is away, slow, or older messages wait there."""
        publisher = self.publisher
        if self.spool.depth or publisher.stalled or publisher.full:
            self.spool.append(Batch(lines, key, by, None, int(time.time() * 1000)))
        else:
            publisher.publish(lines, key, by)

    def turn(self, now: float) -> None:
        """Called often: serve the publisher, drain the spool. `now`: a monotonic clock."""
        publisher, spool = self.publisher, self.spool
        publisher.poll(now)
        if self._closed:
            return
        slow = self._syncing is not None and self._syncing.is_alive()  # a disk that stands still
        if spool.dirty and now - self._synced > SYNC_S and not slow:
            self._synced = now
            self._syncing = threading.Thread(target=spool.sync, name="spool sync", daemon=True)
            self._syncing.start()
        if not spool.depth or publisher.in_flight:
            return
        if self._draining is not None:
            spool.commit(*self._draining)
            self._draining = None
        if spool.depth:
            batches, end = spool.read(DRAIN_MESSAGES)
            if not batches:
                spool.give_up()
                return
            self._draining = end, sum(len(batch.lines) for batch in batches)
            for batch in batches:
                publisher.publish(*batch)

    def close(self) -> None:
        """Keep on disk what Kafka has not acknowledged."""
        self._closed = True
        back = self.publisher.surrender() if self.publisher.in_flight else []
        if self._draining is None:
            now = int(time.time() * 1000)
            for batch in back:
                self.spool.append(batch._replace(timestamp=batch.timestamp or now))
        elif not back:
            self.spool.commit(*self._draining)
        self._draining = None
        self.spool.close()

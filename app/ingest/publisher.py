"""Lines into one raw topic: acks=all, idempotent, ordered by key, bounded memory, nothing dropped.

The queue is bounded in messages and bytes. Above the bound `publish` still takes what it is given,
but `full` tells the listener to stop reading, so that the sender's TCP connection holds the rest.
"""

import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from operator import length_hint
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.ingest.batch import Again, Batch, KeyBy, Receipt, host_of
from app.ingest.complaints import Seldom, quietly

log = logging.getLogger(__name__)

MAX_MESSAGE: Final = 2 << 20
"""Bytes of the largest record; topics.RAW_CONFIG allows as much."""
RETRY_S: Final = 1.0
STALLED_S: Final = 1.0
SURRENDER_S: Final = 2.0
WARM_S: Final = 2.0
PARTITION_UA: Final = -1  # librdkafka: let the partitioner choose
PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)  # noqa: SLF001  # public codes

# What the broker will refuse however often it is asked. It refuses a whole batch for one record,
# and for its size, so that this is known of a record only once it was alone in one.
PERMANENT = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.INVALID_RECORD,
    }
)

Report = Callable[[KafkaError | None, Message], None]


class Publisher:
    """One producer for one raw topic. All calls from one thread; `poll` often.

    `accepted` messages are `published` (acknowledged by all in-sync replicas), in `refused` by
    reason, or `in_flight`.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        topic: str,
        *,
        linger_ms: float = 10,
        high_messages: int = 100_000,
        buffer_kib: int = 65_536,
    ) -> None:
        self.topic = topic
        self.accepted = 0
        self.retried = 0
        self.renewed = 0
        self.receipts = 0
        self.latency_s = 0.0
        """Sum over all receipts of the time from taking their lines to their acknowledgement."""
        self.refused: Counter[str] = Counter()
        self._high = high_messages
        self._config = {
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 1_000,
            "compression.type": "lz4",
            "partitioner": "murmur2_random",  # what Java producers do, so that keys stay together
            "delivery.report.only.error": True,
            **client,
            "acks": "all",
            "enable.idempotence": True,
            "linger.ms": linger_ms,
            "batch.num.messages": 10_000,
            "message.max.bytes": MAX_MESSAGE,
            "message.timeout.ms": 0,  # never give up: the bound on memory holds senders back
            "queue.buffering.max.messages": 10 * high_messages,
            "queue.buffering.max.kbytes": buffer_kib,
            "on_delivery": self._on_error,
            **quietly(),
        }
        self._producer = Producer(self._config)
        self._singly: Producer | None = None
        """For what was refused with its batch: each in a batch of its own."""
        self._judging = False  # what is reported now was alone
        self._seldom = Seldom()
        self._held: deque[Batch] = deque()
        self._held_count = 0
        self._retry: deque[Again] = deque()
        self._retry_at = 0.0
        self._fatal = False
        self._closed = False
        self._progress = (0.0, -1)
        self._now = 0.0

    @property
    def in_flight(self) -> int:
        """Messages taken and not yet acknowledged or refused."""
        return self._handed_over + self._held_count + len(self._retry)

    @property
    def _handed_over(self) -> int:
        return len(self._producer) + (0 if self._singly is None else len(self._singly))

    @property
    def published(self) -> int:
        """Messages acknowledged by Kafka."""
        return self.accepted - self.in_flight - self.refused.total()

    @property
    def full(self) -> bool:
        """Whether reading has to stop until `poll` has made room."""
        return bool(self._held or self._retry) or len(self._producer) > self._high

    @property
    def stalled(self) -> bool:
        """Whether messages have waited for Kafka for more than a second without any progress."""
        return self.in_flight > 0 and self._now - self._progress[0] > STALLED_S

    def publish(
        self,
        lines: Sequence[bytes],
        key: bytes | None,
        by: KeyBy = "peer",
        receipt: Receipt | None = None,
        timestamp: int = 0,
    ) -> bool:
        """Take lines in order; True while there is room for more."""
        self.accepted += len(lines)
        batch = Batch(lines, key, by, receipt, timestamp)
        if self._held:
            self._hold(batch)
            return False
        self._produce(batch)
        return not self._held and len(self._producer) <= self._high

    def poll(self, now: float) -> None:
        """Serve errors, send what was held. `now`: a monotonic clock, in seconds."""
        self._now = now
        self._serve()
        if self._closed:
            return
        if self._fatal:
            self._renew()
        if self._retry and now >= self._retry_at:
            self._retry_at = now + RETRY_S
            self._send_again()
        while self._held and len(self._producer) <= self._high // 2:
            batch = self._held.popleft()
            self._held_count -= len(batch.lines)
            if not self._produce(batch):
                break
        if self.published != self._progress[1] or not self.in_flight:
            self._progress = (now, self.published)

    def flush(self, timeout_s: float) -> int:
        """Block until all is acknowledged; how many messages were not in that time."""
        deadline = time.monotonic() + timeout_s
        while (now := time.monotonic()) < deadline and self.in_flight:
            self.poll(now)
            self._serve(0.05)
        return self.in_flight

    def warm(self) -> None:
        """Learn who leads the topic, so that the first message need not wait. Blocks a while."""
        with contextlib.suppress(KafkaException):
            self._producer.list_topics(self.topic, timeout=WARM_S)

    def close(self) -> None:
        """Send no more, whoever polls: what is not acknowledged by now stays in flight for good,
        and whoever keeps count of it has done so."""
        self._closed = True
        self._purge()

    def surrender(self) -> list[Batch]:
        """Take back what is not acknowledged, to keep it elsewhere; this ends the publisher.

        Kafka may have some of it all the same, if its acknowledgement was on its way.
        """
        self._closed = True
        self._purge()
        back = [Batch([each.value], each.key, "peer", None, each.timestamp) for each in self._retry]
        back += self._held
        self.accepted -= sum(len(batch.lines) for batch in back)
        self._retry.clear()
        self._held.clear()
        self._held_count = 0
        return back

    def _purge(self) -> None:
        """Take back what was handed over, and serve what is still to be said of it."""
        self._producer.purge()
        if self._singly is not None:
            self._singly.purge()
        deadline = time.monotonic() + SURRENDER_S
        while self._handed_over and time.monotonic() < deadline:
            self._serve(0.05)

    def _serve(self, wait_s: float = 0.0) -> None:
        self._ask(self._producer, wait_s)
        if self._singly is not None:
            self._judging = True
            try:
                self._ask(self._singly, 0.0)
            finally:
                self._judging = False

    def _ask(self, producer: Producer, wait_s: float) -> None:
        try:
            producer.poll(wait_s)
        except KafkaException as error:
            # The binding raises a fatal error from here, whatever the error callback is.
            if not error.args[0].fatal():
                raise
            self._fatal = True

    def _produce(self, batch: Batch) -> bool:
        produce, topic = self._producer.produce, repeat(self.topic)
        lines, key, by, receipt, timestamp = batch
        any_partition, reports = repeat(PARTITION_UA), repeat(self._report(receipt, timestamp))
        while True:
            rest = iter(lines)
            keys: Iterable[bytes | None] = repeat(None if by == "spread" else key)
            if by == "host":
                keys = (host_of(line) or key for line in lines)
            try:
                if timestamp:
                    # `callback` and `on_delivery` are two positions before `timestamp`.
                    more = (any_partition, reports, reports, repeat(timestamp))
                    deque(map(produce, topic, rest, keys, *more), maxlen=0)
                elif receipt is not None:
                    deque(map(produce, topic, rest, keys, any_partition, reports), maxlen=0)
                else:
                    deque(map(produce, topic, rest, keys), maxlen=0)
            except BufferError:
                # The queue is full. The iterator has already passed the line that did not fit.
                failed = len(lines) - length_hint(rest) - 1
                self._hold(batch._replace(lines=lines[failed:]), first=True)
                return False
            except KafkaException as error:
                failed = len(lines) - length_hint(rest) - 1
                if error.args[0].code() not in PERMANENT:
                    self._fatal = self._fatal or error.args[0].fatal()
                    self._hold(batch._replace(lines=lines[failed:]), first=True)
                    return False
                self._refuse(error.args[0], lines[failed], receipt)
                lines = lines[failed + 1 :]
            else:
                return True

    def _hold(self, batch: Batch, *, first: bool = False) -> None:
        self._held_count += len(batch.lines)
        (self._held.appendleft if first else self._held.append)(batch)

    def _report(self, receipt: Receipt | None, timestamp: int) -> Report:
        """What is called with a message's fate; a failed message no longer knows its time."""
        if receipt is not None:
            return receipt.report
        return partial(self._on_error, timestamp=timestamp) if timestamp else self._on_error

    def _on_error(self, error: KafkaError | None, message: Message, timestamp: int = 0) -> None:
        if error is not None:
            waited = message.latency() or 0.0
            self._failed(None, error, message, timestamp or int((time.time() - waited) * 1000))

    def _failed(
        self, receipt: Receipt | None, error: KafkaError, message: Message, timestamp: int
    ) -> None:
        value = message.value() or b""
        for_good = error.code() in PERMANENT
        if for_good and self._judging:
            self._refuse(error, value, receipt)
            return
        self._fatal = self._fatal or error.fatal()
        self.retried += 1
        alone = for_good or self._judging
        if for_good:
            self._retry_at = 0.0  # nothing has to come back first
        self._retry.append(Again(message.key(), value, timestamp, receipt, alone))
        if error.code() not in PURGED and self._seldom.due(error.code()):
            log.warning(
                "Kafka has not taken messages, which are sent again%s; `northbound topics plan` "
                "tells whether the topic is as it should be. topic=%s reason=%s",
                " one by one" if alone else "",
                self.topic,
                error.str(),
            )

    def _refuse(self, error: KafkaError, line: bytes, receipt: Receipt | None) -> None:
        self.refused[error.name()] += 1
        if receipt is not None:
            receipt.refuse(line)
        log.error(
            "Kafka does not take a message. topic=%s reason=%s bytes=%d start=%r",
            self.topic,
            error.str(),
            len(line),
            line[:200],
        )

    def _send_again(self) -> None:
        """Failed messages again, with the time they were received at."""
        while self._retry:
            key, value, timestamp, receipt, alone = self._retry[0]
            report = self._report(receipt, timestamp)
            if alone and self._singly is None:
                self._singly = Producer({**self._config, "batch.num.messages": 1})
            producer = self._singly if alone and self._singly is not None else self._producer
            try:
                producer.produce(self.topic, value, key, timestamp=timestamp, on_delivery=report)
            except BufferError:
                return
            except KafkaException as error:
                if error.args[0].code() not in PERMANENT:
                    self._fatal = self._fatal or error.args[0].fatal()
                    return
                self._refuse(error.args[0], value, receipt)
            self._retry.popleft()

    def _renew(self) -> None:
        """A fatal error ends an idempotent producer: go on with a new one.

        Messages whose acknowledgement got lost with it may come twice; none is lost.
        """
        log.warning("The producer failed and is replaced. topic=%s", self.topic)
        self._purge()
        self._producer = Producer(self._config)
        self._singly = None
        self._fatal = False
        self.renewed += 1

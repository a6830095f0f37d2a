"""The consumer side of an engine: what is polled, and what its errors mean."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from app.runtime.batch import build
from app.runtime.clients import Clients
from app.runtime.errors import EngineError, MemberEnded, TransactionAborted
from app.runtime.settings import EngineSettings
from app.runtime.statistics import EngineStatistics
from app.runtime.watchdog import Watchdog
from topology.records import Batch
from topology.topics import Partition

log = logging.getLogger("northbound.runtime")

IDLE = 0.1
"""Seconds that a poll waits for a first record."""
LAG_INTERVAL = 1.0
SAMPLES = 64
CUT_OFF = KafkaError._AUTO_OFFSET_RESET  # noqa: SLF001  # a public constant
REJOINS = 3, 60.0
"""A member that was ended joins again so often within so many seconds. More often, another process
has its name, and the two would end each other in turn."""

Callback = Callable[[list[Partition]], None]


class Intake:
    """Polls batches of up to the number of records and bytes that the settings allow."""

    def __init__(
        self,
        settings: EngineSettings,
        clients: Clients,
        watchdog: Watchdog,
        statistics: EngineStatistics,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._watchdog = watchdog
        self._statistics = statistics
        self._rebalances = 0
        self._failure: BaseException | None = None
        self._record_bytes = 256.0
        self._lags_due = 0.0
        self._ends: dict[Partition, int] = {}
        self._callbacks: dict[str, Callback] = {}
        self._ended = False
        self._cut_off: set[Partition] = set()
        self._rejoins: list[float] = []
        self.consumer: Any = None

    def open(self, *, assigned: Callback, revoked: Callback, lost: Callback) -> None:
        """Join the group. The callbacks run within `poll` and `close`."""
        self._callbacks = {"on_assign": assigned, "on_revoke": revoked, "on_lost": lost}
        self._join()

    def rejoin(self, reason: MemberEnded) -> None:
        """Join with a new consumer in place of one that has ended; the callbacks hear no more of
        the old one. Raises EngineError when this does not help."""
        now = time.monotonic()
        most, seconds = REJOINS
        self._rejoins = [at for at in self._rejoins if now - at < seconds]
        if len(self._rejoins) == most:
            raise EngineError(
                f"{reason}. {most} others were within {seconds:.0f} s. If another process uses "
                "this name, give each worker its own state directory."
            )
        self._rejoins.append(now)
        self._statistics.rejoins += 1
        log.warning("%s. A new one joins. engine=%s", reason, self._settings.name)
        self._ended = True
        with suppress(KafkaException):
            self._close()
        self._ended, self._failure = False, None
        self._ends, self._cut_off = {}, set()
        self._join()

    def close(self) -> None:
        """Leave (a static member keeps its partitions until the session times out)."""
        if self.consumer is not None:
            self._close()
            self._raise_failure()

    def _join(self) -> None:
        self.consumer = self._clients.consumer(self._settings.consumer_config())
        callbacks = {name: self._guarded(each) for name, each in self._callbacks.items()}
        self.consumer.subscribe(list(self._settings.topics), **callbacks)

    def _close(self) -> None:
        what = f"{self._settings.name}: close the consumer"
        with self._watchdog.guard(what, self._settings.call_timeout):
            self.consumer.close()

    def poll(self, *, idle: bool, until: float) -> list[Batch] | None:
        """Batches in offset order, or None when there was a rebalance meanwhile.

        When `idle`, waits for a first record; then takes what is there and what comes until then,
        by the monotonic clock. After a rebalance nothing of the poll is used: some of it may have
        been fetched before.
        """
        count = int(self._settings.max_batch_bytes / self._record_bytes) + 1
        count = min(self._settings.max_batch, count)
        rebalances = self._rebalances
        messages = self.consumer.consume(1, IDLE) if idle else []
        if messages or not idle:
            gather = max(0.0, until - time.monotonic())
            messages += self.consumer.consume(max(1, count - len(messages)), gather)
        self._raise_failure()
        rebalanced = self._rebalances != rebalances
        if any(map(Message.error, messages)):
            # A member that is ended for good is told so once, together with its revocation.
            messages = self._without_errors(messages, only_last=rebalanced)
        if rebalanced:
            return None
        batches = build(messages, self._settings.topics, coalesce=self._settings.coalesce)
        if batches:
            self._learn_size(batches[0])
        return batches

    def cut_off(self) -> set[Partition]:
        """Partitions of which nothing could be read any more since this was asked last: retention
        took the next record, or the end of the log is gone, however far it reaches by now."""
        found, self._cut_off = self._cut_off, set()
        return found

    def left(self, positions: Mapping[Partition, int]) -> int:
        """How many offsets there are from these positions on, as far as the last fetches said.

        Notes the partitions' ends for the statistics.
        """
        now = time.monotonic()
        ends = {}
        for where, position in positions.items():
            bounds = self.consumer.get_watermark_offsets(TopicPartition(*where), cached=True)
            if bounds is not None and bounds[1] >= 0:
                # After the last record may come markers of transactions, which are no backlog.
                ends[where] = position if self._ends.get(where) == bounds[1] else bounds[1]
        if now >= self._lags_due:
            self._lags_due = now + LAG_INTERVAL
            with self._statistics.lock:
                self._statistics.ends = ends
        return sum(ends.values()) - sum(positions[where] for where in ends)

    def _learn_size(self, batch: Batch) -> None:
        values = [value for value in batch.values[:: len(batch) // SAMPLES + 1] if value]
        self._record_bytes = max(64.0, sum(map(len, values)) / max(1, len(values)))

    def _guarded(self, callback: Callback) -> Callable[[Any, Sequence[TopicPartition]], None]:
        """What the callback raises is raised again by the poll that called it."""

        def rebalance(_: Any, partitions: Sequence[TopicPartition]) -> None:
            if self._ended:
                return
            self._rebalances += 1
            try:
                callback([(one.topic, one.partition) for one in partitions])
            except BaseException as error:
                self._failure = self._failure or error

        return rebalance

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _without_errors(self, messages: Sequence[Message], *, only_last: bool) -> list[Message]:
        if not only_last:
            self._cut_off |= {
                (message.topic(), message.partition())
                for message in messages
                if (error := message.error()) is not None and error.code() == CUT_OFF
            }
        for message in messages:
            error = message.error()
            if error is not None and (_is_last(error) or not only_last):
                self._judge(error, message)
        return [message for message in messages if message.error() is None]

    def _judge(self, error: KafkaError, message: Message) -> None:
        settings, code = self._settings, error.code()
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001  # a public constant
            self._ends[message.topic(), message.partition()] = message.offset()
            return
        if _is_last(error):
            raise MemberEnded(
                f"Consumer {settings.instance} of group {settings.group} was ended: {error.str()}"
            )
        if code in (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED):
            raise EngineError(
                f"The user may not read topic {message.topic()} in group {settings.group}: "
                f"{error.str()}. Grant READ and DESCRIBE on both."
            )
        if code == CUT_OFF:
            raise TransactionAborted(f"a position is out of range: {error.str()}")
        log.warning(
            "Consumer error. engine=%s topic=%s error=%s",
            settings.name,
            message.topic(),
            error.str(),
        )


def _is_last(error: KafkaError) -> bool:
    """Whether the consumer has ended with it."""
    return bool(error.fatal() or error.code() == KafkaError._FATAL)  # noqa: SLF001

"""The producer side of an engine: one transaction at a time, every call bounded in time.

Transactional errors are of three kinds: try the call again, abort the transaction
(TransactionAborted), or end the process (EngineError): fenced, or a record that no broker takes.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from app.runtime.caller import Caller, CallStuckError
from app.runtime.clients import Clients
from app.runtime.errors import EngineError, RecordRefusedError, TransactionAborted
from app.runtime.output_queue import GRACE, OutputQueue
from app.runtime.parcel import Parcel
from app.runtime.settings import EngineSettings
from app.runtime.watchdog import Watchdog
from topology.records import Output

log = logging.getLogger("northbound.runtime")

SLICE = 2.0
"""Seconds a call may block before it is made again."""
FENCED = (KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID)  # noqa: SLF001  # public constants
EXPIRED = (KafkaError.INVALID_TXN_STATE, KafkaError._FENCED, KafkaError._FATAL)  # noqa: SLF001
"""What a producer is told whose transaction the coordinator has aborted for its age."""


class Transactions:
    """At most one open transaction; it begins with the first record or offset put into it."""

    def __init__(self, settings: EngineSettings, clients: Clients, watchdog: Watchdog) -> None:
        self._settings = settings
        self._clients = clients
        self._watchdog = watchdog
        self._producer: Any = None
        self._queue = OutputQueue(settings, watchdog, self._fatal)
        self._caller = Caller(settings.name)
        self._generation = 0
        self._began = 0.0
        self._expired = False
        self.open = False
        self.uncertain = False
        """Whether the last commit may have been done, although it failed."""

    def start(self) -> None:
        """Make the producer; this fences off and aborts what a predecessor left open."""
        config = self._settings.producer_config()
        self._generation += 1
        on_delivery = partial(self._on_delivery, self._generation)
        self._producer = self._clients.producer(config, on_delivery)
        self._queue.use(self._producer)
        self._call("init_transactions", self._producer.init_transactions, SLICE, first=True)

    def produce(self, outputs: Iterable[Output]) -> int:
        """Put records into the transaction; returns how many. Waits while the queue is full."""
        count = 0
        for output in outputs:
            if len(output.values):
                self._begin()
                self._queue.put(output)
                count += len(output.values)
        return count

    def send(self, parcel: Parcel) -> None:
        """Put one record into the transaction."""
        self._begin()
        self._queue.send(parcel)

    def flush(self, seconds: float) -> bool:
        """Serve deliveries for a while; True when all records so far have arrived."""
        if self._producer is None:
            return True
        name, limit = self._settings.name, self._settings.call_timeout + GRACE
        with self._watchdog.guard(f"{name}: flush", limit):
            left = self._producer.flush(seconds)
        self._queue.check()
        return not left

    def flush_all(self) -> None:
        """Wait until all records so far have arrived. Raises TransactionAborted otherwise."""
        deadline = time.monotonic() + self._settings.call_timeout
        while not self.flush(0.5):
            if time.monotonic() > deadline:
                raise TransactionAborted("records did not arrive in time")

    def commit(self, offsets: Sequence[TopicPartition], group: Any) -> None:
        """Commit the records together with the next offsets of the input partitions.

        Raises TransactionAborted when the transaction cannot be committed and must be aborted.
        """
        self.uncertain = False
        self._begin()
        producer = self._producer
        if offsets:
            self._call(
                "send_offsets_to_transaction",
                producer.send_offsets_to_transaction,
                list(offsets),
                group,
                SLICE,
            )
        try:
            self._call("commit_transaction", producer.commit_transaction, SLICE)
        except (TransactionAborted, RecordRefusedError):
            # A producer that is of no use any more has not been told that it is aborted.
            self.uncertain = self._expired
            raise
        except EngineError:
            self.uncertain = True
            raise
        self.open = False
        self._queue.reset()

    def abort(self) -> None:
        """Abort the open transaction, if there is one. Raises EngineError when fenced.

        One that the coordinator has aborted for its age, or whose call does not come back, ends the
        producer but not the process: a new one takes its place and fences the old one. A member
        that lost its partitions meanwhile still commits nothing, as its group refuses its offsets.
        """
        if self.open:
            if not self._expired:
                with suppress(TransactionAborted):
                    call = self._producer.abort_transaction
                    self._call("abort_transaction", call, SLICE, last=True)
            self.open = False
            if self._expired:
                self._expired = False
                name = self._settings.name
                log.warning(
                    "The transaction is out of time; a new producer goes on. engine=%s", name
                )
                self.start()
        self._queue.reset(explain=True)

    def close(self) -> None:
        """End what runs beside the engine."""
        self._caller.close()

    def _on_delivery(self, generation: int, error: KafkaError | None, message: Message) -> None:
        """What a producer says that was left behind concerns nobody any more."""
        if generation == self._generation:
            self._queue.on_delivery(error, message)

    def _begin(self) -> None:
        if not self.open:
            self._began = time.monotonic()
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                raise self._ended("begin_transaction", error.args[0]) from error
            self.open = True

    def _call(
        self,
        what: str,
        function: Callable[..., None],
        *arguments: Any,
        first: bool = False,
        last: bool = False,
    ) -> None:
        """Call until it is done. `last`: an abort is no way out of a failure of this call.

        No call but the first needs more time than the coordinator gives to the transaction.
        """
        settings = self._settings
        limit = settings.start_timeout if first else settings.call_timeout
        bound = max(settings.transaction_timeout, SLICE + GRACE)
        deadline = time.monotonic() + limit
        with self._watchdog.guard(f"{settings.name}: {what}", limit + bound + GRACE):
            while True:
                try:
                    if first:
                        function(*arguments)
                    else:
                        self._caller.call(bound, function, *arguments)
                except CallStuckError as error:
                    self._expired = True
                    raise TransactionAborted(f"{what} does not return") from error
                except KafkaException as error:
                    cause = error.args[0]
                    if cause.fatal():
                        raise self._fatal(what, cause) from error
                    if cause.txn_requires_abort() and not last:
                        self._queue.check()
                        raise TransactionAborted(f"{what}: {cause.str()}") from error
                    if not cause.retriable():
                        kind = EngineError if first or last else TransactionAborted
                        raise kind(f"{what}: {cause.str()}") from error
                    if time.monotonic() > deadline:
                        raise EngineError(
                            f"{what} was not done within {limit:g} s: {cause.str()}. Check that "
                            f"the brokers at {settings.client['bootstrap.servers']} are up."
                        ) from error
                else:
                    return

    def _fatal(self, what: str, cause: KafkaError) -> Exception:
        """The producer is of no use any more; whether the process is depends on the reason."""
        age = time.monotonic() - self._began
        if self.open and cause.code() in EXPIRED and age > self._settings.transaction_timeout:
            self._expired = True
            return TransactionAborted(f"{what}, {age:.1f} s after the begin: {cause.str()}")
        return self._ended(what, cause)

    def _ended(self, what: str, cause: KafkaError) -> EngineError:
        name = self._settings.instance
        if cause.code() in FENCED:
            return EngineError(
                f"Fenced: another process has taken over transactional id {name} or its "
                f"transaction timed out ({what}: {cause.str()}). If this repeats, two workers "
                "share a name: give each its own state directory."
            )
        return EngineError(f"{what} failed for good: {cause.str()} (transactional id {name}).")

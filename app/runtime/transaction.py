"""The producer side of an engine: one transaction at a time, every call bounded in time.

Transactional errors are of three kinds: try the call again, abort the transaction
(TransactionAborted), or end the process (EngineError): fenced, or a record that no broker takes.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import repeat
from operator import length_hint
from typing import Any

import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from app.runtime.caller import Caller, CallStuckError
from app.runtime.clients import Clients
from app.runtime.columns import QUEUE_FULL, ColumnWriter, column_writer, writable
from app.runtime.errors import EngineError, RecordRefusedError, TransactionAborted
from app.runtime.parcel import Parcel
from app.runtime.settings import EngineSettings
from app.runtime.watchdog import Watchdog
from topology.records import Output

log = logging.getLogger("northbound.runtime")

SLICE = 2.0
"""Seconds a call may block before it is made again."""
GRACE = 2.0
"""Seconds that a blocked call has beyond its time-out before the process ends."""
FENCED = (KafkaError._FENCED, KafkaError.FENCED_INSTANCE_ID)  # noqa: SLF001  # public constants
EXPIRED = (KafkaError.INVALID_TXN_STATE, KafkaError._FENCED, KafkaError._FATAL)  # noqa: SLF001
"""What a producer is told whose transaction the coordinator has aborted for its age."""
REFUSED = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG)
FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)  # noqa: SLF001


class Transactions:
    """At most one open transaction; it begins with the first record or offset put into it."""

    def __init__(self, settings: EngineSettings, clients: Clients, watchdog: Watchdog) -> None:
        self._settings = settings
        self._clients = clients
        self._watchdog = watchdog
        self._producer: Any = None
        self._failure: Exception | None = None
        self._columns: ColumnWriter | None = None
        self._explain = False
        self._caller = Caller(settings.name)
        self._began = 0.0
        self._expired = False
        self.open = False

    def start(self) -> None:
        """Make the producer; this fences off and aborts what a predecessor left open."""
        config = self._settings.producer_config()
        self._producer = self._clients.producer(config, self._on_delivery)
        self._columns = column_writer(self._producer)
        self._call("init_transactions", self._producer.init_transactions, SLICE, first=True)

    def produce(self, outputs: Iterable[Output]) -> int:
        """Put records into the transaction; returns how many. Waits while the queue is full."""
        count = 0
        for output in outputs:
            if len(output.values):
                self._begin()
                self._produce(output)
                count += len(output.values)
        return count

    def send(self, parcel: Parcel) -> None:
        """Put one record into the transaction."""
        self._begin()
        options: dict[str, Any] = {"timestamp": parcel.timestamp}
        if parcel.partition is not None:
            options["partition"] = parcel.partition
        if parcel.headers:
            options["headers"] = list(parcel.headers)
        while True:
            try:
                self._producer.produce(parcel.topic, parcel.value, parcel.key, **options)
            except BufferError:
                self._wait_for_room()
            except KafkaException as error:
                raise self._refused(error, parcel.topic, parcel.value) from error
            else:
                return

    def flush(self, seconds: float) -> bool:
        """Serve deliveries for a while; True when all records so far have arrived."""
        if self._producer is None:
            return True
        with self._guard("flush"):
            left = self._producer.flush(seconds)
        self._check()
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
        self._call("commit_transaction", producer.commit_transaction, SLICE)
        self.open = False
        self._failure = None
        self._explain = False

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
        self._failure = None
        # Columns have no delivery reports: record by record, a refusal would tell its reason.
        self._explain = True

    def close(self) -> None:
        """End what runs beside the engine."""
        self._caller.close()

    def _begin(self) -> None:
        if not self.open:
            self._began = time.monotonic()
            try:
                self._producer.begin_transaction()
            except KafkaException as error:
                raise self._ended("begin_transaction", error.args[0]) from error
            self.open = True

    def _produce(self, output: Output) -> None:
        count, keys = len(output.values), output.keys
        if keys is not None and len(keys) != count:
            raise ValueError(f"Output to {output.topic}: {count} values, {len(keys)} keys")
        partition = -1 if output.partition is None else output.partition
        done = self._produce_columns(output, partition)
        if done == count:
            return
        values = list(output.values)
        keys = None if keys is None else list(keys)
        while done < len(values):
            rest = iter(values[done:])
            try:
                # produce_batch ignores a record's partition and does not raise; this costs the
                # same, keeps the order and stops exactly where the queue is full.
                deque(
                    map(
                        self._producer.produce,
                        repeat(output.topic),
                        rest,
                        repeat(None) if keys is None else keys[done:],
                        repeat(partition),
                    ),
                    maxlen=0,
                )
                return
            except BufferError:
                done = len(values) - length_hint(rest) - 1
                self._wait_for_room()
            except KafkaException as error:
                failed = len(values) - length_hint(rest) - 1
                raise self._refused(error, output.topic, values[failed]) from error

    def _produce_columns(self, output: Output, partition: int) -> int:
        """Queue columns as they are; how many records are in. The rest goes one by one."""
        values, keys = output.values, output.keys
        if self._columns is None or self._explain or not isinstance(values, pl.Series):
            return 0
        if not writable(values) or not (keys is None or writable(keys)):
            return 0
        own = keys if isinstance(keys, pl.Series) else None
        done, error = self._columns.write(output.topic, values, own, partition, 0)
        while error == QUEUE_FULL:
            self._wait_for_room()
            done, error = self._columns.write(output.topic, values, own, partition, done)
        if error:
            # The next transaction goes record by record and tells which one it is.
            reason = KafkaError(error).str()
            raise TransactionAborted(f"produce to {output.topic}: {reason}")
        return done

    def _wait_for_room(self) -> None:
        """The queue is full: wait until half of it has arrived, or some record has failed."""
        producer = self._producer
        half = len(producer) // 2
        deadline = time.monotonic() + self._settings.call_timeout
        with self._guard("produce"):
            while len(producer) > half:
                producer.poll(0.05)
                self._check()
                if time.monotonic() > deadline:
                    raise TransactionAborted("the output queue stayed full")

    def _refused(self, error: KafkaException, topic: str, value: bytes | None) -> Exception:
        cause = error.args[0]
        code = cause.code()
        if cause.fatal() or code == KafkaError._FATAL:  # noqa: SLF001
            return self._fatal("produce", cause)
        if code == KafkaError.MSG_SIZE_TOO_LARGE:
            return RecordRefusedError(
                f"A record of {len(value or b'')} bytes for topic {topic} is larger than "
                "message.max.bytes. Nothing of its transaction was committed."
            )
        if code in (KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION):  # noqa: SLF001
            return EngineError(
                f"Topic {topic} or the partition written to does not exist: {cause.str()}. "
                "Create it with `northbound topics create`."
            )
        return self._failure or TransactionAborted(f"produce to {topic}: {cause.str()}")

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is None or error.code() in PURGED or self._failure is not None:
            return
        reason = f"A record for topic {message.topic()} was not taken: {error.str()}."
        if error.code() in REFUSED:
            self._failure = RecordRefusedError(
                f"{reason} Nothing of its transaction was committed."
            )
        elif error.code() in FORBIDDEN:
            self._failure = EngineError(f"{reason} Grant WRITE on it.")
        else:
            self._failure = TransactionAborted(reason)

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _guard(self, what: str) -> Any:
        seconds = self._settings.call_timeout + GRACE
        return self._watchdog.guard(f"{self._settings.name}: {what}", seconds)

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
                        self._check()
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

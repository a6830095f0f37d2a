"""Records on their way into the open transaction: the producer's queue, and what became of them."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat
from operator import length_hint
from typing import Any

import polars as pl
from confluent_kafka import KafkaError, KafkaException, Message

from app.runtime.columns import QUEUE_FULL, ColumnWriter, column_writer, writable
from app.runtime.errors import EngineError, RecordRefusedError, TransactionAborted
from app.runtime.parcel import Parcel
from app.runtime.settings import EngineSettings
from app.runtime.watchdog import Watchdog
from topology.records import Output

GRACE = 2.0
"""Seconds that a blocked call has beyond its time-out before the process ends."""
REFUSED = (KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD, KafkaError.INVALID_MSG)
FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
PURGED = (KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT)  # noqa: SLF001


MANY = 32
"""Records from which on a list is worth a column."""


class OutputQueue:
    """What is put in fails the transaction when it is not delivered. `fatal`: makes an exception of
    an error that ends the producer."""

    def __init__(
        self,
        settings: EngineSettings,
        watchdog: Watchdog,
        fatal: Callable[[str, KafkaError], Exception],
    ) -> None:
        self._settings = settings
        self._watchdog = watchdog
        self._fatal = fatal
        self._producer: Any = None
        self._columns: ColumnWriter | None = None
        self._failure: Exception | None = None
        self._explain = False

    def use(self, producer: Any) -> None:
        """Put records into this producer's queue from now on."""
        self._producer = producer
        self._columns = column_writer(producer)

    def reset(self, *, explain: bool = False) -> None:
        """The transaction is over. `explain`: the next one goes record by record.

        Columns have no delivery reports: record by record, a refusal tells its reason.
        """
        self._failure = None
        self._explain = explain

    def check(self) -> None:
        """Raise what failed a record of this transaction."""
        if self._failure is not None:
            raise self._failure

    def send(self, parcel: Parcel) -> None:
        """Queue one record. Waits while the queue is full."""
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

    def put(self, output: Output) -> None:
        """Queue records; columns as they are. Waits while the queue is full."""
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
        """Queue columns, and long lists as columns; how many are in. The rest goes one by one."""
        if self._columns is None or self._explain:
            return 0
        values = _column(output.values)
        keys = None if output.keys is None else _column(output.keys)
        if not writable(values) or not (keys is None or writable(keys)):
            return 0
        done, error = self._columns.write(output.topic, values, keys, partition, 0)
        while error == QUEUE_FULL:
            self._wait_for_room()
            done, error = self._columns.write(output.topic, values, keys, partition, done)
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
        name, limit = self._settings.name, self._settings.call_timeout + GRACE
        with self._watchdog.guard(f"{name}: produce", limit):
            while len(producer) > half:
                producer.poll(0.05)
                self.check()
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

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        """The producer's delivery report."""
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


def _column(values: Sequence[bytes | None] | pl.Series) -> Any:
    """A long list as a column: made in 0.02 µs a record, which then costs half as much to queue."""
    if isinstance(values, pl.Series) or len(values) < MANY:
        return values
    return pl.Series(values, dtype=pl.Binary)

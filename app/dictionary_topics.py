"""Dictionaries in compacted topics, `enrichment.<name>`: workers read all of one and follow it.

A record's key is what events are looked up by, its value a JSON object of the other columns; null
removes the key. Only committed records are read, so a table that is written in one transaction is
taken up as a whole. `provider` is the topic and the offset of the last record taken up, of each
partition.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import orjson
import polars as pl
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)
from confluent_kafka.admin import OffsetSpec

from app.broker.admin import connect
from app.broker.cluster_error import ClusterError, cluster_error
from app.broker.settled import wait_settled
from app.offsets import OffsetReader
from app.reading import TIMEOUT, ReadingError, open_reader, partitions, read, take
from topology.enrich.dictionary import Dictionary
from topology.enrich.matching import MATCHES

log = logging.getLogger(__name__)

BATCH: Final = 10_000
FOLLOW_S: Final = 5.0
"""So long a look waits for the rest of what is being written at most."""
WRITE_S: Final = 60.0


class TopicDictionary:
    """An enricher whose table is a topic's; empty until `start`."""

    def __init__(
        self, topic: str, key: str, fields: Sequence[str], name: str, match: str = "exact"
    ) -> None:
        """`topic`: its logical name, without prefix and `enrichment.`; others as Dictionary's."""
        self.name = name
        self.topic = topic
        self._key = key
        self._match = match
        self._make: Callable[[Sequence[Mapping[str, Any]], str | None], Dictionary] = (
            lambda rows, provider: Dictionary(
                name, key, fields, rows, match=match, provider=provider
            )
        )
        self._rows: dict[str, dict[str, Any]] = {}
        self._last: dict[int, int] = {}
        self._consumer: Consumer | None = None
        self._physical = topic
        self.current = self._make([], None)

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events as the present table enriches them."""
        return self.current.apply(events)

    def start(self, client: Mapping[str, Any], topic: str) -> None:
        """Read the whole topic. Raises ReadingError when it is missing or Kafka is away."""
        self._physical = topic
        consumer = open_reader(client)
        assigned = partitions(consumer, [topic])
        consumer.assign(assigned)
        self._last = {item.partition: -1 for item in assigned}
        left = set(self._last)
        heard = time.monotonic()
        while left:
            found, ended = take(consumer, BATCH)
            self._take(found)
            left -= {number for _, number in ended}
            if found or ended:
                heard = time.monotonic()
            elif time.monotonic() - heard > TIMEOUT:
                raise ReadingError(f"nothing came of {topic} for {TIMEOUT:.0f} s")
        self._consumer = consumer
        self._exchange()

    def look(self) -> bool:
        """Take up what was written since; whether there was anything. For one thread at a time."""
        if self._consumer is None:
            return False
        changed = False
        unfinished: set[int] = set()
        until = time.monotonic() + FOLLOW_S
        try:
            while True:
                found, ended = take(self._consumer, BATCH)
                changed |= bool(found)
                self._take(found)
                unfinished |= {message.partition() for message in found}
                unfinished -= {number for _, number in ended}
                if not unfinished or time.monotonic() > until:
                    break
        except ReadingError as error:
            log.warning("A table in a topic stays as it is. error=%s", error)
        if changed:
            self._exchange()
            log.info("A changed table is in use. provider=%s", self._provider)
        return changed

    @property
    def _provider(self) -> str:
        offsets = ",".join(str(self._last[number]) for number in sorted(self._last))
        return f"{self._physical}@{offsets}"

    def _exchange(self) -> None:
        self.current = self._make(list(self._rows.values()), self._provider)

    def _take(self, messages: Iterable[Message]) -> None:
        """Rows by key; what is none is told and passed over."""
        passed: list[str] = []
        for message in messages:
            self._last[message.partition()] = message.offset()
            try:
                key, row = row_of(message.key(), message.value(), self._key, self._match)
            except ValueError as error:
                passed.append(f"{message.partition()}-{message.offset()}: {error}")
                continue
            self._rows.pop(key, None)
            if row is not None:
                self._rows[key] = row
        if passed:
            log.warning(
                "Records that are no rows are passed over. topic=%s count=%d first=%s",
                self._physical,
                len(passed),
                passed[0],
            )


def row_of(
    key: bytes | None, value: bytes | None, column: str, match: str
) -> tuple[str, dict[str, Any] | None]:
    """A record's key, and its row with the key in `column`; None: it is removed.

    Raises ValueError.
    """
    if not key:
        raise ValueError("no key")
    text = key.decode()
    MATCHES[match].normal(text)
    if value is None:
        return text, None
    row = orjson.loads(value)
    if not isinstance(row, dict):
        raise ValueError("the value is no JSON object")  # noqa: TRY004  # as of what is no JSON
    return text, {column: text, **{name: cell for name, cell in row.items() if name != column}}


def contents(client: Mapping[str, Any], topic: str) -> dict[str, bytes]:
    """The value of each key that is there now. Raises ReadingError."""
    found: dict[str, bytes] = {}
    for message in read(client, [topic]):
        key, value = (message.key() or b"").decode(errors="replace"), message.value()
        found.pop(key, None)
        if value is not None:
            found[key] = value
    return found


def changes(
    present: Mapping[str, bytes], rows: Iterable[Mapping[str, Any]], column: str, *, merge: bool
) -> Iterator[tuple[str, bytes | None]]:
    """What makes a topic have these rows: keys and values to write; None removes.

    `merge`: keys that no row has stay.
    """
    wanted: set[str] = set()
    for row in rows:
        key = str(row[column])
        wanted.add(key)
        rest = {name: cell for name, cell in row.items() if name != column}
        value = orjson.dumps(
            rest, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS, default=str
        )
        if present.get(key) != value:
            yield key, value
    if not merge:
        yield from ((key, None) for key in present if key not in wanted)


def write(
    client: Mapping[str, Any], topic: str, records: Iterable[tuple[str, bytes | None]]
) -> None:
    """All of them or none, in one transaction. Raises ClusterError."""
    keyed = ((key.encode(), value, None) for key, value in records)
    write_records(client, topic, keyed, identity=f"{topic}-load")


def write_records(
    client: Mapping[str, Any],
    topic: str,
    records: Iterable[tuple[bytes, bytes | None, int | None]],
    *,
    identity: str,
) -> None:
    """Keys, values and partitions (None: by the key), in one transaction. Raises ClusterError.

    Returns when all of it may be read, which is a moment after the commit is decided.
    `identity`: the transactional id. Of two that write under it at once the first one fails.
    """
    failures: list[KafkaError] = []
    ends: dict[tuple[str, int], int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failures.append(error)
        else:
            ends[message.topic(), message.partition()] = message.offset() + 1

    producer = Producer(
        {
            **client,
            "transactional.id": identity,
            "transaction.timeout.ms": int(WRITE_S * 1000),
            "log_level": 0,
        }
    )
    with cluster_error(f"write to {topic}"):
        producer.init_transactions(WRITE_S)
        producer.begin_transaction()
        for key, value, partition in records:
            place = {} if partition is None else {"partition": partition}
            while True:
                try:
                    producer.produce(topic, value, key, on_delivery=delivered, **place)
                    break
                except BufferError:
                    producer.poll(1)
        left = producer.flush(WRITE_S)
        if failures or left:
            producer.abort_transaction(WRITE_S)
            if failures:
                raise KafkaException(failures[0])
            raise ClusterError(f"{topic} did not take all records; nothing was changed")
        producer.commit_transaction(WRITE_S)
        offsets = OffsetReader(lambda: connect(client))
        committed = IsolationLevel.READ_COMMITTED

        def readable() -> bool:
            found = offsets.list(ends, OffsetSpec.latest(), WRITE_S, isolation_level=committed)
            return all(found[where] >= end for where, end in ends.items())

        wait_settled(readable, topic)

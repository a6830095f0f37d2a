"""How far a copy is in the topics of the other cluster, as kept in a compacted topic of ours.

A record for each partition: key `[copy, cluster id, topic, partition]`, value the offset of the
next record, both as text. The header `read_ms` has the time stamp of the record before that one.
"""

import threading
import time
import uuid
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Producer, TopicPartition

from app.ingest.complaints import quietly
from app.ingest.connectors.copy_error import CopyError

CALL_S: Final = 30.0
AT_ONCE: Final = 10_000
STAMP: Final = "read_ms"

Place: TypeAlias = tuple[str, int]
"""A topic of the other cluster and a partition of it."""


class Position(NamedTuple):
    """`offset` of the next record; `stamp`: time stamp of the one read last, in ms, if known."""

    offset: int
    stamp: int | None = None


class SourceOffsets:
    """Those of one copy. `ours`: librdkafka configuration of our cluster."""

    def __init__(self, ours: Mapping[str, Any], topic: str, copy: str) -> None:
        self._ours, self._topic, self._copy = ours, topic, copy
        self._mark = orjson.dumps([copy])

    def produce(self, producer: Producer, cluster: str, reached: Mapping[Place, Position]) -> None:
        """Into the producer's transaction: how far the copy is then."""
        for place, (offset, stamp) in reached.items():
            producer.produce(
                self._topic,
                b"%d" % offset,
                orjson.dumps([self._copy, cluster, *place]),
                headers=None if stamp is None else {STAMP: b"%d" % stamp},
            )

    def read(
        self, producer: Producer, stop: threading.Event
    ) -> dict[tuple[str, Place], Position] | None:
        """Positions as committed, by cluster id and place; None when `stop` was set meanwhile.

        A mark of our own, committed first, tells when all were read. Raises CopyError.
        """
        mark = uuid.uuid4().hex.encode()
        producer.begin_transaction()
        producer.produce(self._topic, mark, self._mark)
        producer.commit_transaction(CALL_S)
        consumer = Consumer(
            {
                "fetch.wait.max.ms": 50,
                **self._ours,
                "group.id": self._copy,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                **quietly(),
            }
        )
        try:
            consumer.assign([TopicPartition(self._topic, 0, OFFSET_BEGINNING)])
            return self._up_to(mark, consumer, stop)
        finally:
            consumer.close()

    def _up_to(
        self, mark: bytes, consumer: Any, stop: threading.Event
    ) -> dict[tuple[str, Place], Position] | None:
        found: dict[tuple[str, Place], Position] = {}
        mine = self._mark.removesuffix(b"]") + b","
        error: KafkaError | None = None
        deadline = time.monotonic() + 2 * CALL_S
        while not stop.is_set():
            for message in consumer.consume(AT_ONCE, 0.5):
                if message.error() is not None:
                    error = message.error()
                    continue
                key, value = message.key() or b"", message.value()
                if value == mark:
                    return found
                if not key.startswith(mine):
                    continue
                _, cluster, topic, partition = orjson.loads(key)
                where = cluster, (topic, partition)
                if value is None:  # somebody has deleted it: the copy of this begins anew
                    found.pop(where, None)
                else:
                    stamp = dict(message.headers() or ()).get(STAMP)
                    found[where] = Position(int(value), None if stamp is None else int(stamp))
            if time.monotonic() > deadline:
                reason = "" if error is None else f": {error.str()}"
                raise CopyError(
                    f"{self._topic} could not be read to its end within {2 * CALL_S:.0f} s{reason}"
                )
        return None

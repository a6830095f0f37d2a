"""Records of another cluster, and how far they reach there, into our cluster: one transaction."""

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from itertools import compress, repeat
from operator import length_hint
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.ingest.complaints import quietly
from app.ingest.connectors.copy_error import CopyError
from app.ingest.connectors.source_offsets import AT_ONCE, CALL_S, Place, Position, SourceOffsets
from app.ingest.publisher import MAX_MESSAGE, PERMANENT

log = logging.getLogger(__name__)

GATHER_S: Final = 0.1
TURN_S: Final = 1.0
STALLED_S: Final = 5.0
TRANSACTION_MS: Final = 60_000


class CopyWriter:
    """`ours`: librdkafka configuration of our cluster. `copy`: its name and transactional id.
    `count` takes what to add to the totals; `stop` says that the copy is to end. Raises
    KafkaException, BufferError and CopyError.

    A broker refuses a whole batch for one record that it never takes. So the session after a
    refusal sends one by one, and the one after that leaves out what was refused.
    """

    def __init__(
        self,
        ours: Mapping[str, Any],
        raw: str,
        copy: str,
        offsets: SourceOffsets,
        count: Callable[..., None],
        stop: threading.Event,
    ) -> None:
        self._ours, self._raw, self._copy = ours, raw, copy
        self._offsets, self._count, self._stop = offsets, count, stop
        self._producer: Any = None
        self._never: set[bytes] = set()  # values that our broker has refused
        self._turned_down = False  # our broker has refused something of this transaction
        self._one_by_one = False  # what the next session does
        self._alone = False  # what this one does
        self._waiting_since: float | None = None

    @property
    def stalled(self) -> bool:
        """Whether our cluster has kept a transaction waiting."""
        since = self._waiting_since
        return since is not None and time.monotonic() - since > STALLED_S

    def open(self) -> dict[tuple[str, Place], Position] | None:
        """End what the last session, or another agent of this name, has left open; then how far
        the copy is, as SourceOffsets.read tells it."""
        self._waiting_since = self._waiting_since or time.monotonic()
        self._alone = self._one_by_one
        self._producer = Producer(
            {
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                "delivery.report.only.error": True,
                **self._ours,
                "transactional.id": self._copy,
                "transaction.timeout.ms": TRANSACTION_MS,
                "message.max.bytes": MAX_MESSAGE,
                "linger.ms": 5,
                "batch.num.messages": 1 if self._alone else 10_000,
                "queue.buffering.max.messages": 10 * AT_ONCE,
                "on_delivery": self._refused,
                **quietly(),
            }
        )
        self._producer.init_transactions(CALL_S)
        saved = self._offsets.read(self._producer, self._stop)
        self._waiting_since = None
        return saved

    def close(self) -> None:
        """Let go of the producer: what it has not committed, the next one aborts."""
        self._producer = None

    def write(
        self, messages: Sequence[Message], cluster: str, reached: Mapping[Place, Position]
    ) -> None:
        """Records, and how far they reach, in one transaction."""
        started = time.monotonic()
        self._waiting_since = self._waiting_since or started
        values = list(map(Message.value, messages))
        wanted = [value is not None and value not in self._never for value in values]
        empty = values.count(None)  # a tombstone; here it would be a tick
        refused = Counter({"MSG_SIZE_TOO_LARGE": len(wanted) - sum(wanted) - empty})
        keys = list(map(Message.key, messages))
        times = [moment for _, moment in map(Message.timestamp, messages)]
        lines = list(compress(values, wanted))
        self._turned_down = False
        self._producer.begin_transaction()
        refused += self._produce(lines, list(compress(keys, wanted)), list(compress(times, wanted)))
        self._offsets.produce(self._producer, cluster, reached)
        self._end()
        self._waiting_since = None
        self._never.clear()
        self._count(
            copied=len(messages) - empty - refused.total(),
            bytes=sum(map(len, lines)),
            empty=empty,
            refused=refused,
            transactions=1,
            transaction_s=time.monotonic() - started,
        )
        if messages and self._alone:
            self._one_by_one = False
            raise CopyError("a record that Kafka never takes was left out")

    def _end(self) -> None:
        """Commit. What is behind a refused record librdkafka does not send, but waits for."""
        until = time.monotonic() + CALL_S
        while True:
            try:
                self._producer.commit_transaction(TURN_S)  # goes on where the last call ended
            except KafkaException as error:
                if self._turned_down:
                    raise CopyError("our cluster refuses a record for good") from None
                timed_out = error.args[0].code() == KafkaError._TIMED_OUT  # noqa: SLF001
                if not timed_out or time.monotonic() > until:
                    raise
            else:
                return

    def _produce(
        self,
        lines: list[bytes],
        keys: list[bytes | None],
        times: list[int],
    ) -> Counter[str]:
        """Hand over all records; those that are never taken, by reason."""
        refused: Counter[str] = Counter()
        topic, partition, report = repeat(self._raw), repeat(-1), repeat(self._refused)
        while lines:
            rest = iter(lines)
            try:
                # `callback` and `on_delivery` are two positions before `timestamp`.
                sent = map(
                    self._producer.produce, topic, rest, keys, partition, report, report, times
                )
                deque(sent, maxlen=0)
            except BufferError:
                done = len(lines) - length_hint(rest) - 1
                self._producer.poll(GATHER_S)
                if self.stalled and self._stop.is_set():
                    raise
            except KafkaException as error:
                if error.args[0].code() not in PERMANENT:
                    raise
                done = len(lines) - length_hint(rest)
                refused[error.args[0].name()] += 1
                log.error("Kafka does not take a record. bytes=%d", len(lines[done - 1]))  # noqa: TRY400
            else:
                return refused
            lines, keys, times = lines[done:], keys[done:], times[done:]
        return refused

    def _refused(self, error: KafkaError | None, message: Message) -> None:
        """Our broker has refused a record for good: the next session leaves it out.

        It refuses a whole batch for one record; so that is first tried again one by one.
        """
        if error is None or error.code() not in PERMANENT:
            return
        self._turned_down = True
        if self._alone:
            self._never.add(message.value())
            log.error("Kafka does not take a record. bytes=%d", len(message.value()))
        self._one_by_one = True

"""Records of topics on another cluster into a raw topic here, each exactly once. Blocks.

One transaction on our cluster holds the records and, in a compacted topic, how far they reach on
the other one: the offsets of another cluster's group cannot be part of a transaction here. After a
failure of any kind a new producer with the same transactional id first ends what the last one left,
then reads the offsets that were committed, and goes on there.
"""

import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message

from app.ingest.connectors.copy_error import CopyError
from app.ingest.connectors.copy_totals import Totals
from app.ingest.connectors.copy_writer import CopyWriter
from app.ingest.connectors.source_offsets import Place, Position, SourceOffsets
from app.ingest.connectors.source_topics import SourceTopics, reached

log = logging.getLogger(__name__)

RETRY_S: Final = 2.0
FENCED_S: Final = 30.0


class Copy:
    """One copy in a thread of its own. `ours` and `theirs`: librdkafka configuration."""

    def __init__(
        self,
        ours: Mapping[str, Any],
        theirs: Mapping[str, Any],
        topics: Sequence[str],
        raw: str,
        *,
        name: str,
        offsets_topic: str,
        from_end: bool,
    ) -> None:
        self.totals = Totals()
        self._name, self._from_end = name, from_end
        self._source = SourceTopics(theirs, topics, name)
        offsets = SourceOffsets(ours, offsets_topic, name)
        self._stop = threading.Event()
        self._writer = CopyWriter(ours, raw, name, offsets, self._count, self._stop)
        self._thread = threading.Thread(target=self._run, name="copy", daemon=True)

    def start(self) -> None:
        """Begin to copy."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End after the transaction in hand; one that does not end is aborted by the broker."""
        self._stop.set()
        self._thread.join(seconds)

    @property
    def stalled(self) -> bool:
        """Whether our cluster has kept a transaction waiting."""
        return self._writer.stalled

    def _run(self) -> None:
        while not self._stop.is_set():
            wait = RETRY_S
            try:
                self._session()
            except (KafkaException, CopyError, BufferError) as error:
                cause = error.args[0]
                fenced = isinstance(cause, KafkaError) and cause.code() in (
                    KafkaError._FENCED,  # noqa: SLF001  # the names of librdkafka's own codes
                    KafkaError.PRODUCER_FENCED,
                    KafkaError.INVALID_PRODUCER_EPOCH,
                )
                if fenced:
                    wait = FENCED_S
                    log.error("Another agent copies this too. copy=%s", self._name)  # noqa: TRY400
                else:
                    log.warning("Copying begins anew. copy=%s error=%s", self._name, error)
                self._count(faults=Counter({"fenced" if fenced else "session": 1}))
            except Exception:
                log.exception("Copying failed. copy=%s", self._name)
            self._stop.wait(wait)

    def _session(self) -> None:
        try:
            saved = self._writer.open()
            if saved is not None:
                self._source.open()
                self._follow(saved)
        finally:
            self._source.close()
            self._writer.close()

    def _follow(self, saved: Mapping[tuple[str, Place], Position]) -> None:
        source, writer = self._source, self._writer
        at_end = self._from_end and not saved
        while not self._stop.is_set():
            if source.find(saved, at_end=at_end) and at_end:
                writer.write([], source.cluster, source.positions)
                at_end = False
            records, events = source.read(), []
            if any(map(Message.error, records)):
                events = [each for each in records if each.error() is not None]
                records = [each for each in records if each.error() is None]
            if records:
                positions = reached(records)
                writer.write(records, source.cluster, positions)
                source.positions.update(positions)
            for event in events:
                if found := source.look_at(event):
                    fault, moved = found
                    # At once: after a restart, behind what is written meanwhile, nothing shows it.
                    writer.write([], source.cluster, moved)
                    self._count(faults=Counter({fault: 1}))

    def _count(self, **more: Any) -> None:
        self.totals = self.totals.plus(**more)

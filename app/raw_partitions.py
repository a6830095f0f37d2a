"""Which raw partitions hold records, owned by this worker or not: windows wait for all of them."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.offsets import OffsetReader
from app.runtime.errors import EngineError
from topology.topics import Partition

log = logging.getLogger(__name__)

TIMEOUT_S = 8.0


class RawPartitions:
    """Asks Kafka which raw partitions hold records; called from engine and timer threads."""

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str]) -> None:
        chosen = {**client, "logger": logging.getLogger("northbound.rdkafka")}
        self._offsets = OffsetReader(lambda: AdminClient(chosen))
        self._topics = topics

    def known(self) -> set[Partition] | None:
        """The same; None when Kafka does not say in time."""
        try:
            return set(self())
        except EngineError:
            return None

    def __call__(self) -> list[Partition]:
        """Those that ever got a record. Raises EngineError when Kafka does not say in time.

        One that is left out would not hold windows back, and they would close without it.
        """
        try:
            known = self._offsets.admin.list_topics(timeout=TIMEOUT_S).topics
            wanted = [
                (topic, number)
                for topic in self._topics
                if topic in known
                for number in known[topic].partitions
            ]
            ends = self._offsets.list(wanted, OffsetSpec.latest(), TIMEOUT_S)
        except KafkaException as error:
            raise EngineError(
                f"Kafka does not say which raw partitions hold records: {error.args[0].str()}"
            ) from error
        return [partition for partition, end in ends.items() if end > 0]


class Looked:
    """What was found the last time. `look` from time to time, by one thread at a time."""

    def __init__(
        self,
        ask: Callable[[], Collection[Partition]],
        there: Callable[[frozenset[Partition]], None],
        gone: Callable[[], None],
    ) -> None:
        """`there` is told which partitions hold records; `gone` is called where some that did hold
        none any more: their topic was made anew, and windows would wait for them for ever."""
        self._ask = ask
        self._there = there
        self._gone = gone
        self._before: frozenset[Partition] = frozenset()

    def look(self) -> None:
        """Raises EngineError when Kafka does not say in time."""
        found = frozenset(self._ask())
        gone = self._before - found
        self._there(found)
        if gone:
            log.warning("Raw partitions hold no records any more. partitions=%s", sorted(gone))
            self._gone()
        self._before = found

"""Which raw partitions hold records, owned by this worker or not: windows wait for all of them."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.offsets import list_offsets
from app.runtime.errors import EngineError
from topology.records import Partition

TIMEOUT_S = 8.0
ATTEMPT_S = 2.0


class RawPartitions:
    """Asks Kafka which raw partitions hold records; called from engine and timer threads."""

    def __init__(self, client: Mapping[str, Any], topics: Sequence[str]) -> None:
        self._client = {**client, "logger": logging.getLogger("northbound.rdkafka")}
        self._admin = AdminClient(self._client)
        self._topics = topics

    def __call__(self) -> list[Partition]:
        """Those that ever got a record. Raises EngineError when Kafka does not say in time.

        One that is left out would not hold windows back, and they would close without it.
        """
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            try:
                return self._look()
            except KafkaException as error:
                if time.monotonic() > deadline:
                    raise EngineError(
                        "Kafka does not say which raw partitions hold records: "
                        f"{error.args[0].str()}"
                    ) from error
                # What this one knows of leaders may be older than a broker's crash.
                self._admin = AdminClient(self._client)

    def _look(self) -> list[Partition]:
        known = self._admin.list_topics(timeout=ATTEMPT_S).topics
        wanted = [
            (topic, number)
            for topic in self._topics
            if topic in known
            for number in known[topic].partitions
        ]
        ends = list_offsets(self._admin, wanted, OffsetSpec.latest(), ATTEMPT_S)
        return [partition for partition, end in ends.items() if end > 0]

"""Whether Kafka has the raw topics that an agent publishes to."""

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from app.ingest.complaints import quietly

log = logging.getLogger(__name__)

SETTLE_S: Final = 3.0


class IngestError(Exception):
    """The agent cannot start; the message says what to do."""


def require_topics(client: Mapping[str, Any], topics: list[str]) -> None:
    """Raise IngestError if Kafka answers and a topic is not there.

    When Kafka does not answer the agent starts all the same: senders are held back until it does.
    """
    admin = AdminClient({**client, **quietly()})
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            there = admin.list_topics(timeout=5.0).topics
        except KafkaException as error:
            log.warning("Kafka does not answer yet; senders will be held back. error=%s", error)
            return
        missing = [topic for topic in topics if topic not in there]
        if not missing:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(SETTLE_S / 10)  # a topic made just now takes a moment to show
    raise IngestError(
        f"no topic {', '.join(missing)} in Kafka: run `northbound topics create` first"
    )

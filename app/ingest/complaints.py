"""What librdkafka has to say about Kafka, once a minute for each kind instead of a flood."""

import logging
import time
from typing import Any, Final

from confluent_kafka import KafkaError

log = logging.getLogger(__name__)

AGAIN_S: Final = 60.0


class Seldom:
    """Says whether a kind of complaint is to be logged: once a minute."""

    def __init__(self) -> None:
        self._said: dict[int, float] = {}

    def due(self, kind: int) -> bool:
        """Whether it was not within a minute; then it is from now on."""
        now = time.monotonic()
        if now - self._said.get(kind, -AGAIN_S) < AGAIN_S:
            return False
        self._said[kind] = now
        return True


class Complaints:
    """An error callback. A broker that is away would else fill the log with one line a second."""

    def __init__(self) -> None:
        self._seldom = Seldom()

    def __call__(self, error: KafkaError) -> None:
        """Log unless the same kind was logged within a minute."""
        if self._seldom.due(error.code()):
            log.warning("Kafka cannot be used. kind=%s error=%s", error.name(), error.str())


def quietly() -> dict[str, Any]:
    """Client configuration: errors go through `Complaints`, the library's own lines nowhere."""
    return {"error_cb": Complaints(), "log_level": 2}

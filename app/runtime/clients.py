"""Makes librdkafka clients whose own log lines go to Python's logging, and not without bound."""

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient

log = logging.getLogger("northbound.kafka")


class Throttle(logging.Filter):
    """Lets `count` records through in `seconds`; librdkafka writes thousands during an outage."""

    def __init__(self, count: int = 20, seconds: float = 10.0) -> None:
        super().__init__()
        self._count = count
        self._seconds = seconds
        self._since = 0.0
        self._passed = 0
        self._left_out = 0
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.CRITICAL:  # a client that has ended says so once
            return True
        now = time.monotonic()
        with self._lock:
            if now - self._since > self._seconds:
                if self._left_out:
                    record.msg = f"{record.getMessage()} ({self._left_out} lines left out before)"
                    record.args = ()
                self._since, self._passed, self._left_out = now, 0, 0
            self._passed += 1
            if self._passed > self._count:
                self._left_out += 1
                return False
            return True


log.addFilter(Throttle())


class Clients(Protocol):
    """Where an engine's Kafka clients come from."""

    def consumer(self, config: Mapping[str, Any]) -> Any: ...
    def producer(self, config: Mapping[str, Any], on_delivery: Any) -> Any: ...
    def admin(self, config: Mapping[str, Any]) -> Any: ...


@dataclass(frozen=True, slots=True)
class KafkaClients:
    """Real ones."""

    def consumer(self, config: Mapping[str, Any]) -> Any:
        return Consumer(dict(config), logger=log)

    def producer(self, config: Mapping[str, Any], on_delivery: Any) -> Any:
        return Producer({**config, "on_delivery": on_delivery}, logger=log)

    def admin(self, config: Mapping[str, Any]) -> Any:
        # Nothing polls this client, so its log lines would pile up; its calls report their errors.
        return AdminClient({**config, "log_level": 0})

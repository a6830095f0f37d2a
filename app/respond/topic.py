"""A topic of the same Kafka: a record for each alert, with its key as the header `idempotency-key`.

A record that Kafka finds too large is refused; whatever else is in the way, the alert waits.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from app.deliver.destination import UnreachableError, Waiting
from app.deliver.settings import Place
from app.ingest.complaints import quietly
from app.respond.action import Action, RefusedError
from app.respond.notification import Notification
from app.respond.webhook import json_of

if TYPE_CHECKING:
    from app.config import Config
    from app.config.responses import TopicResponse

HEADER: Final = "idempotency-key"
LOOK_S: Final = 10.0
STEP_S: Final = 0.2
LATE_S: Final = 5.0
PRODUCER: Final[Mapping[str, Any]] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 0,
}
TOO_LARGE: Final = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
}


@dataclass(frozen=True, kw_only=True)
class TopicSettings:
    """`client`: librdkafka configuration of Northbound's own processes, secrets in it."""

    topic: str
    client: Mapping[str, Any] = field(repr=False)
    body: Mapping[str, Any] | None
    timeout_s: float


class KafkaTopic(Action):
    """One record at a time."""

    def __init__(self, settings: TopicSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting
        self._producer: Producer | None = None

    def open(self, address: str) -> None:
        """Connect, and look whether the topic is there."""
        settings = self._settings
        timeout_ms = int(settings.timeout_s * 1000)
        producer = Producer(
            {**PRODUCER, **settings.client, "message.timeout.ms": timeout_ms, **quietly()}
        )
        try:
            # All topics, because a broker may make one that is asked for by name.
            found = producer.list_topics(timeout=LOOK_S).topics
        except KafkaException as error:
            raise UnreachableError(f"topic {address}: {error.args[0].str()}") from None
        if address not in found:
            raise UnreachableError(f"topic {address}: is not there; create it")
        self._producer = producer

    def act(self, alert: Notification) -> None:
        """Write it, and wait for all in-sync replicas."""
        if self._producer is None:
            raise UnreachableError("not connected")
        topic, done = self._settings.topic, list[KafkaError | None]()
        try:
            self._producer.produce(
                topic,
                json_of(alert, self._settings.body),
                alert.uid,
                headers=[(HEADER, alert.key.encode())],
                on_delivery=lambda error, _message: done.append(error),
            )
        except KafkaException as error:
            raise self._failed(error.args[0]) from None
        except BufferError:
            raise UnreachableError(f"topic {topic}: too much waits for it") from None
        until = time.monotonic() + self._settings.timeout_s + LATE_S
        while not done:
            self._producer.poll(STEP_S)
            self._waiting()
            if time.monotonic() > until:
                raise UnreachableError(f"topic {topic}: no answer")
        if done[0] is not None:
            raise self._failed(done[0])

    def close(self) -> None:
        """Let go of the producer."""
        self._producer = None

    def _failed(self, error: KafkaError) -> UnreachableError | RefusedError:
        text = f"topic {self._settings.topic}: {error.str()}"
        return RefusedError(text) if error.code() in TOO_LARGE else UnreachableError(text)


def settings(config: "Config", _at: Place, to: "TopicResponse") -> TopicSettings:
    """Keys of northbound.yaml as the action is told them. Raises ConfigError."""
    return TopicSettings(
        topic=to.topic, client=config.client(), body=to.body, timeout_s=to.timeout / 1000
    )


def addresses(_config: "Config", to: "TopicResponse") -> list[str]:
    """The topic."""
    return [to.topic]

"""Sends single records at once, outside of any transaction; for command line tools."""

import logging
import threading
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaException, Producer

from app.runtime.clients import log
from app.runtime.errors import EngineError
from app.runtime.parcel import Parcel

CLOSE_SECONDS = 10.0


class Direct:
    """An idempotent producer with a thread that answers senders."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._producer: Any = Producer(
            {**client, "enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 0},
            logger=log,
        )
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="direct", daemon=True)
        self._thread.start()

    def post(self, parcel: Parcel) -> None:
        """Send it; `parcel.done` is called when the brokers have it or refused it."""

        def delivered(error: Any, _: Any) -> None:
            parcel.done(None if error is None else EngineError(error.str()))

        options: dict[str, Any] = {"timestamp": parcel.timestamp, "on_delivery": delivered}
        if parcel.partition is not None:
            options["partition"] = parcel.partition
        if parcel.headers:
            options["headers"] = list(parcel.headers)
        try:
            self._producer.produce(parcel.topic, parcel.value, parcel.key, **options)
        except (BufferError, KafkaException) as error:
            parcel.done(EngineError(f"Record for topic {parcel.topic} was refused: {error}"))

    def close(self) -> None:
        """Wait for what is under way."""
        self._closing.set()
        self._thread.join()
        left = self._producer.flush(CLOSE_SECONDS)
        if left:
            logging.getLogger("northbound.runtime").error("Records were not sent. count=%d", left)

    def _poll(self) -> None:
        while not self._closing.is_set():
            try:
                self._producer.poll(0.05)
            except KafkaException as error:  # a fatal one; what it is fatal for is told its senders
                log.error("Records cannot be sent: %s", error)

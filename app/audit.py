"""Writes to the audit topic who changed what: topics, tenants, credentials. Never a secret."""

import getpass
import os
import socket
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from app.broker.cluster_error import ClusterError, cluster_error
from schemas.codec import encode
from topology.topics import Names

TIMEOUT_S = 30.0


def actor() -> str:
    """The person at the keyboard, as far as this machine knows: `user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user is often a number without a name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


class Writer:
    """Writes Audit records; each is safe when `record` returns.

    librdkafka has a producer id half a second after the producer was made: it asks at once, when it
    is connected to nothing yet, and again after that time. Make a writer before what is to be
    recorded, so that the time passes meanwhile, and one for all that a command does.
    """

    def __init__(self, client: Mapping[str, Any], names: Names) -> None:
        """`client`: librdkafka configuration."""
        self._topic = names.audit
        self._producer = Producer(
            {
                **client,
                "acks": "all",
                "enable.idempotence": True,
                "delivery.timeout.ms": int(TIMEOUT_S * 1000),
                "log_level": 0,
            }
        )

    def record(self, action: str, target: str, details: Mapping[str, str] | None = None) -> None:
        """action: what was done, such as `tenant.add`. Raises ClusterError when it cannot be
        written."""
        who = actor()
        value = {
            "time": time.time_ns() // 1_000_000,
            "actor": who,
            "action": action,
            "target": target,
            "details": dict(details or {}),
            "kind": "audit",
        }
        failures: list[KafkaError] = []

        def delivered(error: KafkaError | None, _: Message) -> None:
            if error is not None:
                failures.append(error)

        with cluster_error(f"write down {action} {target} in {self._topic}"):
            self._producer.produce(
                self._topic, encode("Audit", value), who.encode(), on_delivery=delivered
            )
            left = self._producer.flush(TIMEOUT_S)
            if failures:
                raise KafkaException(failures[0])
        if left:
            raise ClusterError(
                f"{action} {target} is done, but {self._topic} did not take the record"
            )


def record(
    client: Mapping[str, Any],
    names: Names,
    action: str,
    target: str,
    details: Mapping[str, str] | None = None,
) -> None:
    """Write one Audit record and wait until it is safe, as Writer.record."""
    Writer(client, names).record(action, target, details)

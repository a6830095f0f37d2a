"""Writes to the audit topic who changed what: topics, tenants, credentials. Never a secret."""

import getpass
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
    return f"{getpass.getuser()}@{socket.gethostname()}"


def record(
    client: Mapping[str, Any],
    names: Names,
    action: str,
    target: str,
    details: Mapping[str, str] | None = None,
) -> None:
    """Write one Audit record and wait until it is safe.

    action: what was done, such as `tenant.add`. Raises ClusterError when it cannot be written.
    """
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

    producer = Producer(
        {
            **client,
            "acks": "all",
            "enable.idempotence": True,
            "delivery.timeout.ms": int(TIMEOUT_S * 1000),
            "log_level": 0,
        }
    )
    with cluster_error(f"write down {action} {target} in {names.audit}"):
        producer.produce(names.audit, encode("Audit", value), who.encode(), on_delivery=delivered)
        left = producer.flush(TIMEOUT_S)
        if failures:
            raise KafkaException(failures[0])
    if left:
        raise ClusterError(f"{action} {target} is done, but {names.audit} did not take the record")

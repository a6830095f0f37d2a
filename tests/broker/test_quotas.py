"""Quotas of tenants, on a real broker: set, changed, taken away, and felt by nobody else."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer

from app.broker import credentials, quotas, rights
from app.broker.cluster_error import ClusterError
from app.broker.kafka_commands import Commands
from app.broker.quota_requests import alter, describe
from app.broker.server import EmbeddedKafka
from app.config.tenants import Quota
from tests.broker.bundles import bundle_of
from topology.topics import Names

pytestmark = pytest.mark.broker

COMMANDS = Commands("k:9093", 1)
SIZE = 100_000
RECORDS = 60


def test_quotas_come_change_and_go(kafka: EmbeddedKafka, unique: Callable[[str], str]) -> None:
    """What is as declared is left alone; the plan says what is not, as Kafka's own commands."""
    names = Names(f"{unique('quota')}.")
    client = {"bootstrap.servers": kafka.bootstrap}
    user = rights.user_name(names, "acme")
    first = {"acme": Quota(bytes_per_second=1_000_000, request_percent=25)}
    assert quotas.ensure(client, names, first, COMMANDS) == []
    kept = {"consumer_byte_rate": 1_000_000.0, "request_percentage": 25.0}
    assert describe(client, [user]) == {user: kept}
    assert quotas.plan(client, names, first) == {}
    second = {"acme": Quota(bytes_per_second=2_000_000, request_percent=None)}
    change = {"consumer_byte_rate": 2_000_000.0, "request_percentage": None}
    assert quotas.plan(client, names, second) == {"acme": change}
    quotas.ensure(client, names, second, COMMANDS)
    assert describe(client, [user]) == {user: {"consumer_byte_rate": 2_000_000.0}}
    for _ in range(2):
        quotas.remove(client, names, "acme")
        assert describe(client, [user]) == {user: {}}


def test_kafka_counts_no_connections_of_a_user(
    kafka: EmbeddedKafka, unique: Callable[[str], str]
) -> None:
    """Why there is a limit for each address and none for each tenant: users have no such quota."""
    with pytest.raises(ClusterError, match=r"(?i)invalid|unknown"):
        alter({"bootstrap.servers": kafka.bootstrap}, unique("u"), {"connection_creation_rate": 5})


def test_who_asks_for_too_much_is_slowed_down_alone(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """A tenant that reads more than its quota waits, and reads all; another one reads at once."""
    names = Names(f"{unique('quota')}.")
    client = {"bootstrap.servers": kafka.bootstrap}
    quotas.ensure(
        client,
        names,
        {
            "slow": Quota(bytes_per_second=500_000, request_percent=None),
            "quick": Quota(bytes_per_second=500_000_000, request_percent=None),
        },
        COMMANDS,
    )
    waits: dict[str, list[float]] = {"slow": [], "quick": []}
    for tenant, throttled in waits.items():
        bundle_of(kafka, names, tenant, tmp_path / tenant)
        producer = Producer({**client, "linger.ms": 0, "compression.type": "none"})
        for number in range(RECORDS):
            producer.produce(names.events(tenant), bytes([number]) * SIZE, partition=0)
        assert producer.flush(60) == 0

        def heard(event: Any, throttled: list[float] = throttled) -> None:
            throttled.append(event.throttle_time)

        consumer = Consumer(
            {
                "bootstrap.servers": kafka.northbound,
                "security.protocol": "SASL_SSL",
                "sasl.mechanisms": "SCRAM-SHA-256",
                "sasl.username": rights.user_name(names, tenant),
                "sasl.password": credentials.read(tmp_path / tenant / "secrets", tenant).password,
                "ssl.ca.location": str(kafka.ca),
                "group.id": f"{rights.group_prefix(names, tenant)}siem",
                "auto.offset.reset": "earliest",
                "fetch.max.bytes": 1_000_000,
                "throttle_cb": heard,
            }
        )
        try:
            consumer.subscribe([names.events(tenant)])
            found = 0
            deadline = time.monotonic() + 120
            while found < RECORDS and time.monotonic() < deadline:
                found += sum(each.error() is None for each in consumer.consume(10, 0.5))
            assert found == RECORDS
        finally:
            consumer.close()
    assert max(waits["slow"]) > 0
    assert not any(waits["quick"])


def test_no_broker_is_said(unique: Callable[[str], str]) -> None:
    """One message, that says what to do."""
    names = Names(f"{unique('quota')}.")
    with pytest.raises(ClusterError, match="is Kafka up"):
        quotas.ensure({"bootstrap.servers": "127.0.0.1:1"}, names, {"acme": Quota()}, COMMANDS)

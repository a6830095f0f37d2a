"""Alerts that count for other rules, on a real broker, with workers that are killed."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker.ports import free
from app.broker.server import EmbeddedKafka
from app.reading import read
from tests.app.deployed import deploy
from tests.runtime.processes import end, start_faust, wait_for
from tests.topology.deployment import line

pytestmark = [pytest.mark.broker, pytest.mark.kill]

FIELDS = "product: qumulo\nservice: audit\nfields: {user: actor.user.name}\n"
RULES = """
title: Delete
id: 11111111-1111-4111-8111-111111111111
name: deleted
logsource: {product: qumulo, service: audit}
detection: {sel: {user: "*"}, condition: sel}
---
title: Three by one user
id: 22222222-2222-4222-8222-222222222222
name: three
correlation:
  type: event_count
  rules: [deleted]
  group-by: [user]
  timespan: 2s
  condition: {gte: 3}
---
title: Three by each of twenty users
id: 33333333-3333-4333-8333-333333333333
correlation:
  type: value_count
  rules: [three]
  group-by: []
  timespan: 1h
  condition: {gte: 20, field: user}
northbound: {suppress: 1s}
"""
USERS = 20
MINUTE_MS = 60_000


def test_alerts_of_all_partitions_count_once(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """Twenty alerts, in three partitions of `matches` on two workers of which one is killed twice,
    make one alert that has each of them once."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "fieldmap.yml").write_text(FIELDS, encoding="utf-8")
    (tmp_path / "rules" / "rules.yml").write_text(RULES, encoding="utf-8")
    config = deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("counted")}.
  matches_partitions: 3
sources:
  q: {{format: qumulo, partitions: 2}}
rules: [rules]
tenants:
  acme: {{sources: [q]}}
""",
    )
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    start = int(time.time() * 1000) - 10 * MINUTE_MS

    def send(moment: int, user: str, partition: int) -> None:
        value = line(moment, user, path="/data/a.txt")
        producer.produce(config.names.raw("q"), value, partition=partition, timestamp=moment)

    def finals() -> list[dict[str, Any]]:
        found = [
            orjson.loads(each.value())
            for each in read(config.client(), [config.names.alerts("acme")])
        ]
        return [each for each in found if each["unmapped"]["state"] == "final"]

    def events() -> int:
        return len(list(read(config.client(), [config.names.events("acme")])))

    with ExitStack() as stack:

        def started() -> Any:
            worker = start_faust(config.home / "northbound.yaml", free("127.0.0.1"), log)
            stack.callback(end, worker)
            return worker

        log = config.home / "worker.log"
        workers = [started(), started()]
        for number in range(USERS):
            for match in range(3):
                send(start + 1_000 * number + match, f"user{number}", (number + match) % 2)
            if number % 8 == 5:
                assert producer.flush(60) == 0
                wait_for(lambda: events() > 0, "events")
                os.kill(workers[0].pid, signal.SIGKILL)
                workers[0].wait()
                workers[0] = started()
        assert producer.flush(60) == 0
        last = start + 5 * MINUTE_MS

        def told() -> bool:
            """Time goes on for both partitions until the windows are closed."""
            nonlocal last
            last += 1_000
            for partition in range(2):
                send(last, "clock", partition)
            assert producer.flush(60) == 0
            return bool(finals())

        wait_for(told, "the final alert")
        (alert,) = finals()
    assert alert["finding_info"]["title"] == "Three by each of twenty users"
    assert (alert["count"], alert["unmapped"]["values"]) == (USERS, USERS)
    uids = [event["uid"] for event in alert["finding_info"]["related_events"]]
    assert len(set(uids)) == USERS
    assert alert["start_time"] == start + 2
    assert alert["end_time"] == start + 1_000 * (USERS - 1) + 2

"""A worker on a real broker takes up rules that change while records come in."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker.server import EmbeddedKafka
from app.config import Config
from app.reading import read
from schemas.codec import decode
from tests.app.deployed import deploy, working
from tests.runtime.processes import wait_for
from tests.topology.deployment import line

pytestmark = [pytest.mark.broker]

FIELDS = (
    "product: qumulo\nservice: audit\nfields: {user: actor.user.name, folder: file.parent_folder}\n"
)
BURST = """
title: Burst
id: 11111111-1111-4111-8111-111111111111
name: any
logsource: {product: qumulo, service: audit}
detection: {sel: {folder: /data}, condition: sel}
---
title: Three by one user
id: 22222222-2222-4222-8222-222222222222
correlation:
  type: event_count
  rules: [any]
  group-by: [user]
  timespan: 1h
  condition: {gte: 3}
"""
EVE = """
title: Eve was here
id: 33333333-3333-4333-8333-333333333333
logsource: {product: qumulo, service: audit}
detection: {sel: {user: eve}, condition: sel}
"""


@pytest.fixture
def config(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Config:
    """A deployment with a folder of rules, and its topics."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "fieldmap.yml").write_text(FIELDS, encoding="utf-8")
    (tmp_path / "rules" / "burst.yml").write_text(BURST, encoding="utf-8")
    return deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("rules")}.
  matches_partitions: 1
sources:
  q: {{format: qumulo, partitions: 2}}
rules: [rules]
tenants:
  acme: {{sources: [q]}}
""",
    )


def _alerts(config: Config) -> list[dict[str, Any]]:
    return [
        orjson.loads(each.value()) for each in read(config.client(), [config.names.alerts("acme")])
    ]


def _bursts(config: Config) -> dict[str, dict[str, Any]]:
    """Alerts of the rule that stays, by user."""
    return {
        alert["unmapped"]["group"]["user"]: alert
        for alert in _alerts(config)
        if alert["finding_info"]["title"] == "Three by one user"
    }


def test_rules_change_and_what_they_counted_stays(config: Config) -> None:
    """A rule that comes fires from then on, a mistake changes nothing, one that goes is silent; a
    rule that stays counts on across both, and every event is there once."""
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    sent = 0

    def send(user: str) -> None:
        nonlocal sent
        stamp = int(time.time() * 1000)
        path = f"/data/{sent}.txt"
        producer.produce(config.names.raw("q"), line(stamp, user, path=path), partition=sent % 2)
        assert producer.flush(60) == 0
        sent += 1
        wait_for(lambda: len(_events(config)) == sent, "the line as an event")

    def titles() -> list[str]:
        return [alert["finding_info"]["title"] for alert in _alerts(config)]

    added = config.home / "rules" / "eve.yml"
    with working(config, "info", "tests.app.quick_worker") as log:
        send("eve")
        assert titles() == []
        added.write_text(EVE.replace("user: eve", "users: eve"), encoding="utf-8")
        told = "field 'users' is not in the field map"
        wait_for(lambda: told in log.read_text(encoding="utf-8"), "the mistake in the log")
        send("eve")
        assert titles() == []
        added.write_text(EVE, encoding="utf-8")

        def fires() -> bool:
            send("eve")
            return "Eve was here" in titles()

        wait_for(fires, "the new rule's first alert")
        wait_for(lambda: "Three by one user" in titles(), "the old rule's count")
        added.unlink()
        wait_for(lambda: "removed=1" in log.read_text(encoding="utf-8"), "the rule to go", 60)

        def silent() -> bool:
            """`matches` has one partition: what comes after eve's says that hers was looked at."""
            before = titles().count("Eve was here")
            send("eve")
            marker = f"marker{sent}"
            for _ in range(3):
                send(marker)
            wait_for(lambda: marker in _bursts(config), "the marker's alert")
            return titles().count("Eve was here") == before

        wait_for(silent, "the removed rule to be silent")
    first = min(event["time"] for event in _events(config))
    assert _bursts(config)["eve"]["start_time"] == first, "events from before the change count"
    paths = [event["file"]["path"] for event in _events(config)]
    assert sorted(paths) == sorted(f"/data/{number}.txt" for number in range(sent))
    audited = [decode(each.value())[1] for each in read(config.client(), [config.names.audit])]
    changes = [each["details"] for each in audited if each["action"] == "rules.change"]
    assert [change["added"] for change in changes] == ["Eve was here", ""]
    assert [change["removed"] for change in changes] == ["", "Eve was here"]
    waiting = [each["details"]["problem"] for each in audited if each["action"] == "rules.wait"]
    assert any(told in each for each in waiting), waiting


def _events(config: Config) -> list[dict[str, Any]]:
    return [
        orjson.loads(each.value()) for each in read(config.client(), [config.names.events("acme")])
    ]

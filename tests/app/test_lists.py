"""Active lists on a real broker: workers that are killed, and an operator's edits."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from app.broker.ports import free
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.reading import read
from schemas.codec import decode
from tests.app.deployed import deploy
from tests.runtime.processes import end, start_faust, wait_for
from tests.topology.deployment import line

pytestmark = [pytest.mark.broker, pytest.mark.kill]

FIELDS = """\
product: qumulo
service: audit
fields: {user: actor.user.name, operation: metadata.event_code, path: file.path}
"""
RULES = """
title: Rights changed
id: 11111111-1111-4111-8111-111111111111
logsource: {product: qumulo, service: audit}
detection: {sel: {operation: fs_write_metadata}, condition: sel}
northbound:
  lists: [{add: watched, values: [path]}]
---
title: Deletion by one who is watched
id: 22222222-2222-4222-8222-222222222222
logsource: {product: qumulo, service: audit}
detection: {sel: {operation: fs_delete}, condition: sel}
northbound:
  lists: [{in: watched}]
"""
USERS = 40
MINUTE_MS = 60_000


def test_lists_lose_and_invent_nothing(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """With three partitions of `matches` on two workers of which one is killed twice, each
    deletion of a user who was added alerts once, and no other does; then one whom an operator
    added does, until he is removed; a file takes the place of all; the audit topic has each."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "fieldmap.yml").write_text(FIELDS, encoding="utf-8")
    (tmp_path / "rules" / "rules.yml").write_text(RULES, encoding="utf-8")
    config = deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("lists")}.
  matches_partitions: 3
sources:
  q: {{format: qumulo, partitions: 2, lateness: 2s}}
rules: [rules]
lists:
  watched: {{key: [user], ttl: 1h}}
tenants:
  acme: {{sources: [q]}}
""",
    )
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    start = int(time.time() * 1000) - 10 * MINUTE_MS

    def send(moment: int, user: str, operation: str, partition: int) -> None:
        value = line(moment, user, operation, path="/data/a.txt")
        producer.produce(config.names.raw("q"), value, partition=partition, timestamp=moment)

    def told() -> Counter[str]:
        """Deletions that alerted, by user and time."""
        found = [
            orjson.loads(each.value())
            for each in read(config.client(), [config.names.alerts("acme")])
        ]
        return Counter(
            f"{each['evidences'][0]['data']['user']} {each['time']}"
            for each in found
            if each["finding_info"]["title"].startswith("Deletion")
        )

    def events() -> int:
        return len(list(read(config.client(), [config.names.events("acme")])))

    def lists(*arguments: str) -> str:
        result = CliRunner().invoke(
            app, ["lists", *arguments, "--config", str(config.home / "northbound.yaml")]
        )
        assert result.exit_code == 0, result.output
        return result.output

    def goes_on(moment: int) -> None:
        for partition in range(2):
            send(moment, "clock", "fs_read_data", partition)
        assert producer.flush(60) == 0

    with ExitStack() as stack:

        def started() -> Any:
            worker = start_faust(config.home / "northbound.yaml", free("127.0.0.1"), log)
            stack.callback(end, worker)
            return worker

        log = config.home / "worker.log"
        workers = [started(), started()]
        expected: Counter[str] = Counter()
        for number in range(USERS):
            moment, user = start + 500 * number, f"user{number}"
            if number % 2:
                send(moment, user, "fs_write_metadata", number % 4 // 2)
                expected[f"{user} {moment + 1}"] += 1
            send(moment, user, "fs_delete", 0)
            send(moment + 1, user, "fs_delete", 1)
            if number % 20 == 15:
                assert producer.flush(60) == 0
                wait_for(lambda: events() > 0, "events")
                os.kill(workers[0].pid, signal.SIGKILL)
                workers[0].wait()
                workers[0] = started()
        goes_on(start + MINUTE_MS)
        wait_for(lambda: told() == expected, "each alert once", 90)
        shown = [orjson.loads(text) for text in lists("show", "watched", "--json").splitlines()]
        assert {each["user"] for each in shown} == {f"user{n}" for n in range(1, USERS, 2)}
        assert shown[0]["values"] == {"path": "/data/a.txt"}

        lists("add", "watched", "late", "--ttl", "30d", "--value", "reason=INC-17")
        added = int(time.time() * 1000)

        def late() -> list[dict[str, Any]]:
            """Shown once a worker has the edit."""
            shown = map(orjson.loads, lists("show", "watched", "--json").splitlines())
            return [each for each in shown if each["user"] == "late"]

        wait_for(late, "the edit in the list")
        assert [each["values"] for each in late()] == [{"reason": "INC-17"}]
        send(added + 1, "late", "fs_delete", 0)
        expected[f"late {added + 1}"] += 1
        wait_for(lambda: int(time.time() * 1000) > added + 10, "the clock")
        lists("remove", "watched", "late")
        removed = int(time.time() * 1000)
        send(removed + 1, "late", "fs_delete", 0)
        goes_on(removed + MINUTE_MS)
        wait_for(lambda: told() == expected, "the alert of the edit")
        wait_for(lambda: not late(), "the end of the edit")
        rows = config.home / "rows.csv"
        rows.write_text("user,reason\nuser1,left\nnew,left\n", encoding="utf-8")
        lists("import", "watched", str(rows), "--replace")

        def users() -> set[str]:
            shown = map(orjson.loads, lists("show", "watched", "--json").splitlines())
            return {each["user"] for each in shown}

        wait_for(lambda: users() == {"user1", "new"}, "the file's rows and no others")
    assert told() == expected
    audited = [decode(each.value())[1] for each in read(config.client(), [config.names.audit])]
    found = [
        (each["action"], each["details"]["key"]) for each in audited if "key" in each["details"]
    ]
    assert found == [("lists.add", "late"), ("lists.remove", "late")]
    assert audited[-1]["action"] == "lists.import"
    assert audited[-1]["details"] == {
        "tenant": "acme",
        "file": "rows.csv",
        "added": "2",
        "removed": str(USERS // 2 - 1),
    }

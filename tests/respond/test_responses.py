"""Responses to alerts in Kafka, with real receivers that are killed: nothing lost, and what comes
twice has the same key."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from app.broker.server import EmbeddedKafka
from app.deliver import lane
from app.deliver.delivery import Delivery
from tests.app.deployed import deploy
from tests.deliver.http_process import HttpProcess
from tests.deliver.rig import delivering, status_of
from tests.ingest.peers import wait_for
from tests.respond.findings import event_finding, finding
from tests.respond.mail_server import MailServer

pytestmark = [pytest.mark.broker, pytest.mark.kill]

ROOT = Path(__file__).parents[2]
TOKEN = "s3cret-t0ken"


class Alerts:
    """A tenant whose alerts a test writes, and its responses."""

    def __init__(
        self, kafka: EmbeddedKafka, folder: Path, prefix: str, responses: Sequence[dict[str, Any]]
    ) -> None:
        content = {
            "version": 1,
            "kafka": {
                "external": {"bootstrap": kafka.bootstrap, "replication": 1},
                "topic_prefix": f"{prefix}-",
            },
            "sources": {"any": {"format": "rfc5424"}},
            "tenants": {"acme": {"sources": ["any"], "partitions": 3}},
            "responses": [{"tenant": "acme", "start": "beginning", **each} for each in responses],
        }
        self.config = deploy(folder, yaml.safe_dump(content))
        self._producer = Producer(
            {"bootstrap.servers": kafka.bootstrap, "transactional.id": prefix, "log_level": 2}
        )
        self._producer.init_transactions(60)

    def write(self, values: Sequence[bytes]) -> None:
        """One transaction, keyed by uid as the workers do it; not while one writes steadily."""
        self._producer.begin_transaction()
        for value in values:
            try:
                key = orjson.loads(value)["finding_info"]["uid"]
            except ValueError:
                key = "?"
            self._producer.produce(self.config.names.alerts("acme"), value, key)
        self._producer.commit_transaction(60)

    def write_steadily(self, count: int, seconds: float) -> threading.Thread:
        """So many different alerts, over about so long."""
        step = max(1, count // 30)

        def work() -> None:
            for first in range(0, count, step):
                self.write([finding(each) for each in range(first, min(count, first + step))])
                time.sleep(seconds / 30)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        return thread


class Hook(HttpProcess):
    """One that keeps keys beside bodies."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.address += "/in"

    def taken(self) -> list[tuple[str, dict[str, Any]]]:
        """Key and JSON of each request that it has taken."""
        file = self.folder / "hooks"
        *whole, _ = file.read_bytes().split(b"\n") if file.exists() else [b""]
        found = [line.split(b" ", 1) for line in whole]
        return [(key.decode(), orjson.loads(value)) for key, value in found]

    def told(self) -> list[str]:
        """Of these."""
        return [key for key, _ in self.taken()]


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Hook]:
    """One that is not started, and gone behind the test."""
    made = Hook(tmp_path / "hook")
    yield made
    made.kill()


def expected(count: int, name: str) -> set[str]:
    return {f"uid-{number}.{name}.first" for number in range(count)}


def settled(made: Sequence[Delivery]) -> bool:
    return all(each.totals().lag == 0 for each in made)


def test_webhook_killed(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path, hook: Hook
) -> None:
    """The receiver is killed twice while alerts come: it has them all, each under its own key,
    however often; what it refuses is kept, and what it always fails over is, too."""
    to = {"type": "webhook", "addresses": [hook.address], "token_file": "token"}
    to |= {"body": {"text": "{message}", "uid": "{finding_info.uid}", "count": "{count}"}}
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    (hook.folder / "token").write_text(f"Bearer {TOKEN}")
    alerts = Alerts(kafka, tmp_path, unique("hook"), [{"name": "page", "tries": 3, "to": to}])
    count = 300
    hook.start()
    with delivering(alerts.config) as made:
        writer = alerts.write_steadily(count, 2.0)
        for share in (0.2, 0.5):
            wait_for(lambda: len(hook.taken()) > share * count, "some alerts")  # noqa: B023
            hook.kill()
            hook.start()
        writer.join()
        alerts.write([b"no alert", finding(-1, state="final")])
        alerts.write([finding(-2, group=(("x", "poison"),)), finding(-3, group=(("x", "fails"),))])
        wait_for(lambda: set(hook.told()) == expected(count, "page"), "all alerts", 120)
        wait_for(lambda: made[0].totals().refused == 3, "those that are refused", 120)
        wait_for(lambda: settled(made), "no lag", 120)
        totals = made[0].totals()
    assert all(key.split(".")[0] == each["uid"] for key, each in hook.taken())
    assert all(each["count"] == 100 for _, each in hook.taken())
    assert totals.delivered >= count
    assert (totals.skipped, totals.refused) == (1, 3)
    file = alerts.config.state / "refused" / "page.ndjson"
    assert file.stat().st_mode & 0o777 == 0o600
    kept = [orjson.loads(line) for line in file.read_bytes().splitlines()]
    reasons = {each["key"]: each["reason"] for each in kept}
    assert reasons["uid--2"].startswith("400 a record is not")
    assert reasons["uid--3"].endswith("(after 3 tries)")
    assert reasons["?"].startswith("expected a finding in ocsf-json")


def test_own_process_killed(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path, hook: Hook
) -> None:
    """`northbound deliver` is killed with SIGKILL while it responds, and started again: every alert
    is answered, in its order within a partition, and what comes twice has its key. Its metrics and
    its status say what it did."""
    to = {"type": "webhook", "addresses": [hook.address]}
    alerts = Alerts(kafka, tmp_path, unique("hook"), [{"name": "page", "to": to}])
    count = 400
    hook.start()

    def start() -> subprocess.Popen[bytes]:
        with (tmp_path / "deliver.log").open("ab") as log:
            argv = [sys.executable, "-c", "from app.cli import main; main()", "deliver"]
            argv += ["--config", str(tmp_path / "northbound.yaml")]
            return subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log, env=dict(os.environ))

    process = start()
    try:
        writer = alerts.write_steadily(count, 3.0)
        wait_for(lambda: len(hook.taken()) > count // 4, "some alerts")
        process.kill()
        process.wait(60)
        process = start()
        writer.join()
        wait_for(lambda: set(hook.told()) == expected(count, "page"), "all alerts", 120)
        wait_for(lambda: _shown(alerts, process.pid)["lag"] == 0, "no lag")
        shown = _shown(alerts, process.pid)
        assert (shown["name"], shown["type"], shown["tenant"]) == ("page", "webhook", "acme")
        web = status_of(alerts.config)["web"]
        with urllib.request.urlopen(f"http://{web}/metrics") as answer:
            text = answer.read().decode()
        labels = '{delivery="page",tenant="acme",type="webhook"}'
        assert f"northbound_delivery_delivered_total{labels}" in text
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _shown(alerts: Alerts, pid: int) -> dict[str, Any]:
    """Of this process: the one that was killed has left its file."""
    status = status_of(alerts.config)
    found = status.get("deliveries") if status.get("pid") == pid else None
    return dict(found[0] if found else {"lag": None})


def test_one_that_is_away_stalls_no_other(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path, hook: Hook
) -> None:
    """While a receiver is away and a program hangs, other responses to the same alerts go on; it
    has them all when it is back."""
    program = tmp_path / "hangs"
    program.write_text("#!/bin/sh\nexec /bin/sleep 600\n")
    program.chmod(0o700)
    topic = f"{unique('own')}-topic"
    client = {"bootstrap.servers": kafka.bootstrap}
    admin = AdminClient(client)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(60)
    responses = [
        {"name": "away", "to": {"type": "webhook", "addresses": [hook.address]}},
        {"name": "hangs", "to": {"type": "command", "argv": ["hangs"], "timeout": "10m"}},
        {"name": "copy", "to": {"type": "topic", "topic": topic, "body": {"m": "{message}"}}},
    ]
    alerts = Alerts(kafka, tmp_path, unique("hook"), responses)
    # What hangs does so when all is over, too.
    with delivering(alerts.config, finish_s=lane.FINISH_S) as (away, hangs, copy):
        alerts.write([finding(number) for number in range(100)])
        wait_for(lambda: copy.totals().delivered == 100, "the topic's records")
        assert (away.totals().delivered, hangs.totals().delivered) == (0, 0)
        hook.start()
        wait_for(lambda: away.totals().delivered == 100, "the others", 90)
        found = _records({**client, "group.id": topic}, topic, 100)
    assert {key for key, _, _ in found} == expected(100, "copy")
    assert all(key.startswith(uid + ".") for key, uid, _ in found)
    assert all(orjson.loads(value)["m"].startswith("Mass delete") for _, _, value in found)
    assert set(hook.told()) == expected(100, "away")


def _records(client: dict[str, Any], topic: str, count: int) -> list[tuple[str, str, bytes]]:
    """Key of the header, key and value."""
    consumer = Consumer({**client, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[tuple[str, str, bytes]] = []
    deadline = time.monotonic() + 120
    while len(found) < count and time.monotonic() < deadline:
        for each in consumer.consume(count, 1.0):
            if each.error() is not None:  # a topic that this broker does not know yet
                continue
            ((name, key),) = each.headers()
            assert name == "idempotency-key"
            found.append((key.decode(), each.key().decode(), each.value()))
    consumer.close()
    return found


def test_mail_server_killed(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """A mail server is killed while alerts come: each has its message, and one that comes twice has
    the same Message-ID."""
    server = MailServer(tmp_path / "mail")
    to = {"type": "email", "addresses": [server.address], "tls": {"ca": str(server.ca)}}
    to |= {"sender": "nb@example.com", "recipients": ["soc@example.com"], "body": "{message}"}
    alerts = Alerts(kafka, tmp_path, unique("mail"), [{"name": "mail", "to": to}])
    count = 60

    def found() -> set[str]:
        return {str(each["Message-ID"]) for each in server.messages()}

    server.start()
    try:
        with delivering(alerts.config) as made:
            writer = alerts.write_steadily(count, 1.5)
            wait_for(lambda: len(found()) > count // 4, "some messages")
            server.kill()
            server.start()
            writer.join()
            wait_for(lambda: len(found()) == count, "all messages", 120)
            wait_for(lambda: settled(made), "no lag")
        assert found() == {f"<{key}@example.com>" for key in expected(count, "mail")}
    finally:
        server.kill()


def test_chosen_and_limited(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path, hook: Hook
) -> None:
    """Of a storm two alerts of a rule are told and the rest is summed up once; by a response that
    wants finals alone, none of it is."""
    url = tmp_path / "url"
    url.write_text(f"{hook.address}\n")
    url.chmod(0o600)
    to = {"type": "webhook", "url_file": "url"}
    responses = [
        {"name": "few", "limit": {"most": 2, "per": "10s"}, "to": to},
        {"name": "finals", "when": ["final"], "tags": ["attack.t1485"], "to": to},
    ]
    alerts = Alerts(kafka, tmp_path, unique("hook"), responses)
    hook.start()
    with delivering(alerts.config) as (few, finals):
        alerts.write([*(finding(number) for number in range(200)), event_finding(200)])
        wait_for(lambda: any(key.endswith(".few.summary") for key in hook.told()), "a summary")
        wait_for(lambda: finals.totals().delivered == 1, "the final one")
        wait_for(lambda: finals.totals().skipped == 200, "those that are not")
        wait_for(lambda: settled([few, finals]), "no lag")
        by_name = [key.split(".") for key in hook.told()]
        assert [key for key in hook.told() if ".finals." in key] == ["uid-200.finals.final"]
        told = [key for key in by_name if "few" in key and "summary" not in key]
        (summary,) = [each for key, each in hook.taken() if key.endswith(".few.summary")]
        assert len(told) == 2
        assert summary["count"] == 199
        assert few.totals().summed == 199
        assert finals.totals().skipped == 200
        assert hook.address not in f"{few.status()} {few.settings!r}"


def test_begins_with_what_comes(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path, hook: Hook
) -> None:
    """A new response says nothing of the alerts of last week unless it is told to; what comes while
    it is stopped it tells."""
    to = {"type": "webhook", "addresses": [hook.address]}
    alerts = Alerts(kafka, tmp_path, unique("hook"), [{"name": "page", "start": "end", "to": to}])
    alerts.write([finding(number) for number in range(10)])
    hook.start()
    with delivering(alerts.config) as (page,):
        wait_for(lambda: page.totals().lag == 0, "a beginning")
    alerts.write([finding(number) for number in range(10, 20)])
    with delivering(alerts.config) as (page,):
        wait_for(lambda: page.totals().delivered == 10, "the others")
    assert set(hook.told()) == expected(20, "page") - expected(10, "page")


def test_secrets_are_in_no_log(
    kafka: EmbeddedKafka,
    unique: Callable[[str], str],
    tmp_path: Path,
    hook: Hook,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A receiver that says what it was sent, at a URL that is a secret: neither token nor URL is in
    the log."""
    caplog.set_level(logging.DEBUG)
    for name, text in {"url": f"{hook.address}/s3cret-path", "token": TOKEN}.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    (hook.folder / "token").write_text("Bearer another")
    to = {"type": "webhook", "url_file": "url", "token_file": "token"}
    alerts = Alerts(kafka, tmp_path, unique("hook"), [{"name": "page", "to": to}])
    alerts.write([finding(1)])
    with delivering(alerts.config) as (page,):
        wait_for(lambda: "refused" in caplog.text, "a receiver that is away")
        hook.start()
        wait_for(lambda: "no right with" in caplog.text, "a refusal")
        assert page.totals().delivered == 0
        (hook.folder / "token").write_text(f"Bearer {TOKEN}")
        wait_for(lambda: page.totals().delivered == 1, "the alert")
    assert "401" in caplog.text
    assert "<secret>" in caplog.text
    assert TOKEN not in caplog.text
    assert "s3cret-path" not in caplog.text
    assert str(tmp_path / "url") in caplog.text

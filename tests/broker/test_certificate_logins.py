"""Tenants that log in by certificate, on a real broker: bundle, rotation, pause, removal."""

import datetime as dt
import json
import stat
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from confluent_kafka import Consumer, KafkaError, Producer
from typer.testing import CliRunner

from app.broker import admin as topics
from app.broker import client_issuer, rights
from app.broker.bundle import client_configuration
from app.broker.quota_requests import describe
from app.broker.server import EmbeddedKafka
from app.cli import app
from tests.runtime.processes import wait_for
from topology.topics import Names

pytestmark = pytest.mark.broker

PRIVATE = {"client.key", "keystore.p12", "elastic-agent.yml", "rsyslog.conf"}
"""Files of a bundle that hold the key."""


class Deployment:
    """A configuration of the session's broker with one tenant, by the commands."""

    def __init__(self, kafka: EmbeddedKafka, folder: Path, name: str) -> None:
        self.kafka, self.folder, self.name = kafka, folder, name
        self.names = Names(f"{name}.")
        self.client = {"bootstrap.servers": kafka.bootstrap}
        self.said = ""
        self.configure({})

    def configure(self, named: dict[str, object]) -> None:
        northbound = {
            "advertise": self.kafka.northbound,
            "certificates": {"advertise": self.kafka.by_certificate},
        }
        embedded = {
            "data": str(self.kafka.data),
            "internal": self.kafka.bootstrap,
            "northbound": northbound,
        }
        content = {
            "version": 1,
            "kafka": {"embedded": embedded, "topic_prefix": self.names.prefix},
            "sources": {"qumulo": {"format": "qumulo"}},
            "tenants": named,
            "mask_key": str(self.folder / "mask.key"),
        }
        (self.folder / "northbound.yaml").write_text(yaml.safe_dump(content))

    def run(self, *arguments: str) -> Result:
        config = str(self.folder / "northbound.yaml")
        result = CliRunner().invoke(app, ["tenants", *arguments, "--config", config])
        self.said += result.output
        return result

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def bundle(self, name: str, *arguments: str) -> Path:
        """A bundle in the folder `name`, of the command `bundle` or that of `arguments`."""
        folder = self.folder / name
        self.done(*(arguments or ("bundle",)), self.name, "--out", str(folder))
        return folder

    def becomes(self, state: str, paused: Sequence[str] = ()) -> None:
        """Wait until a broker knows what the controller has been told: it learns it later."""
        wanted = (state, list(paused))
        wait_for(lambda: (row := self.row()) and (row["state"], row["paused"]) == wanted, state)

    def row(self) -> dict[str, Any]:
        (row,) = [json.loads(line) for line in self.done("list").splitlines()]
        return row

    def users(self) -> set[str]:
        """Who has rights of the tenant's."""
        admin = topics.connect(self.client)
        found = rights.describe(admin, self.names, [self.name])[self.name]
        return {each.principal.removeprefix("User:") for each in found}

    def produce(self) -> None:
        producer = Producer(self.client)
        producer.produce(self.names.events(self.name), b"{}")
        assert producer.flush(60) == 0


@pytest.fixture
def deployment(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Deployment:
    return Deployment(kafka, tmp_path, unique("mtls"))


def consume(folder: Path, group: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-I", folder / "consumer.py"),
            *("--topic", "events", "--count", "1", "--group", group),
        ],
        capture_output=True,
        text=True,
        timeout=150,
        cwd="/",
        check=False,
    )


def examined(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", folder / "doctor.py"],
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        check=False,
    )


def subscribed(folder: Path, group: str) -> Consumer:
    settings, of_feed = client_configuration(folder)
    settings |= {"group.id": f"{settings['group.id']}-{group}", "log_level": 0}
    consumer = Consumer(settings)
    consumer.subscribe([of_feed["events"]])
    return consumer


def heard(consumer: Consumer, *codes: int) -> None:
    """Wait for an error with one of these codes, or for a record if there are none."""

    def polled() -> bool:
        message = consumer.poll(1.0)
        if message is None:
            return False
        error = message.error()
        return error.code() in codes if error is not None else not codes

    wait_for(polled, f"one of {codes}" if codes else "a record")


def test_a_bundle_with_a_certificate(deployment: Deployment) -> None:
    """It reads as it is, its doctor finds nothing wrong, and its key is in files that are for
    their owner alone and in nothing that is printed. The tenant has no password, and its quota is
    on the certificate's user."""
    deployment.done("add", deployment.name, "--by-certificate")
    deployment.becomes("ready")
    deployment.produce()
    folder = deployment.bundle("bundle")
    read = consume(folder, "reader")
    assert (read.returncode, read.stdout) == (0, "{}\n"), read.stderr
    doctor = examined(folder)
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert "ok   client.pem: until" in doctor.stdout
    row = deployment.row()
    (certificate,) = row["certificates"]
    assert (row["login"], row["state"], row["mechanisms"]) == ("certificate", "ready", [])
    kept = list((deployment.kafka.data / "credentials").glob(f"{deployment.name}.*"))
    assert [(stat.S_IMODE(file.stat().st_mode), file.suffix) for file in kept] == [(0o600, ".pem")]
    private = {file.name for file in folder.iterdir() if stat.S_IMODE(file.stat().st_mode) == 0o600}
    line = (folder / "client.key").read_bytes().splitlines()[1]
    with_key = {file.name for file in folder.iterdir() if line in file.read_bytes()}
    assert with_key == PRIVATE - {"keystore.p12"}
    assert private >= PRIVATE
    assert line.decode() not in deployment.said + doctor.stdout + read.stderr
    own = describe(deployment.client, [certificate["user"]])[certificate["user"]]
    assert own == {"consumer_byte_rate": 100_000_000.0, "request_percentage": 100.0}


def test_the_doctor_of_a_certificate_that_is_refused(deployment: Deployment) -> None:
    """One of another CA, and one that has ended: it is said with what to do, without waiting for a
    login that cannot come."""
    deployment.done("add", deployment.name, "--by-certificate")
    folder = deployment.bundle("bundle")
    now, other = dt.datetime.now(dt.UTC), deployment.folder / "other"
    client_issuer.ensure_ca(other, now)
    for tls, days, failing in (
        (other, 100.0, {"TLS"}),
        (deployment.kafka.data / "tls", -1 / 48, {"TLS", "client.pem"}),
    ):
        issuer = client_issuer.own(tls)
        found = client_issuer.issue(other, issuer, "acme", deployment.names.prefix, now, days)
        for name, content in zip(
            ("client.pem", "client.key"), client_issuer.pem(found), strict=True
        ):
            (folder / name).write_bytes(content)
        said = [each for each in examined(folder).stdout.splitlines() if each.startswith("FAIL ")]
        assert {each.split()[1].rstrip(":") for each in said} == failing, said
        assert "client.pem is not one that the brokers take" in said[-1]


def test_two_certificates_work_at_a_time(deployment: Deployment) -> None:
    """With --overlap consumers of both bundles read; with --finish the older one reads nothing any
    more, over the connection that it has open neither. A tenant that is removed and comes back has
    no use of what it had."""
    deployment.done("add", deployment.name, "--by-certificate")
    old = deployment.bundle("old")
    deployment.produce()
    reader = subscribed(old, "open")
    try:
        heard(reader)
        new = deployment.bundle("new", "rotate", "--overlap")
        deployment.becomes("ready, old certificate works, too")
        for folder in (old, new):
            assert consume(folder, folder.name).returncode == 0
        again = deployment.run("rotate", deployment.name, "--overlap", "--out", str(new))
        assert (again.exit_code, "--finish" in again.stderr) == (1, True)
        deployment.produce()
        heard(reader)
        before = deployment.users()
        said = deployment.done("rotate", deployment.name, "--finish", "--out", str(new))
        assert "open connections neither" in said
        wait_for(lambda: len(before) - len(deployment.users()) == 1, "the end of its rights")
        deployment.produce()
        heard(reader, KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED)
    finally:
        reader.close()
    assert consume(old, "once-more").returncode == 1
    assert consume(new, "after").returncode == 0
    assert deployment.row()["state"] == "ready"
    deployment.done("remove", deployment.name, "--yes")
    wait_for(lambda: deployment.users() == set(), "the end of all rights")
    assert list((deployment.kafka.data / "credentials").glob(f"{deployment.name}.*")) == []
    deployment.done("add", deployment.name, "--by-certificate")
    assert consume(new, "back").returncode == 1


def test_a_pause_holds_certificates_too(deployment: Deployment) -> None:
    """Those that there are, and one that is issued meanwhile; afterwards both read on."""
    deployment.done("add", deployment.name, "--by-certificate")
    deployment.becomes("ready")
    deployment.produce()
    old = deployment.bundle("old")
    deployment.done("pause", deployment.name, "--yes")
    both = ("events", "alerts")
    deployment.becomes("paused: events and alerts", both)
    new = deployment.bundle("new", "rotate", "--overlap")
    deployment.becomes("paused: events and alerts, old certificate works, too", both)
    assert [consume(each, each.name).returncode for each in (old, new)] == [1, 1]
    deployment.done("resume", deployment.name)
    deployment.becomes("ready, old certificate works, too")
    assert [consume(each, each.name).returncode for each in (old, new)] == [0, 0]


def test_a_tenant_changes_from_a_password_to_a_certificate(deployment: Deployment) -> None:
    """Both work until --finish; then the password is refused."""
    deployment.configure({deployment.name: {"sources": ["qumulo"]}})
    deployment.done("add", deployment.name)
    deployment.becomes("ready")
    deployment.produce()
    old = deployment.bundle("old")
    deployment.configure({deployment.name: {"sources": ["qumulo"], "login": "certificate"}})
    deployment.done("add", deployment.name)
    new = deployment.bundle("new")
    deployment.becomes("ready, old password works, too")
    assert [consume(each, each.name).returncode for each in (old, new)] == [0, 0]
    deployment.done("rotate", deployment.name, "--finish", "--out", str(new))
    deployment.becomes("ready")
    wait_for(lambda: deployment.row()["mechanisms"] == [], "the end of its password")
    assert [consume(each, f"{each.name}-2").returncode for each in (old, new)] == [1, 0]

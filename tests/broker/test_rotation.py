"""New passwords on a real broker: at once, and with a time in which two work."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from confluent_kafka import Consumer, Producer
from typer.testing import CliRunner

from app.broker import settings as broker_settings
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.reading import read
from schemas.codec import decode
from tests.runtime.processes import ROOT, wait_for

pytestmark = pytest.mark.broker

GIVEN = "uR8-wq0Zk+3Vd.x"


def configuration(kafka: EmbeddedKafka, folder: Path, prefix: str, **tenant: object) -> Path:
    external = {
        "bootstrap": kafka.bootstrap,
        "northbound": kafka.northbound,
        "northbound_ca_file": str(kafka.ca),
        "replication": 1,
    }
    content = {
        "version": 1,
        "kafka": {"external": external, "topic_prefix": prefix},
        "sources": {"qumulo": {"format": "qumulo"}},
        "tenants": {"acme": {"sources": ["qumulo"], **tenant}},
    }
    file = folder / "northbound.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["tenants", *arguments, "--config", str(config)])


def done(config: Path, *arguments: str) -> str:
    result = run(config, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


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


def bundled(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "northbound.json").read_text())
    return found


def test_two_passwords_work_at_a_time(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """A consumer of the old bundle reads on, and can log in anew, while one of the new bundle
    reads; `tenants add` leaves both alone; --finish refuses the old one. The bundle keeps its
    mechanism then, so that the next overlap is one for it, too."""
    config = configuration(kafka, tmp_path, f"{unique('rotate')}.")
    done(config, "add", "acme")
    old, new = tmp_path / "old", tmp_path / "new"
    done(config, "bundle", "acme", "--out", str(old))
    topic = bundled(old)["topics"]["events"]
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    settings = {**bundled(old)["kafka"], "ssl.ca.location": str(old / "ca.pem")}
    consumer = Consumer(settings)
    consumer.subscribe([topic])

    def reads_on() -> None:
        producer.produce(topic, b"{}")
        assert producer.flush(60) == 0
        wait_for(lambda: [m for m in consumer.consume(1, 1.0) if not m.error()], "a record")

    try:
        reads_on()
        text = done(config, "rotate", "acme", "--overlap", "--out", str(new))
        assert "until `northbound tenants rotate acme --finish`" in text
        before, after = bundled(old)["kafka"], bundled(new)["kafka"]
        assert (before["sasl.mechanisms"], after["sasl.mechanisms"]) == (
            "SCRAM-SHA-256",
            "SCRAM-SHA-512",
        )
        assert before["sasl.password"] != after["sasl.password"]
        assert after["sasl.password"] not in text
        done(config, "add", "acme")
        reads_on()
        prefix = before["group.id"].removesuffix("siem")
        for folder in (old, new):
            read_ = consume(folder, f"{prefix}{folder.name}")
            assert (read_.returncode, read_.stdout) == (0, "{}\n"), read_.stderr
        (row,) = [json.loads(line) for line in done(config, "list").splitlines()]
        assert row["state"] == "ready, old password works, too"
        again = run(config, "rotate", "acme", "--overlap", "--out", str(new))
        assert (again.exit_code, "--finish" in again.stderr) == (1, True)
    finally:
        consumer.close()
    done(config, "rotate", "acme", "--finish", "--out", str(new))
    assert consume(old, f"{prefix}old").returncode == 1
    final = bundled(new)["kafka"]
    assert final["sasl.password"] == after["sasl.password"]
    assert final["sasl.mechanisms"] == "SCRAM-SHA-512"
    assert consume(new, f"{prefix}again").returncode == 0
    nothing = run(config, "rotate", "acme", "--finish", "--out", str(new))
    assert (nothing.exit_code, "No rotation of acme is open" in nothing.stderr) == (1, True)
    audit = read({"bootstrap.servers": kafka.bootstrap}, [f"{prefix[:-5]}audit"], from_start=True)
    rotated = [decode(message.value())[1] for message in audit]
    overlaps = [r["details"]["overlap"] for r in rotated if r["action"] == "tenant.rotate"]
    assert overlaps == ["begun", "finished"]
    third = tmp_path / "third"
    done(config, "rotate", "acme", "--overlap", "--out", str(third))
    assert bundled(third)["kafka"]["sasl.mechanisms"] == "SCRAM-SHA-256"
    for folder in (new, third):
        assert consume(folder, f"{prefix}{folder.name}-3").returncode == 0
    written = b"".join(message.value() for message in audit)
    for password in (before["sasl.password"], final["sasl.password"]):
        assert password.encode() not in written


def test_a_password_that_is_given(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """From a file, by the mechanism that the tenant has chosen; a bad one changes nothing, and none
    is in what the commands say."""
    config = configuration(kafka, tmp_path, f"{unique('given')}.", mechanism="SCRAM-SHA-512")
    file, folder = tmp_path / "password", tmp_path / "bundle"
    file.write_text("Acme-Password-2026")
    bad = run(config, "add", "acme", "--password-file", str(file))
    assert bad.exit_code == 1
    assert "is a known one" in bad.stderr
    assert "Acme-Password-2026" not in bad.output
    assert not (tmp_path / "data").exists()
    assert run(config, "add", "acme", "--ask-password").exit_code == 2
    file.write_text(f"{GIVEN}\n")
    assert GIVEN not in done(config, "add", "acme", "--password-file", str(file))
    done(config, "bundle", "acme", "--out", str(folder))
    given = bundled(folder)["kafka"]
    assert (given["sasl.mechanisms"], given["sasl.password"]) == ("SCRAM-SHA-512", GIVEN)
    topic = bundled(folder)["topics"]["events"]
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"{}")
    assert producer.flush(60) == 0
    assert consume(folder, given["group.id"]).returncode == 0
    refused = run(config, "rotate", "acme", "--finish", "--password-file", str(file))
    assert refused.exit_code == 2


def test_a_password_that_is_asked_for(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """At a terminal, twice, and shown nowhere: neither on it nor in the process list."""
    config = configuration(kafka, tmp_path, f"{unique('asked')}.")
    program = str(Path(sys.executable).parent / "northbound")
    argv = [program, "tenants", "add", "acme", "--ask-password", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    child, terminal = pty.fork()
    if child == 0:
        os.execve(program, argv, environment)
    shown = b""

    def until(prompt: bytes | None) -> None:
        nonlocal shown
        while prompt is None or prompt not in shown:
            try:
                part = os.read(terminal, 4096)
            except OSError:  # its other end is closed
                return
            if not part:
                return
            shown += part

    try:
        until(b"Password: ")
        os.write(terminal, f"{GIVEN}\n".encode())
        until(b"confirmation: ")
        assert GIVEN not in Path(f"/proc/{child}/cmdline").read_text()
        os.write(terminal, f"{GIVEN}\n".encode())
        until(None)
    finally:
        _, status = os.waitpid(child, 0)
        os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode()
    assert GIVEN.encode() not in shown
    kept = tmp_path / "data" / "credentials" / "acme.password"
    assert kept.read_text() == f"{GIVEN}\n"


def test_where_no_two_can_work(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listener with one mechanism: the overlap is taken back, the bundle handed out works on, and
    the message says that clients will have to reconnect."""
    monkeypatch.setattr(broker_settings, "SCRAM", ("SCRAM-SHA-256",))
    kafka = make_kafka()
    config = configuration(kafka, tmp_path, "")
    done(config, "add", "acme")
    folder = tmp_path / "bundle"
    done(config, "bundle", "acme", "--out", str(folder))
    shutil.copytree(folder, tmp_path / "kept")
    refused = run(config, "rotate", "acme", "--overlap", "--out", str(folder))
    assert refused.exit_code == 1, refused.output
    assert "clients then have to reconnect" in refused.stderr
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce("northbound.acme.events", b"{}")
    assert producer.flush(60) == 0
    assert consume(tmp_path / "kept", "acme.siem").returncode == 0
    text = done(config, "rotate", "acme", "--out", str(folder))
    assert "have to reconnect with the new bundle" in text
    assert consume(tmp_path / "kept", "acme.other").returncode == 1
    assert consume(folder, "acme.other").returncode == 0


def test_commands_where_others_manage_the_cluster(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """The new password is kept here; the commands that set it hold none."""
    config = configuration(kafka, tmp_path, f"{unique('others')}.")
    content = yaml.safe_load(config.read_text())
    content["kafka"]["external"]["manage"] = False
    config.write_text(yaml.safe_dump(content))
    added = done(config, "add", "acme")
    password = (tmp_path / "data" / "credentials" / "acme.password").read_text().strip()
    assert password not in added
    rotated = done(config, "rotate", "acme", "--overlap", "--out", str(tmp_path / "b"))
    new = bundled(tmp_path / "b")["kafka"]
    assert new["sasl.password"] not in rotated
    (command,) = [line for line in rotated.splitlines() if line.startswith("sed ")]
    assert "SCRAM-SHA-512=iterations" in command
    assert "SCRAM-SHA-256" not in command
    finished = done(config, "rotate", "acme", "--finish", "--out", str(tmp_path / "b"))
    assert "SCRAM-SHA-256=iterations" in finished


def test_others_pause_resume_and_remove(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """With manage: false these change nothing on the cluster, though Northbound's user could: they
    say so, print Kafka's own commands and end with 2. What is kept here of the tenant goes."""
    config = configuration(kafka, tmp_path, f"{unique('others')}.")
    content = yaml.safe_load(config.read_text())
    content["tenants"] = {}
    config.write_text(yaml.safe_dump(content))
    done(config, "add", "acme")
    content["kafka"]["external"]["manage"] = False
    config.write_text(yaml.safe_dump(content))
    prefix = content["kafka"]["topic_prefix"]

    def cluster() -> dict[str, Any]:
        (row,) = [json.loads(line) for line in done(config, "list").splitlines()]
        return {key: row[key] for key in ("state", "user", "rights", "paused")}

    before = cluster()
    assert before["state"] == "ready"
    script: list[str] = []
    for arguments, said in (
        (("pause", "acme", "--feed", "events", "--yes"), "reads on until whoever manages"),
        (("resume", "acme"), "once whoever manages the cluster has run"),
    ):
        result = run(config, *arguments)
        assert (result.exit_code, said in result.stdout) == (2, True), result.output
        script += [line for line in result.stdout.splitlines() if line.startswith("kafka-")]
    assert cluster() == before
    topic = f"{prefix}northbound.acme"
    assert [("--add" in line, line.split("--topic ")[1].split()[0]) for line in script] == [
        (True, f"{topic}.events"),
        (False, f"{topic}.events"),
        (False, f"{topic}.alerts"),
    ]
    assert all(f"--deny-principal User:{prefix}acme --operation Read" in line for line in script)
    result = run(config, "remove", "acme", "--topics", "--yes")
    assert result.exit_code == 2, result.output
    tools = [line.split(".sh")[0] for line in result.stdout.splitlines()[1:]]
    assert tools == ["kafka-acls"] * 4 + ["kafka-configs"] * 2 + ["kafka-topics"] * 2
    assert not (tmp_path / "tenants.d" / "acme.yaml").exists()
    assert list((tmp_path / "data" / "credentials").iterdir()) == []
    content["tenants"] = {"acme": {"sources": ["qumulo"]}}
    config.write_text(yaml.safe_dump(content))
    assert cluster() == before

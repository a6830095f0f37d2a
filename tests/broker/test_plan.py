"""`northbound topics plan|apply` on a real cluster, with all rights and with none."""

import json
import os
import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from confluent_kafka import Producer
from confluent_kafka.admin import AclBinding, AclOperation, AdminClient
from typer.testing import CliRunner

from app.broker import admin as topics
from app.broker import jars, quota_requests, rights
from app.broker.java import find_java
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.reading import read
from schemas.codec import decode
from tests.broker import own_user
from topology.topics import Names, Topic

pytestmark = pytest.mark.broker

TOOLS = {
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
    "kafka-acls.sh": "org.apache.kafka.tools.AclCommand",
    "kafka-configs.sh": "kafka.admin.ConfigCommand",
}


@pytest.fixture
def admin(kafka: EmbeddedKafka) -> AdminClient:
    return topics.connect({"bootstrap.servers": kafka.bootstrap})


def configuration(folder: Path, prefix: str, external: dict[str, Any]) -> Path:
    content = {
        "version": 1,
        "kafka": {"external": {"replication": 1, **external}, "topic_prefix": prefix},
        "sources": {"qumulo": {"format": "qumulo", "partitions": 2}},
        "tenants": {"acme": {"sources": ["qumulo"]}},
    }
    file = folder / "northbound.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["topics", *arguments, "--config", str(config)])


def planned(result: Result) -> list[tuple[str, str, str]]:
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    return [(row["action"], row["kind"], row["name"]) for row in rows]


def test_a_plan_is_made_true(
    kafka: EmbeddedKafka, admin: AdminClient, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """Planned with status 2, applied, then nothing to do with status 0; what drifts is found and
    mended; what nobody declares stays until it is named; each change is on the audit topic."""
    prefix = f"{unique('plan')}."
    names = Names(prefix)
    config = configuration(tmp_path, prefix, {"bootstrap": kafka.bootstrap})
    before = run(config, "plan")
    assert before.exit_code == 2, before.output
    wanted = planned(before)
    assert wanted[0] == ("create", "topic", names.raw("qumulo"))
    assert {kind for _, kind, _ in wanted} == {"topic", "user", "acl", "quota"}
    refused = run(config, "apply")
    assert (refused.exit_code, "Say --yes" in refused.stderr) == (2, True)
    assert run(config, "plan").stdout == before.stdout
    applied = run(config, "apply", "--yes")
    assert applied.exit_code == 0, applied.output
    assert f"Plan: {len(wanted)} to create, 0 to change, 0 to delete." in applied.stdout
    after = run(config, "plan")
    assert (after.exit_code, after.stdout) == (0, "")

    raw = Topic(names.raw("qumulo"), "", "", 2, retention_ms=1000)
    topics.apply(admin, topics.plan(admin, [raw]), 1)
    has = rights.wanted(names, "acme")
    rights.take(admin, has[:1])
    extra = AclBinding(
        has[0].restype,
        names.audit,
        "LITERAL",
        has[0].principal,
        "*",
        AclOperation.WRITE,
        "ALLOW",
    )
    rights.give(admin, [extra])
    old = Topic(names.raw("old"), "", "", 1)
    topics.ensure(admin, [old], 1)
    quota_requests.alter(
        {"bootstrap.servers": kafka.bootstrap}, f"{prefix}acme", {"request_percentage": 3.0}
    )
    changes = [
        ("change", "topic", raw.name),
        ("create", "acl", f"{prefix}acme"),
        ("change", "quota", f"{prefix}acme"),
    ]
    left = [("none", "acl", f"{prefix}acme"), ("none", "topic", old.name)]
    assert planned(run(config, "plan")) == [*changes, *left]
    assert run(config, "apply", "--yes").exit_code == 0
    mended = run(config, "plan")
    assert (mended.exit_code, planned(mended)) == (0, left)
    told = run(config, "apply", "--yes", "--revoke", "--delete", old.name)
    assert told.exit_code == 0, told.output
    gone = run(config, "plan")
    assert (gone.exit_code, gone.stdout) == (0, "")
    assert run(config, "plan", "--delete", names.audit).exit_code == 1
    records = read({"bootstrap.servers": kafka.bootstrap}, [names.audit], from_start=True)
    written = [decode(message.value())[1] for message in records]
    done = [(each["action"], each["target"]) for each in written]
    created = [name for _, kind, name in wanted if kind == "topic"]
    assert done == [
        *(("topic.create", name) for name in created),
        ("tenant.add", "acme"),
        ("tenant.quota", "acme"),
        ("topic.set", raw.name),
        ("tenant.add", "acme"),
        ("tenant.quota", "acme"),
        ("tenant.revoke", "acme"),
        ("topic.delete", old.name),
    ]
    assert written[-1]["kind"] == "audit"


def test_topics_that_fit_a_state_are_a_problem(
    kafka: EmbeddedKafka, admin: AdminClient, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """A number of partitions that can never change ends with 1 and says what to set; the rest of
    the plan is there, and nothing of it is done."""
    prefix = f"{unique('plan')}."
    topics.ensure(admin, [Topic(Names(prefix).matches, "", "", 2)], 1)
    config = configuration(tmp_path, prefix, {"bootstrap": kafka.bootstrap})
    for command in (["plan"], ["apply", "--yes"]):
        ended = run(config, *command)
        assert ended.exit_code == 1
        assert "set kafka.matches_partitions to 2" in ended.stderr
        assert Names(prefix).raw("qumulo") in ended.stdout
    assert topics.existing(admin, [Names(prefix).raw("qumulo")]) == {}


def test_commands_for_the_owner_of_a_cluster(
    kafka: EmbeddedKafka,
    tmp_path: Path,
    unique: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A user without a right on the cluster is told so, and gets commands for everything; Kafka's
    own tools take them, and what they made is what was declared. No command holds a password."""
    prefix = f"{unique('plan')}."
    monkeypatch.setattr(own_user, "RIGHTS", own_user.RIGHTS[2:3])
    external = {
        "bootstrap": kafka.northbound,
        "manage": False,
        "security": own_user.security(kafka, prefix, tmp_path),
    }
    config = configuration(tmp_path, prefix, external)
    assert run(config, "apply", "--yes").exit_code == 1
    ended = run(config, "plan", "--commands")
    assert ended.exit_code == 2, ended.output
    script = ended.stdout.splitlines()
    comments = [line for line in script if line.startswith("# Everything, as")]
    assert [each.split()[3] for each in comments] == ["topics", "users", "rights", "quotas"]

    credentials = tmp_path / "data" / "credentials"
    credentials.mkdir(parents=True)
    (credentials / "acme.password").write_text("ThePasswordOfAcme1\n")
    assert "ThePasswordOfAcme1" not in ended.stdout
    names = Names(prefix)
    some = (names.raw("qumulo"), names.dead_letters)
    commands = [
        line
        for line in script
        if not line.startswith("#")
        and ("-topics.sh" not in line or any(f" {name} " in line for name in some))
        and ("entity-type topics" not in line or any(f" {name} " in line for name in some))
    ]
    assert len(commands) == 9
    (tmp_path / "admin.properties").write_text("client.id=owner\n")
    for name, tool in TOOLS.items():
        lock = Path(__file__).with_name("tools.lock")
        files = os.pathsep.join(map(str, [*jars.class_path(lock), *jars.class_path()]))
        flags = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
        java = shlex.quote(str(find_java().program))
        file = tmp_path / name
        file.write_text(f'#!/bin/sh\nexec {java} {flags} -cp {shlex.quote(files)} {tool} "$@"\n')
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    # The owner's way in is the listener that asks no password.
    text = "\n".join(["set -e", *commands]).replace(kafka.northbound, kafka.bootstrap)
    done = subprocess.run(
        ["sh", "-c", text],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    managed = configuration(tmp_path, prefix, {"bootstrap": kafka.bootstrap})
    remaining = planned(run(managed, "plan"))
    assert {kind for _, kind, _ in remaining} == {"topic"}
    assert not {name for _, _, name in remaining} & set(some)
    logged_in = {
        "bootstrap.servers": kafka.northbound,
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": f"{prefix}acme",
        "sasl.password": "ThePasswordOfAcme1",
        "ssl.ca.location": str(kafka.ca),
    }
    assert Producer(logged_in).list_topics(timeout=60).brokers

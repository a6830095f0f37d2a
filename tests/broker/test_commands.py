"""`northbound topics` and `tenants` on an existing cluster, secured or not, with a topic prefix."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from confluent_kafka import Consumer, Producer
from typer.testing import CliRunner

from app.broker.server import EmbeddedKafka
from app.cli import app
from app.reading import read
from schemas.codec import decode
from tests.broker.own_user import security
from tests.runtime.processes import wait_for

pytestmark = pytest.mark.broker


@pytest.fixture(scope="module", params=["plain", "secured"])
def config(
    kafka: EmbeddedKafka,
    tmp_path_factory: pytest.TempPathFactory,
    unique: Callable[[str], str],
    request: pytest.FixtureRequest,
) -> Path:
    folder = tmp_path_factory.mktemp("config")
    prefix = f"{unique('cli')}."
    secured = request.param == "secured"
    external = {
        "bootstrap": kafka.northbound if secured else kafka.bootstrap,
        "northbound": kafka.northbound,
        "northbound_ca_file": str(kafka.ca),
        "replication": 1,
    }
    if secured:
        external["security"] = security(kafka, prefix, folder)
    content = {
        "version": 1,
        "kafka": {"external": external, "topic_prefix": prefix},
        "sources": {"qumulo": {"format": "qumulo"}},
        "tenants": {"acme": {"sources": ["qumulo"]}},
    }
    file = folder / "northbound.yaml"
    file.write_text(yaml.safe_dump(content))
    return file


@pytest.fixture(scope="module")
def prefix(config: Path) -> str:
    return str(yaml.safe_load(config.read_text())["kafka"]["topic_prefix"])


def run(config: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--config", str(config)])


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_topics(config: Path, prefix: str) -> None:
    """Missing, planned, created, described, deleted, and missing again."""
    listed = lines(run(config, "topics", "list"))
    assert {row["state"] for row in listed} == {"missing"}
    planned = lines(run(config, "topics", "create", "--dry-run"))
    assert [row["topic"] for row in planned] == [row["topic"] for row in listed]
    assert lines(run(config, "topics", "create")) == planned
    assert lines(run(config, "topics", "create", "--json")) == []
    assert {row["state"] for row in lines(run(config, "topics", "list"))} == {"as declared"}
    name = f"{prefix}raw.qumulo"
    (described,) = lines(run(config, "topics", "describe", name))
    assert described["partitions"][0] == {
        "partition": 0,
        "leader": 0,
        "replicas": [0],
        "in_sync": [0],
        "first": 0,
        "next": 0,
    }
    refused = run(config, "topics", "delete", name)
    assert refused.exit_code == 2
    assert "Say --yes" in refused.stderr
    assert run(config, "topics", "delete", name, "--yes").exit_code == 0
    states = {row["topic"]: row["state"] for row in lines(run(config, "topics", "list"))}
    assert states[name] == "missing"
    gone = run(config, "topics", "describe", name)
    assert gone.exit_code == 1
    assert "topics list" in gone.stderr


def test_a_tenant_comes_and_goes(
    kafka: EmbeddedKafka, config: Path, prefix: str, tmp_path: Path
) -> None:
    """add writes tenants.d, topics, user and rights; bundle, rotate and remove follow; audited."""
    added = run(config, "tenants", "add", "new", "--source", "qumulo")
    assert added.exit_code == 0
    assert "bundles/new holds new's password" in added.stdout
    assert (config.parent / "bundles" / "new" / "northbound.json").is_file()
    file = config.parent / "tenants.d" / "new.yaml"
    assert yaml.safe_load(file.read_text())["sources"] == ["qumulo"]
    states = {row["tenant"]: row["state"] for row in lines(run(config, "tenants", "list"))}
    assert states == {"acme": "no user", "new": "ready"}
    assert run(config, "tenants", "bundle", "new", "--out", str(tmp_path / "b")).exit_code == 0
    first = json.loads((tmp_path / "b" / "northbound.json").read_text())
    assert first["topics"]["alerts"] == f"{prefix}northbound.new.alerts"
    assert first["kafka"]["group.id"] == f"{prefix}new.siem"
    assert run(config, "tenants", "rotate", "new", "--out", str(tmp_path / "b")).exit_code == 0
    second = json.loads((tmp_path / "b" / "northbound.json").read_text())
    assert first["kafka"]["sasl.password"] != second["kafka"]["sasl.password"]
    assert run(config, "tenants", "pause", "new", "--feed", "events", "--yes").exit_code == 0
    states = {row["tenant"]: row["state"] for row in lines(run(config, "tenants", "list"))}
    assert states["new"] == "paused: events"
    assert "new reads events again" in run(config, "tenants", "resume", "new").stdout
    assert run(config, "tenants", "pause", "new", "--feed", "x", "--yes").exit_code == 2
    assert run(config, "tenants", "remove", "new", "--topics", "--yes").exit_code == 0
    assert not file.exists()
    assert [row["tenant"] for row in lines(run(config, "tenants", "list"))] == ["acme"]
    audit = read({"bootstrap.servers": kafka.bootstrap}, [f"{prefix}audit"], from_start=True)
    actions = [decode(message.value())[1]["action"] for message in audit]
    done = ["add", "rotate", "pause", "resume", "remove"]
    assert actions[-5:] == [f"tenant.{each}" for each in done]


def test_who_reads_is_listed(kafka: EmbeddedKafka, config: Path, tmp_path: Path) -> None:
    """The consumers of a tenant's bundle are listed with what they have not read yet, and nobody
    else's are."""
    assert run(config, "tenants", "add", "read", "--source", "qumulo").exit_code == 0
    assert run(config, "tenants", "bundle", "read", "--out", str(tmp_path)).exit_code == 0
    given = json.loads((tmp_path / "northbound.json").read_text())
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "linger.ms": 0})
    for number in range(7):
        producer.produce(given["topics"]["events"], b"%d" % number, partition=0)
    assert producer.flush(60) == 0
    settings = {
        **given["kafka"],
        "ssl.ca.location": str(tmp_path / "ca.pem"),
        "client.id": "siem-1",
    }
    consumer = Consumer({**settings, "enable.auto.commit": False})
    try:
        consumer.subscribe([given["topics"]["events"]])
        found = wait_for(lambda: consumer.consume(1, 1.0), "a record")
        assert found[0].error() is None
        consumer.commit(found[0], asynchronous=False)
        listed = {row["tenant"]: row for row in lines(run(config, "tenants", "list"))}
        (group,) = listed["read"]["groups"]
        assert (group["group"], group["state"]) == (given["kafka"]["group.id"], "stable")
        assert [each.split()[0] for each in group["members"]] == ["siem-1"]
        assert (listed["read"]["connected"], listed["read"]["lag"]) == (1, 6)
        assert (listed["acme"]["connected"], listed["acme"]["groups"]) == (0, [])
    finally:
        consumer.close()

    def left() -> bool:
        listed = {row["tenant"]: row for row in lines(run(config, "tenants", "list"))}
        return (listed["read"]["connected"], listed["read"]["lag"]) == (0, 6)

    wait_for(left, "nobody is connected")
    assert run(config, "tenants", "remove", "read", "--topics", "--yes").exit_code == 0


def test_a_tenant_chooses_its_feeds(config: Path) -> None:
    """Options of add are keys of its file; the key of its hashes is made with it, and not shown."""
    chosen = ["--mask", "actor.user.name=hash", "--mask", "file.*=drop", "--leave-out", "raw_data"]
    added = run(config, "tenants", "add", "some", "--format", "avro", *chosen)
    assert added.exit_code == 0, added.output
    content = yaml.safe_load((config.parent / "tenants.d" / "some.yaml").read_text())
    assert content["mask"] == {"actor.user.name": "hash", "file.*": "drop"}
    assert content["fields"] == {"leave_out": ["raw_data"]}
    key = config.parent / "data" / "mask.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().strip() not in added.output
    assert run(config, "tenants", "add", "acme", "--mask", "time=drop").exit_code == 1
    assert run(config, "tenants", "remove", "some", "--topics", "--yes").exit_code == 0


def test_wrong_usage_of_tenants(config: Path) -> None:
    """Each mistake gives one message, and leaves nothing behind."""
    assert run(config, "tenants", "add", "Bad.Name").exit_code == 2
    unknown = run(config, "tenants", "add", "other", "--source", "nothing")
    assert unknown.exit_code == 1
    assert "expected one of the sources: qumulo" in unknown.stderr
    blurred = run(config, "tenants", "add", "other", "--mask", "actor.user.name=blur")
    assert blurred.exit_code == 1
    assert "mask.actor.user.name: saw 'blur'" in blurred.stderr
    assert not (config.parent / "tenants.d" / "other.yaml").exists()
    configured = run(config, "tenants", "remove", "acme", "--yes")
    assert configured.exit_code == 1
    assert "remove it there" in configured.stderr
    assert run(config, "tenants", "bundle", "nobody").exit_code == 1
    no_password = run(config, "tenants", "bundle", "acme")
    assert no_password.exit_code == 1
    assert "northbound tenants add acme" in no_password.stderr

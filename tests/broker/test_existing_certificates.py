"""Tenants that log in by certificate on an existing cluster, a broker that others have set up: it
calls them by the whole subject, as Kafka does without rules, and trusts a CA of its own."""

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from confluent_kafka import Producer
from typer.testing import CliRunner

from app import bundles, unmanaged
from app.broker import admin as topics
from app.broker import rights, settings
from app.broker.client_certificates import CA_FILE, held, waiting
from app.broker.quota_requests import describe
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.config import load
from tests.broker.authorities import Authority
from tests.runtime.processes import wait_for
from topology.topics import Names

pytestmark = pytest.mark.broker


@dataclass(frozen=True)
class Existing:
    """The cluster; `root`: the CA that its listener for certificates trusts."""

    kafka: EmbeddedKafka
    root: Authority

    @property
    def client(self) -> dict[str, str]:
        return {"bootstrap.servers": self.kafka.bootstrap}


@pytest.fixture(scope="module")
def existing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Existing]:
    data = tmp_path_factory.mktemp("existing")
    root = Authority("Example Root", now=dt.datetime.now(dt.UTC))
    (data / "tls").mkdir()
    (data / "tls" / CA_FILE).write_bytes(root.pem)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MAPPING", "DEFAULT")
        kafka = EmbeddedKafka(
            data,
            listen="127.0.0.1:0",
            advertise="localhost:0",
            heap="512m",
            by_certificate=("127.0.0.1:0", "localhost:0"),
        )
        with kafka:
            yield Existing(kafka, root)


@dataclass
class Deployment:
    """A configuration against the cluster, with one tenant."""

    existing: Existing
    folder: Path
    prefix: str

    def configure(self, *, given: bool, manage: bool = True, **certificates: str) -> None:
        """`given`: whether a CA below the one that the listener trusts issues certificates; else
        Northbound makes one."""
        kafka = self.existing.kafka
        if given:
            now = dt.datetime.now(dt.UTC)
            issuer = self.existing.root.issue_ca("Issuing", now=now).write(
                self.folder, above=[self.existing.root]
            )
            certificates |= {"ca_file": issuer.ca.name, "key_file": issuer.key.name}
        external = {
            "bootstrap": kafka.bootstrap,
            "northbound": kafka.northbound,
            "northbound_ca_file": str(kafka.ca),
            "replication": 1,
            "manage": manage,
            "certificates": {"servers": kafka.by_certificate, **certificates},
        }
        content = {
            "version": 1,
            "kafka": {"external": external, "topic_prefix": self.prefix},
            "sources": {"qumulo": {"format": "qumulo"}},
            "tenants": {"acme": {"sources": ["qumulo"], "login": "certificate"}},
        }
        (self.folder / "northbound.yaml").write_text(yaml.safe_dump(content))

    def run(self, *arguments: str) -> Result:
        config = str(self.folder / "northbound.yaml")
        return CliRunner().invoke(app, ["tenants", *arguments, "--config", config])

    def done(self, *arguments: str) -> str:
        result = self.run(*arguments)
        assert result.exit_code == 0, result.output
        return result.output

    def row(self) -> dict[str, Any]:
        (row,) = [json.loads(line) for line in self.done("list").splitlines()]
        return row

    def produce(self) -> None:
        producer = Producer(self.existing.client)
        producer.produce(Names(self.prefix).events("acme"), b"{}")
        assert producer.flush(60) == 0

    def consume(self, bundle: str, group: str) -> int:
        command = [sys.executable, "-I", str(self.folder / bundle / "consumer.py")]
        command += ["--topic", "events", "--count", "1", "--group", group]
        return subprocess.run(
            command, capture_output=True, timeout=120, cwd="/", check=False
        ).returncode


@pytest.fixture
def deployment(existing: Existing, tmp_path: Path, unique: Callable[[str], str]) -> Deployment:
    return Deployment(existing, tmp_path, f"{unique('x')}.")


def test_a_ca_of_the_organisation(deployment: Deployment) -> None:
    """Certificates of a CA that is given, below the one that the listener trusts: the bundle reads,
    a rotation ends the old certificate, and a removal leaves no right behind."""
    deployment.configure(given=True)
    said = deployment.done("add", "acme")
    assert "does not call it" not in said
    assert "refuses" not in said
    assert "could not be tried" not in said
    old = str(deployment.folder / "old")
    deployment.done("bundle", "acme", "--out", old)
    deployment.produce()
    assert deployment.consume("old", "first") == 0
    (before,) = deployment.row()["certificates"]
    assert before["user"].startswith(f"CN={deployment.prefix}acme/1-")
    wait_for(lambda: deployment.row()["state"] == "ready", "all its rights", 30)
    quota = describe(deployment.existing.client, [before["user"]])[before["user"]]
    assert quota["consumer_byte_rate"] == 100_000_000.0
    deployment.done("rotate", "acme", "--out", str(deployment.folder / "new"))
    (after,) = deployment.row()["certificates"]
    assert after["user"] != before["user"]
    assert [deployment.consume(each, "second") for each in ("old", "new")] == [1, 0]
    content = yaml.safe_load((deployment.folder / "northbound.yaml").read_text())
    del content["tenants"]["acme"]
    (deployment.folder / "northbound.yaml").write_text(yaml.safe_dump(content))
    admin, names = topics.connect(deployment.existing.client), Names(deployment.prefix, "CN={}")
    assert after["user"] in rights.users_of(admin, names, "acme")
    deployment.done("remove", "acme", "--yes")
    wait_for(lambda: rights.users_of(admin, names, "acme") == set(), "the end of all rights", 30)


def test_what_is_not_right_on_the_other_side(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CA that the listener does not trust, and a user of another name: `tenants add` tries it
    and says what to change; after the change it works."""
    monkeypatch.setattr(bundles, "RIGHTS_S", 0.0)
    deployment.configure(given=False)
    said = deployment.done("add", "acme")
    assert "refuses acme's certificate" in said
    own = deployment.folder / "data" / "tls" / CA_FILE
    assert f"ssl.truststore.location with the CA in {own}" in said
    refused = deployment.run("rotate", "acme")
    assert (refused.exit_code, "The listener refuses the new certificate" in refused.stderr) == (
        1,
        True,
    )
    assert len(held(deployment.folder / "data" / "credentials", "acme")) == 1
    for file in (deployment.folder / "data" / "credentials").iterdir():
        file.unlink()
    deployment.configure(given=True, user="{}")
    said = deployment.done("add", "acme")
    assert "takes acme's certificate, and does not call it" in said
    assert "Set kafka.external.certificates.user" in said
    monkeypatch.undo()
    deployment.configure(given=True)
    said = deployment.done("add", "acme")
    assert "certificate" not in said
    deployment.produce()
    deployment.done("bundle", "acme", "--out", str(deployment.folder / "bundle"))
    assert deployment.consume("bundle", "first") == 0


def test_others_sign(deployment: Deployment) -> None:
    """`tenants add` makes what a tenant needs and a request; with what came back the bundle reads,
    also when the first try was a certificate that the listener refuses."""
    now = dt.datetime.now(dt.UTC)
    deployment.configure(given=False, issued_by="others")
    asked = deployment.run("add", "acme")
    assert asked.exit_code == 2, asked.output
    folder = deployment.folder / "data" / "credentials"
    request = waiting(folder, "acme")
    assert request is not None
    assert f"Have {request} signed" in asked.stdout
    signed = deployment.folder / "signed.pem"
    signed.write_bytes(deployment.existing.root.sign(request, now=now))
    said = deployment.done("add", "acme", "--certificate", str(signed))
    assert "refuses" not in said
    deployment.produce()
    deployment.done("bundle", "acme", "--out", str(deployment.folder / "old"))
    assert deployment.consume("old", "first") == 0
    assert deployment.run("rotate", "acme").exit_code == 2
    request = waiting(folder, "acme")
    assert request is not None
    new = str(deployment.folder / "new")
    for authority, status in ((Authority("Other", now=now), 1), (deployment.existing.root, 0)):
        signed.write_bytes(authority.sign(request, now=now))
        rotated = deployment.run("rotate", "acme", "--certificate", str(signed), "--out", new)
        assert rotated.exit_code == status, rotated.output
    assert [deployment.consume(each, "second") for each in ("old", "new")] == [1, 0]


def test_others_make_the_changes(deployment: Deployment) -> None:
    """With manage: false the certificate is issued here, nothing of it is in the cluster, and what
    is printed for its owner is all that is needed: once it is there, the bundle reads."""
    deployment.configure(given=True)
    config = load(deployment.folder / "northbound.yaml")
    found = topics.connect(deployment.existing.client)
    deployment.configure(given=True, manage=False)
    to_do = [json.loads(line)["to_do"] for line in deployment.done("add", "acme").splitlines()]
    (certificate,) = held(config.credentials, "acme")
    user = rights.user_name(config.names, certificate.login)
    assert user in to_do[1]
    assert deployment.existing.kafka.by_certificate in to_do[0]
    assert set(unmanaged.let_in(config, "acme", certificate.login)) <= set(to_do)
    assert rights.users_of(found, config.names, "acme") == set()
    deployment.done("bundle", "acme", "--out", str(deployment.folder / "bundle"))
    # Its owner does the same with tools; here it is Northbound itself, which issues nothing more.
    deployment.configure(given=True)
    deployment.done("add", "acme")
    deployment.produce()
    assert deployment.consume("bundle", "first") == 0
    assert held(config.credentials, "acme") == [certificate]

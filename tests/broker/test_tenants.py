"""A tenant reads its own feeds with its bundle alone, and nothing of anybody else's."""

import datetime as dt
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer
from confluent_kafka.admin import AdminClient

from app.broker import admin as topics
from app.broker import bundle, certificates, credentials, jars, rights, tenants
from app.broker.bundle.access import Access
from app.broker.cluster_error import ClusterError
from app.broker.java import find_java
from app.broker.server import EmbeddedKafka
from tests.broker.bundles import bundle_of, certified
from topology.topics import Feeds, Names, declare

pytestmark = pytest.mark.broker

NAMES = Names("t.")


@dataclass(frozen=True)
class Estate:
    """Two tenants, of whom the first one's name begins the second one's."""

    admin: AdminClient
    bootstrap: str
    secrets: Path
    bundles: Path
    access: Callable[[str], Access]


@pytest.fixture(scope="module")
def estate(kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> Estate:
    admin = topics.connect({"bootstrap.servers": kafka.bootstrap})
    folder = tmp_path_factory.mktemp("estate")
    both = ("acme", "acme-2")
    topics.ensure(admin, declare(NAMES, [], [Feeds(name) for name in both], []), 1)

    def access(tenant: str) -> Access:
        return Access(
            tenant=tenant,
            servers=kafka.northbound,
            user=rights.user_name(NAMES, tenant),
            password=credentials.read(folder / "secrets", tenant).password,
            topics={"events": NAMES.events(tenant), "alerts": NAMES.alerts(tenant)},
            group_prefix=rights.group_prefix(NAMES, tenant),
            ca=kafka.ca.read_bytes(),
        )

    found = Estate(admin, kafka.bootstrap, folder / "secrets", folder, access)
    for tenant in both:
        tenants.add(admin, NAMES, tenant, folder / "secrets")
        bundle.write(access(tenant), folder / tenant)
        send(found, tenant, f'{{"for": "{tenant}"}}')
    return found


def send(estate: Estate, tenant: str, alert: str) -> None:
    producer = Producer({"bootstrap.servers": estate.bootstrap})
    producer.produce(NAMES.alerts(tenant), alert.encode())
    assert producer.flush(60) == 0


def consume(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a bundle's consumer in a folder where nothing of Northbound is."""
    return subprocess.run(
        [sys.executable, "-I", folder / "consumer.py", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
        cwd="/",
        check=False,
    )


@pytest.mark.parametrize("tenant", ["acme", "acme-2"])
def test_a_bundle_is_enough(estate: Estate, tenant: str) -> None:
    """SASL_SSL and SCRAM-SHA-256 with the bundle's files; the tenant's own alerts come."""
    done = consume(estate.bundles / tenant, "--topic", "alerts", "--count", "1")
    assert done.stdout == f'{{"for": "{tenant}"}}\n', done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(("tenant", "other"), [("acme", "acme-2"), ("acme-2", "acme")])
def test_the_other_tenant_is_out_of_reach(estate: Estate, tenant: str, other: str) -> None:
    """Neither topics nor groups of another tenant, also where one name begins the other."""
    folder = estate.bundles / tenant
    done = consume(folder, "--topic", NAMES.alerts(other), "--count", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "may not read the topic" in done.stderr
    done = consume(folder, "--group", f"{NAMES.prefix}{other}.siem", "--count", "1")
    assert (done.returncode, done.stdout) == (1, "")
    assert "may not use the consumer group" in done.stderr


def test_a_wrong_password_is_refused(estate: Estate, tmp_path: Path) -> None:
    """The consumer ends and says so; the password is in no message."""
    folder = tmp_path / "bundle"
    shutil.copytree(estate.bundles / "acme", folder)
    file = folder / "northbound.json"
    password = estate.access("acme").password
    file.write_text(file.read_text().replace(password, password[::-1]))
    done = consume(folder, "--count", "1")
    assert done.returncode == 1
    assert "user name or password was refused" in done.stderr
    assert password[::-1] not in done.stderr


def test_another_ca_is_refused(estate: Estate, tmp_path: Path) -> None:
    """A server whose certificate the bundle's CA did not sign is not talked to."""
    folder = tmp_path / "bundle"
    shutil.copytree(estate.bundles / "acme", folder)
    other = certificates.ensure(tmp_path / "tls", [], dt.datetime.now(dt.UTC))
    shutil.copy(other.ca, folder / "ca.pem")
    done = consume(folder, "--count", "1")
    assert done.returncode == 1
    assert "TLS failed" in done.stderr


@pytest.mark.parametrize("store", ["jks", "p12"])
def test_a_java_client_gets_in(estate: Estate, tmp_path: Path, store: str) -> None:
    """TLS and SCRAM succeed with java.properties and either trust store: what is refused is only
    what the tenant has no right to (the settings of a topic)."""
    folder = tmp_path / "bundle"
    shutil.copytree(estate.bundles / "acme", folder)
    if store == "jks":
        file = folder / "java.properties"
        text = file.read_text().replace("truststore.p12", "truststore.jks")
        file.write_text(text.replace("type=PKCS12", "type=JKS"))
    assert "TopicAuthorizationException" in described(folder, NAMES.alerts("acme"))


def test_a_java_client_gets_in_by_certificate(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """The same with the key store, on the listener for certificates."""
    tenant = unique("java")
    bundle_of(kafka, NAMES, tenant, tmp_path)
    folder = certified(kafka, NAMES, tenant, tmp_path)
    assert "TopicAuthorizationException" in described(folder, NAMES.alerts(tenant))


def described(folder: Path, topic: str) -> str:
    """What Kafka's own tool is told that asks for the settings of a topic with a bundle."""
    done = subprocess.run(
        [
            *(find_java().program, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
            *("-cp", os.pathsep.join(map(str, jars.class_path())), "kafka.admin.ConfigCommand"),
            *("--bootstrap-server", bundle.client_configuration(folder)[0]["bootstrap.servers"]),
            *("--command-config", "java.properties"),
            *("--describe", "--entity-type", "topics", "--entity-name", topic),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        check=False,
    )
    return done.stderr


def test_a_region_is_chosen(estate: Estate, tmp_path: Path) -> None:
    """A bundle of one region reads from the brokers of another, and its doctor looks at those."""
    away = replace(
        estate.access("acme"),
        servers="127.0.0.1:1",
        regions={"away": "127.0.0.1:1", "here": estate.access("acme").servers},
    )
    bundle.write(away, tmp_path)
    done = consume(tmp_path, "--group", "region", "--count", "1", "--region", "here")
    assert done.stdout == '{"for": "acme"}\n', done.stderr
    doctor = [sys.executable, "-I", str(tmp_path / "doctor.py"), "--json"]
    for region, status in ((["--region", "here"], 0), ([], 1), (["--region", "no"], 1)):
        checked = subprocess.run(
            [*doctor, *region], capture_output=True, text=True, timeout=150, check=False
        )
        assert checked.returncode == status, checked.stdout + checked.stderr
    assert "there is away, here" in checked.stderr


def test_rights_are_these_and_no_more(estate: Estate) -> None:
    """Read and describe, prefixed, topics and groups."""
    found = tenants.users(estate.admin, NAMES, ["acme", "nobody"])
    assert list(found) == ["acme"]
    assert found["acme"].mechanisms == ("SCRAM-SHA-256", "SCRAM-SHA-512")
    assert tuple(sorted(map(rights.acl_text, found["acme"].rights))) == (
        "allow User:t.acme DESCRIBE on group t.acme.*",
        "allow User:t.acme DESCRIBE on topic t.northbound.acme.*",
        "allow User:t.acme READ on group t.acme.*",
        "allow User:t.acme READ on topic t.northbound.acme.*",
    )


def test_add_again_keeps_the_password(estate: Estate) -> None:
    """Bundles handed out stay good; the secrets are for their owner's eyes alone."""
    before = credentials.read(estate.secrets, "acme")
    tenants.add(estate.admin, NAMES, "acme", estate.secrets)
    assert credentials.read(estate.secrets, "acme") == before
    file = credentials.password_file(estate.secrets, "acme")
    assert file.stat().st_mode & 0o777 == 0o600


def test_rotate_and_remove(estate: Estate) -> None:
    """After a rotation only the new password works; after a removal none, and no right is left."""
    tenants.add(estate.admin, NAMES, "brief", estate.secrets)
    topics.ensure(estate.admin, declare(NAMES, [], [Feeds("brief")], []), 1)
    folder = estate.bundles / "brief"
    bundle.write(estate.access("brief"), folder)
    tenants.rotate(estate.admin, NAMES, "brief", estate.secrets)
    assert consume(folder, "--count", "1").returncode == 1
    bundle.write(estate.access("brief"), folder)
    send(estate, "brief", "{}")
    assert consume(folder, "--count", "1").stdout == "{}\n"
    for _ in range(2):
        tenants.remove(estate.admin, NAMES, "brief", estate.secrets)
    assert tenants.users(estate.admin, NAMES, ["brief"]) == {}
    assert consume(folder, "--count", "1").returncode == 1
    with pytest.raises(ClusterError, match="northbound tenants add brief"):
        credentials.read(estate.secrets, "brief")


def test_a_pause_keeps_what_comes_meanwhile(estate: Estate) -> None:
    """A consumer that stays connected reads nothing of the paused feed, all of the other, and goes
    on where it stopped."""
    tenants.add(estate.admin, NAMES, "later", estate.secrets)
    topics.ensure(estate.admin, declare(NAMES, [], [Feeds("later")], []), 1)
    bundle.write(estate.access("later"), estate.bundles / "later")
    client, names = bundle.client_configuration(estate.bundles / "later")
    consumer = Consumer({**client, "log_level": 0})
    seen: list[str] = []

    def reads(until: Callable[[], bool]) -> bool:
        """Whether it comes to that in time."""
        deadline = time.monotonic() + 120
        while not until() and time.monotonic() < deadline:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                seen.append(message.value().decode())
            elif message is not None:
                refused.append(message.error().code())
        return until()

    refused: list[int] = []
    consumer.subscribe([names["alerts"]])
    try:
        send(estate, "later", "before")
        assert reads(lambda: seen == ["before"])
        tenants.pause(estate.admin, NAMES, "later", ["alerts"])
        assert reads(lambda: KafkaError.TOPIC_AUTHORIZATION_FAILED in refused)
        send(estate, "later", "meanwhile")
        found = tenants.users(estate.admin, NAMES, ["later"])["later"]
        assert rights.paused(found.rights, NAMES, "later") == ["alerts"]
        status = consume(estate.bundles / "later", "--topic", "alerts", "--group", "new")
        assert (status.returncode, status.stdout) == (1, "")
        producer = Producer({"bootstrap.servers": estate.bootstrap})
        producer.produce(NAMES.events("later"), b"event")
        assert producer.flush(60) == 0
        other = consume(
            estate.bundles / "later", "--topic", "events", "--group", "new", "--count", "1"
        )
        assert other.stdout == "event\n"
        assert seen == ["before"]
        assert tenants.resume(estate.admin, NAMES, "later") == ["alerts"]
        send(estate, "later", "after")
        assert reads(lambda: len(seen) == 3)
        assert seen == ["before", "meanwhile", "after"]
        assert tenants.resume(estate.admin, NAMES, "later") == []
    finally:
        consumer.close()


@pytest.mark.parametrize("name", ["", "Acme", "a.b", "a" * 41, "a*", "a\n"])
def test_bad_names(estate: Estate, name: str) -> None:
    """A name that a prefix or a file could misread is refused before anything is done."""
    with pytest.raises(ValueError, match="is no tenant name"):
        tenants.add(estate.admin, NAMES, name, estate.secrets)

"""The broker's certificate is renewed while it runs, and follows what is advertised."""

import datetime as dt
import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import ConfigResource, ConfigSource
from cryptography import x509

from app.broker import bundle, certificates, ports, tenants
from app.broker.admin import connect
from app.broker.brought_certificate import Brought
from app.broker.errors import BrokerError
from app.broker.key_stores import KEY_STORES
from app.broker.server import EmbeddedKafka
from tests.broker.bundles import bundle_of
from tests.runtime.processes import wait_for
from topology.topics import Names

pytestmark = pytest.mark.broker

NAMES = Names("")
LATER = dt.timedelta(days=certificates.SERVER_DAYS - certificates.RENEW_DAYS + 1)


def served(
    kafka: EmbeddedKafka, ca: Path | None = None, servers: str | None = None
) -> x509.Certificate:
    """The certificate that the northbound listener, or that of `servers`, shows; its chain and name
    are verified."""
    host, port = ports.split(servers or kafka.northbound)
    context = ssl.create_default_context(cafile=ca or kafka.ca)
    with (
        socket.create_connection(("127.0.0.1", port), 60) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown is not None
    return x509.load_der_x509_certificate(shown)


def everywhere(
    kafka: EmbeddedKafka, shows: Callable[[x509.Certificate], bool], servers: str | None = None
) -> bool:
    """Whether each of the listener's threads does, which take new connections in turns and new
    certificates one after the other."""
    return all(shows(served(kafka, servers=servers)) for _ in range(6))


def san(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return found.get_values_for_type(x509.DNSName)


def test_renewed_while_a_consumer_reads(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path
) -> None:
    """Before it ends there is a new one by the same CA, without a restart: a consumer reads on over
    its connection, new connections see the new certificate; nothing of it is left in Kafka's
    settings. The next start, with another advertised name, has that name and the same CA."""
    kafka = make_kafka(by_certificate=("127.0.0.1:0", "localhost:0"))
    pid, ca, first = kafka.pid, kafka.ca.read_bytes(), served(kafka)
    assert not kafka.renew()
    bundle_of(kafka, NAMES, "acme", tmp_path)
    client, _ = bundle.client_configuration(tmp_path / "bundle")
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    consumer = Consumer({**client, "log_level": 0})
    lost: list[object] = []

    def reads() -> None:
        producer.produce(NAMES.alerts("acme"), b"{}")
        assert producer.flush(60) == 0
        found = wait_for(lambda: consumer.consume(1, 1.0), "a record")
        lost.extend(each.error() for each in found if each.error())

    try:
        consumer.subscribe([NAMES.alerts("acme")])
        reads()
        # As if it had been issued so long ago that it ends soon.
        (kafka.data / "tls" / "server.pem").unlink()
        certificates.ensure(kafka.data / "tls", ["localhost"], dt.datetime.now(dt.UTC) - LATER)
        assert kafka.renew()
        old = first.serial_number
        for servers in (kafka.northbound, kafka.by_certificate):
            wait_for(
                lambda of=servers: everywhere(kafka, lambda shown: shown.serial_number != old, of),
                "new",
            )
        reads()
        assert lost == []
    finally:
        consumer.close()
    assert (kafka.pid, kafka.ca.read_bytes()) == (pid, ca)
    assert not kafka.renew()
    admin = connect({"bootstrap.servers": kafka.bootstrap})
    resource = ConfigResource(ConfigResource.Type.BROKER, "0")
    (answer,) = admin.describe_configs([resource]).values()
    assert answer.result(60)[KEY_STORES[0]].source == ConfigSource.STATIC_BROKER_CONFIG.value
    kafka.stop()
    moved = tmp_path / "moved"
    shutil.move(kafka.data, moved)
    port = ports.split(kafka.northbound)[1]
    again = make_kafka(data=moved, advertise=f"other.localhost:{port}")
    assert san(served(again)) == ["localhost", "other.localhost"]
    assert again.ca.read_bytes() == ca
    admin = connect({"bootstrap.servers": again.bootstrap})
    assert tenants.users(admin, NAMES, ["acme"])["acme"].mechanisms


def test_what_a_backup_needs_for_bundles_to_stay_good(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path
) -> None:
    """Of a lost Kafka, the CA and the passwords: a bundle handed out before reads from the new one
    on the same port."""
    kafka = make_kafka()
    bundle_of(kafka, NAMES, "acme", tmp_path / "before")
    kafka.stop()
    new = tmp_path / "new"
    new.mkdir()
    for name in ("ca.pem", "ca.key"):
        (new / "tls").mkdir(exist_ok=True)
        shutil.copy(kafka.data / "tls" / name, new / "tls" / name)
    shutil.copytree(tmp_path / "before" / "secrets", tmp_path / "after" / "secrets")
    again = make_kafka(data=new, listen=f"127.0.0.1:{ports.split(kafka.northbound)[1]}")
    bundle_of(again, NAMES, "acme", tmp_path / "after")
    producer = Producer({"bootstrap.servers": again.bootstrap})
    producer.produce(NAMES.alerts("acme"), b"{}")
    assert producer.flush(60) == 0
    client, _ = bundle.client_configuration(tmp_path / "before" / "bundle")
    consumer = Consumer({**client, "log_level": 0})
    try:
        consumer.subscribe([NAMES.alerts("acme")])
        (found,) = wait_for(lambda: consumer.consume(1, 1.0), "a record")
        assert found.error() is None
    finally:
        consumer.close()


def test_a_certificate_of_ones_own(
    make_kafka: Callable[..., EmbeddedKafka], tmp_path: Path
) -> None:
    """The files that are brought along are what clients see; replaced, by one with another name
    too, they are taken up while the broker runs; what is of no use leaves the old one in use."""
    now = dt.datetime.now(dt.UTC)
    own = Brought(tmp_path / "own.pem", tmp_path / "own.key", tmp_path / "theirs" / "ca.pem")

    def issue(*hosts: str) -> None:
        made = certificates.ensure(tmp_path / "theirs", list(hosts), now)
        key, _, chain = made.server.read_text().partition("-----BEGIN CERTIFICATE")
        own.certificate.write_text(f"-----BEGIN CERTIFICATE{chain}")
        own.key.write_text(key)

    issue("localhost")
    kafka = make_kafka(brought=own)
    assert kafka.ca == own.ca
    assert san(served(kafka)) == ["localhost"]
    issue("localhost", "kafka.example.org")
    assert kafka.renew()
    both = ["kafka.example.org", "localhost"]
    wait_for(lambda: everywhere(kafka, lambda shown: san(shown) == both), "the new one")
    own.key.write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(BrokerError, match=r"tls\.key"):
        kafka.renew()
    assert everywhere(kafka, lambda shown: san(shown) == both)

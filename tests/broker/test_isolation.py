"""What a tenant tries against the broker and its neighbours is refused, each in its own words.

The attempts are in abuses.py. `acme` attacks `acme-2`, whose name begins with its own.
"""

import datetime as dt
import os
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import ConfigResource

from app.broker import admin as topics
from app.broker import certificate_logins, client_issuer, credentials, rights, tenants
from app.broker.server import EmbeddedKafka
from tests.broker import abuses
from tests.broker.abuses import (
    CLOSED,
    Attacker,
    Attempt,
    consume,
    login,
    others,
    others_group,
    own,
    own_group,
)
from tests.conftest import CONNECTIONS_PER_ADDRESS
from tests.runtime.processes import wait_for
from topology.topics import Feeds, Names, RawTopic, StoreTopic, declare

pytestmark = [
    pytest.mark.broker,
    pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning"),
]

TOPIC, GROUP = "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED"
CLUSTER, LOGIN = "CLUSTER_AUTHORIZATION_FAILED", "_AUTHENTICATION"
BROKER, TOPICS = ConfigResource.Type.BROKER, ConfigResource.Type.TOPIC
NOT_IN = ("_TRANSPORT", "_ALL_BROKERS_DOWN", "_AUTHENTICATION", "_SSL")
WRONG = "Wrong-Wrong-Wrong-17"
CBC = "ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0"

ABUSES: dict[str, tuple[Attempt, str | tuple[str, ...]]] = {
    # Who it is
    "a wrong password": (login(sasl_password=WRONG), LOGIN),
    "a user that there is not": (login(sasl_username="nobody"), LOGIN),
    "the other tenant's password": (login(sasl_password=lambda a: a.foreign_password), LOGIN),
    "its name in capitals": (login(sasl_username=lambda a: a.user.upper()), LOGIN),
    "the super user's name": (login(sasl_username="ANONYMOUS"), LOGIN),
    "the password in the clear (PLAIN)": (login(sasl_mechanisms="PLAIN"), LOGIN),
    "no login, over TLS": (login(security_protocol="SSL"), NOT_IN),
    "a login without TLS": (
        login(security_protocol="SASL_PLAINTEXT"),
        NOT_IN,
    ),
    "TLS 1.1": (
        abuses.handshake(
            minimum_version=ssl.TLSVersion.TLSv1,
            maximum_version=ssl.TLSVersion.TLSv1_1,
            ciphers="ALL:@SECLEVEL=0",
        ),
        CLOSED,
    ),
    "a cipher without a key": (
        abuses.handshake(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="aNULL:eNULL:@SECLEVEL=0"),
        CLOSED,
    ),
    "a cipher without forward secrecy": (
        abuses.handshake(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers="kRSA:@SECLEVEL=0"),
        CLOSED,
    ),
    "a cipher in CBC mode": (
        abuses.handshake(maximum_version=ssl.TLSVersion.TLSv1_2, ciphers=CBC),
        CLOSED,
    ),
    # What it reads
    "the other's topic": (consume(others, own_group), TOPIC),
    "raw lines": (consume(lambda a: a.names.raw("qumulo"), own_group), TOPIC),
    "matches of all": (consume(lambda a: a.names.matches, own_group), TOPIC),
    "dead letters of all": (consume(lambda a: a.names.dead_letters, own_group), TOPIC),
    "the audit topic": (consume(lambda a: a.names.audit, own_group), TOPIC),
    "state": (consume(lambda a: a.names.changelog("windows"), own_group), TOPIC),
    "Kafka's own topic of offsets": (consume(lambda _: "__consumer_offsets", own_group), TOPIC),
    "offsets of the other's topic": (abuses.offsets, "_NOENT"),  # not even a leader is told
    "its own topic in the other's group": (consume(own, others_group), GROUP),
    "its own topic in the workers' group": (consume(own, lambda a: a.names.group("events")), GROUP),
    "the other's consumers": (abuses.described_group, GROUP),
    "how far the other has read": (abuses.group_offsets, GROUP),
    # What it learns
    "a topic that there is": (abuses.looked_up(others), TOPIC),
    "a topic that there is not": (abuses.looked_up(lambda a: a.names.alerts("nobody")), TOPIC),
    "groups of others": (abuses.groups, "[]"),
    "settings of its topic": (abuses.settings_of(TOPICS, None), TOPIC),
    "settings of a broker": (abuses.settings_of(BROKER, "0"), CLUSTER),
    "users": (
        abuses.tool("kafka.admin.ConfigCommand", "--describe", "--entity-type", "users"),
        CLUSTER,
    ),
    "rights": (abuses.tool("org.apache.kafka.tools.AclCommand", "--list"), CLUSTER),
    "quotas": (abuses.quota(abuses.see_quota), CLUSTER),
    # What it changes
    "a record in its own topic": (abuses.produce(own), TOPIC),
    "a record in the other's topic": (abuses.produce(others), TOPIC),
    "an idempotent record": (abuses.produce(own, enable_idempotence=True), (TOPIC, CLUSTER)),
    "a topic that comes by writing": (abuses.produce(lambda a: a.names.alerts("fresh")), TOPIC),
    "a transaction": (abuses.transaction, "TRANSACTIONAL_ID_AUTHORIZATION_FAILED"),
    "a topic under its prefix": (abuses.create_topic, TOPIC),
    "an end of its topic": (abuses.delete_topic, TOPIC),
    "more partitions": (abuses.grow_topic, TOPIC),
    "an end of its records": (abuses.delete_records, TOPIC),
    "longer retention": (abuses.configure(TOPICS, None, "retention.ms", "-1"), TOPIC),
    "a setting of the broker": (abuses.configure(BROKER, "0", "log.cleaner.threads", "1"), CLUSTER),
    "the other's offsets": (abuses.set_offsets, GROUP),
    "an end of the other's group": (abuses.delete_group(others_group), GROUP),
    "an end of its own group": (abuses.delete_group(lambda a: a.group(a.tenant)), GROUP),
    "a right for itself": (abuses.grant_itself, CLUSTER),
    "an end of all rights": (abuses.take_rights, CLUSTER),
    "the other's password": (
        abuses.set_password(lambda a: rights.user_name(a.names, a.other)),
        CLUSTER,
    ),
    "a password of its own choice": (abuses.set_password(lambda a: a.user), CLUSTER),
    "a higher quota": (abuses.quota(abuses.raise_quota), CLUSTER),
    "another leader": (abuses.elect, CLUSTER),
    # What it sends
    "a request of 2 GB before the login": (abuses.sends(b"\x7f\xff\xff\xff"), CLOSED),
    "a request of a megabyte before the login": (
        abuses.sends(b"\x00\x10\x00\x00" + bytes(1 << 20)),
        CLOSED,
    ),
    "a request of a negative length": (abuses.sends(b"\xff\xff\xff\xff"), CLOSED),
    "metadata before the login": (abuses.sends(abuses.request(3, 1, b"\xff\xff\xff\xff")), CLOSED),
    "a request that there is not": (abuses.sends(abuses.request(999, 0, b"")), CLOSED),
    "plain HTTP": (abuses.sends(b"GET / HTTP/1.1\r\n\r\n", tls=False), CLOSED),
    "HTTP over TLS": (abuses.sends(b"GET / HTTP/1.1\r\n\r\n"), CLOSED),
}
"""What is tried → how it ends."""
BY_CERTIFICATE = [
    *("the other's topic", "raw lines", "the audit topic", "Kafka's own topic of offsets"),
    *("offsets of the other's topic", "its own topic in the other's group"),
    *("the other's consumers", "how far the other has read", "a topic that there is not"),
    *("groups of others", "settings of a broker", "quotas", "a record in its own topic"),
    *("a record in the other's topic", "a transaction", "a topic under its prefix"),
    *("an end of its topic", "an end of its records", "longer retention"),
    *("a setting of the broker", "the other's offsets", "an end of the other's group"),
    *("a right for itself", "an end of all rights", "a password of its own choice"),
    *("a higher quota", "another leader"),
]
"""What is tried again with a certificate: it is another user, and comes by another listener."""


@pytest.fixture(scope="module")
def attacker(
    kafka: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory, unique: Callable[[str], str]
) -> Iterator[Attacker]:
    """Two tenants with records; the other one's consumer has committed offsets."""
    names = Names(f"{unique('isolation')}.")
    folder = tmp_path_factory.mktemp("isolation")
    internal = {"bootstrap.servers": kafka.bootstrap}
    admin = topics.connect(internal)
    both = ("acme", "acme-2")
    stores = [StoreTopic("windows")]
    feeds = [Feeds(tenant) for tenant in both]
    topics.ensure(admin, declare(names, [RawTopic("qumulo")], feeds, stores), 1)
    producer = Producer(internal)
    for tenant in both:
        tenants.add(admin, names, tenant, folder)
        producer.produce(names.alerts(tenant), b"{}")
    assert producer.flush(60) == 0
    passwords = {tenant: credentials.read(folder, tenant).password for tenant in both}
    found = Attacker(names, "acme", "acme-2", kafka.northbound, str(kafka.ca), *passwords.values())
    victim = Attacker(
        names, "acme-2", "acme", kafka.northbound, str(kafka.ca), *reversed(passwords.values())
    )
    for each in (found, victim):
        consumer = Consumer(
            {
                **each.client(),
                "group.id": each.group(each.tenant),
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        consumer.subscribe([names.alerts(each.tenant)])
        (record,) = wait_for(lambda c=consumer: c.consume(1, 1.0), "a record")
        consumer.commit(record, asynchronous=False)
        consumer.close()
    yield found
    # Whatever was tried: the neighbour reads on as before, with what it had.
    attempt = consume(own, lambda a: a.group(a.tenant, "after"))
    assert attempt(victim) == "read"
    assert len(rights.describe(admin, names, both)["acme-2"]) == 4


@pytest.fixture(scope="module")
def certified(
    kafka: EmbeddedKafka, attacker: Attacker, tmp_path_factory: pytest.TempPathFactory
) -> Attacker:
    """The same tenant with a certificate."""
    found = client_issuer.issue(
        tmp_path_factory.mktemp("certified"),
        client_issuer.own(kafka.data / "tls"),
        "acme",
        attacker.names.prefix,
        dt.datetime.now(dt.UTC),
    )
    admin = topics.connect({"bootstrap.servers": kafka.bootstrap})
    certificate_logins.let_in(admin, attacker.names, "acme", found)
    certified = replace(attacker, servers=kafka.by_certificate, certificate=found.file)
    wait_for(lambda: abuses.seen(certified) != "[]", "its topics, which it may see a moment on")
    return certified


@pytest.mark.parametrize("abuse", ABUSES)
def test_it_is_refused(attacker: Attacker, abuse: str) -> None:
    """How each attempt ends is in the table; none succeeds."""
    attempt, expected = ABUSES[abuse]
    assert attempt(attacker) in ([expected] if isinstance(expected, str) else expected)


@pytest.mark.parametrize("abuse", BY_CERTIFICATE)
def test_it_is_refused_with_a_certificate(certified: Attacker, abuse: str) -> None:
    """Who logs in by a certificate may do no more: each attempt ends as it does with a password."""
    attempt, expected = ABUSES[abuse]
    assert attempt(certified) in ([expected] if isinstance(expected, str) else expected)


def test_only_a_certificate_that_is_good_logs_in(
    kafka: EmbeddedKafka, certified: Attacker, tmp_path: Path
) -> None:
    """Not one that has ended, one of another CA or of the brokers' own, nor none, nor a password;
    one that was revoked reads nothing any more."""
    now, tls = dt.datetime.now(dt.UTC), kafka.data / "tls"
    client_issuer.ensure_ca(tmp_path / "other", now)

    def issued(ca: Path, days: float) -> Path:
        found = client_issuer.issue(
            tmp_path, client_issuer.own(ca), "acme", certified.names.prefix, now, days
        )
        return found.file

    ended, foreign = issued(tls, -1 / 48), issued(tmp_path / "other", 1)
    for file in (ended, foreign, tls / "server.pem"):
        assert login()(replace(certified, certificate=file)) in NOT_IN, file
    without = {"ssl_certificate_location": None, "ssl_key_location": None}
    assert login(**without)(certified) in NOT_IN
    assert login(security_protocol="SASL_SSL")(replace(certified, certificate=None)) in NOT_IN
    # Good by its dates and its CA, and without rights: as one that was revoked.
    unknown = replace(certified, certificate=issued(tls, 1))
    assert consume(own, own_group)(unknown) in (TOPIC, GROUP)
    assert abuses.seen(unknown) == "[]"
    assert consume(own, own_group)(certified) == "read"


def test_it_sees_its_own_topics_alone(attacker: Attacker) -> None:
    """A list of all topics has the tenant's two, whoever else is there."""
    assert abuses.seen(attacker) == str(
        [attacker.names.alerts("acme"), attacker.names.events("acme")]
    )


def test_idle_connections_keep_nobody_out(attacker: Attacker) -> None:
    """200 of them without a login, and a consumer still gets in."""
    idle = [abuses.secured(attacker) for _ in range(200)]
    try:
        assert consume(own, lambda a: a.group(a.tenant, "idle"))(attacker) == "read"
    finally:
        for each in idle:
            each.close()


def test_an_address_has_so_many_connections(attacker: Attacker) -> None:
    """One more is closed, until one of them ends; those of this machine's own address, by which
    Northbound's processes come, are not counted, and a consumer reads meanwhile."""
    elsewhere = "127.0.0.2"
    held = [abuses.secured(attacker, source=elsewhere) for _ in range(CONNECTIONS_PER_ADDRESS)]

    def one_more() -> ssl.SSLSocket | None:
        try:
            return abuses.secured(attacker, source=elsewhere)
        except (ssl.SSLError, ConnectionError):
            return None

    try:
        assert one_more() is None
        assert consume(own, lambda a: a.group(a.tenant, "limit"))(attacker) == "read"
        held.pop().close()
        held.append(wait_for(one_more, "a connection in the place of the one that ended"))
    finally:
        for each in held:
            each.close()


def test_a_refusal_does_not_tell_what_there_is(attacker: Attacker) -> None:
    """Word for word the same for a topic or group of the other tenant as for one of nobody."""
    told = []
    for tenant in ("acme-2", "nobody"):
        someone = replace(attacker, other=tenant, heard=[])
        for attempt in (
            abuses.looked_up(others),
            consume(others, own_group),
            consume(own, others_group),
            abuses.offsets,
            abuses.described_group,
            abuses.group_offsets,
            abuses.delete_group(others_group),
            abuses.produce(others),
        ):
            attempt(someone)
        told.append([text.replace(tenant, "NAME") for text in someone.heard])
    assert len(told[0]) == 8
    assert told[0] == told[1]


def test_no_secret_is_told(kafka: EmbeddedKafka, attacker: Attacker, certified: Attacker) -> None:
    """Neither what the tenant was told, nor Kafka's logs and settings, nor the arguments and
    environment of any process have a password, or the key of a certificate."""
    secrets = [attacker.password, attacker.foreign_password, WRONG]
    files = [file for file in kafka.data.glob("node-*/*") if file.is_file()]
    assert {"server.log", "server.properties"} <= {file.name for file in files}
    texts = {str(file): file.read_bytes() for file in files}
    texts |= {str(number): text.encode() for number, text in enumerate(attacker.heard)}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            texts[str(process)] = (process / "cmdline").read_bytes()
            if process.name != str(os.getpid()):
                texts[f"{process}/environ"] = (process / "environ").read_bytes()
        except OSError:
            continue
    key = certified.certificate.read_bytes().splitlines()[1]
    given = [*(each.encode() for each in secrets), key]
    found = [where for where, text in texts.items() for each in given if each in text]
    assert found == []
    assert attacker.heard

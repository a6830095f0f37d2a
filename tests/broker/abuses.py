"""What a tenant may try against the broker and its neighbours; each attempt says how it ended.

An attempt returns the name of Kafka's error code, or a word of its own where there is no code:
`closed` for a connection that the broker ended, and whatever was seen where something was to be
seen.
"""

import os
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    ElectionType,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app.broker import jars, ports, quota_requests, rights
from app.broker.cluster_error import RefusedError
from app.broker.java import find_java
from topology.topics import Names

TIMEOUT_S = 60.0
CLOSED = "closed"


@dataclass
class Attacker:
    """A tenant with its own credentials, and who is beside it. `heard`: what it was told.

    `certificate`: file with key and certificate, by which it logs in instead of its password.
    """

    names: Names
    tenant: str
    other: str
    servers: str
    ca: str
    password: str
    foreign_password: str
    heard: list[str] = field(default_factory=list)
    certificate: Path | None = None
    admin: AdminClient = field(init=False)

    def __post_init__(self) -> None:
        self.admin = AdminClient(self.client())

    @property
    def user(self) -> str:
        return rights.user_name(self.names, self.tenant)

    def client(self, **changes: object) -> dict[str, Any]:
        """librdkafka's settings with changes, in which underscores stand for dots."""
        settings: dict[str, Any] = {
            "bootstrap.servers": self.servers,
            "security.protocol": "SASL_SSL",
            "sasl.mechanisms": "SCRAM-SHA-256",
            "sasl.username": self.user,
            "sasl.password": self.password,
            "ssl.ca.location": self.ca,
            "log_level": 0,
        }
        if self.certificate is not None:
            pem = str(self.certificate)
            settings = {key: value for key, value in settings.items() if "sasl" not in key}
            settings |= {
                "security.protocol": "SSL",
                "ssl.certificate.location": pem,
                "ssl.key.location": pem,
            }
        settings |= {key.replace("_", "."): value for key, value in changes.items()}
        return {key: value for key, value in settings.items() if value is not None}

    def tell(self, error: object) -> str:
        """The code's name of a KafkaError or KafkaException, whose text is kept."""
        found = error.args[0] if isinstance(error, KafkaException) else error
        self.heard.append(str(found))
        return found.name() if isinstance(found, KafkaError) else type(error).__name__

    def group(self, tenant: str, name: str = "siem") -> str:
        return f"{rights.group_prefix(self.names, tenant)}{name}"


Attempt = Callable[[Attacker], str]


def done(attacker: Attacker, futures: dict[Any, Any]) -> str:
    """How an admin request for one thing ended."""
    (future,) = futures.values()
    return result(attacker, future)


def result(attacker: Attacker, future: Any) -> str:
    try:
        return f"done: {future.result(TIMEOUT_S)}"
    except KafkaException as error:
        return attacker.tell(error)


def login(**changes: object) -> Attempt:
    """Log in with changed settings; what the client says of it first."""

    def attempt(attacker: Attacker) -> str:
        errors: list[KafkaError] = []
        values = {
            key: value(attacker) if callable(value) else value for key, value in changes.items()
        }
        client = Producer({**attacker.client(**values), "error_cb": errors.append})
        until = time.monotonic() + TIMEOUT_S
        while not errors and time.monotonic() < until:
            client.poll(0.1)
            try:
                found = client.list_topics(timeout=0.5)
            except KafkaException:
                continue
            return f"in: {sorted(found.topics)}"
        return attacker.tell(errors[0]) if errors else "nothing"

    return attempt


def consume(topic: Callable[[Attacker], str], group: Callable[[Attacker], str]) -> Attempt:
    """Subscribe, and read what comes first: an error or a record."""

    def attempt(attacker: Attacker) -> str:
        settings = {"group.id": group(attacker), "auto.offset.reset": "earliest"}
        consumer = Consumer({**attacker.client(), **settings})
        try:
            consumer.subscribe([topic(attacker)])
            until = time.monotonic() + TIMEOUT_S
            while time.monotonic() < until:
                message = consumer.poll(0.2)
                if message is None:
                    continue
                error = message.error()
                return "read" if error is None else attacker.tell(error)
            return "nothing"
        except KafkaException as error:
            return attacker.tell(error)
        finally:
            consumer.close()

    return attempt


def own_group(attacker: Attacker) -> str:
    return attacker.group(attacker.tenant, "abuse")


def own(attacker: Attacker) -> str:
    return attacker.names.alerts(attacker.tenant)


def others(attacker: Attacker) -> str:
    return attacker.names.alerts(attacker.other)


def others_group(attacker: Attacker) -> str:
    return attacker.group(attacker.other)


def produce(topic: Callable[[Attacker], str], **changes: object) -> Attempt:
    def attempt(attacker: Attacker) -> str:
        errors: list[KafkaError] = []
        producer = Producer({**attacker.client(**changes), "error_cb": errors.append})
        told: list[KafkaError | None] = []
        try:
            producer.produce(topic(attacker), b"x", on_delivery=lambda error, _: told.append(error))
            producer.flush(TIMEOUT_S)
        except KafkaException as error:
            return attacker.tell(error)
        except SystemError as error:  # a fatal error, raised while the callback was called
            return attacker.tell(error.__cause__)
        if told and told[0] is not None:
            return attacker.tell(told[0])
        return "written" if told else "nothing"

    return attempt


def transaction(attacker: Attacker) -> str:
    producer = Producer(attacker.client(transactional_id=f"{attacker.group(attacker.tenant)}"))
    try:
        producer.init_transactions(TIMEOUT_S)
    except KafkaException as error:
        return attacker.tell(error)
    return "begun"


def seen(attacker: Attacker) -> str:
    return str(sorted(attacker.admin.list_topics(timeout=TIMEOUT_S).topics))


def looked_up(topic: Callable[[Attacker], str]) -> Attempt:
    def attempt(attacker: Attacker) -> str:
        found = attacker.admin.list_topics(topic(attacker), timeout=TIMEOUT_S)
        (metadata,) = found.topics.values()
        return attacker.tell(metadata.error) if metadata.error else "seen"

    return attempt


def offsets(attacker: Attacker) -> str:
    place = {TopicPartition(others(attacker), 0): OffsetSpec.latest()}
    return done(attacker, attacker.admin.list_offsets(place, request_timeout=TIMEOUT_S))


def groups(attacker: Attacker) -> str:
    found = attacker.admin.list_consumer_groups(request_timeout=TIMEOUT_S).result(TIMEOUT_S)
    mine = rights.group_prefix(attacker.names, attacker.tenant)
    return str([each.group_id for each in found.valid if not each.group_id.startswith(mine)])


def described_group(attacker: Attacker) -> str:
    futures = attacker.admin.describe_consumer_groups([others_group(attacker)])
    return done(attacker, futures)


def group_offsets(attacker: Attacker) -> str:
    asked = [ConsumerGroupTopicPartitions(others_group(attacker))]
    return done(attacker, attacker.admin.list_consumer_group_offsets(asked))


def set_offsets(attacker: Attacker) -> str:
    places = [TopicPartition(others(attacker), 0, 0)]
    asked = [ConsumerGroupTopicPartitions(others_group(attacker), places)]
    return done(attacker, attacker.admin.alter_consumer_group_offsets(asked))


def delete_group(group: Callable[[Attacker], str]) -> Attempt:
    return lambda attacker: done(attacker, attacker.admin.delete_consumer_groups([group(attacker)]))


def create_topic(attacker: Attacker) -> str:
    name = f"{attacker.names.tenant_prefix(attacker.tenant)}more"
    return done(attacker, attacker.admin.create_topics([NewTopic(name, 1)]))


def delete_topic(attacker: Attacker) -> str:
    return done(attacker, attacker.admin.delete_topics([own(attacker)]))


def grow_topic(attacker: Attacker) -> str:
    return done(attacker, attacker.admin.create_partitions([NewPartitions(own(attacker), 9)]))


def delete_records(attacker: Attacker) -> str:
    return done(attacker, attacker.admin.delete_records([TopicPartition(own(attacker), 0, 1)]))


def configure(kind: ConfigResource.Type, name: str | None, key: str, value: str) -> Attempt:
    def attempt(attacker: Attacker) -> str:
        entry = ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(kind, name or own(attacker), incremental_configs=[entry])
        return done(attacker, attacker.admin.incremental_alter_configs([resource]))

    return attempt


def settings_of(kind: ConfigResource.Type, name: str | None) -> Attempt:
    def attempt(attacker: Attacker) -> str:
        resource = ConfigResource(kind, name or own(attacker))
        return done(attacker, attacker.admin.describe_configs([resource]))

    return attempt


def grant_itself(attacker: Attacker) -> str:
    binding = AclBinding(
        ResourceType.TOPIC,
        others(attacker),
        ResourcePatternType.LITERAL,
        f"User:{attacker.user}",
        "*",
        AclOperation.READ,
        AclPermissionType.ALLOW,
    )
    return done(attacker, attacker.admin.create_acls([binding]))


def _every_right() -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        None,
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def take_rights(attacker: Attacker) -> str:
    return done(attacker, attacker.admin.delete_acls([_every_right()]))


def tool(name: str, *arguments: str) -> Attempt:
    """One of Kafka's own tools, where librdkafka ends the process or sees no refusal."""

    def attempt(attacker: Attacker) -> str:
        files = [*jars.class_path(Path(__file__).with_name("tools.lock")), *jars.class_path()]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "client.properties"
            file.touch(0o600)
            login_module = "org.apache.kafka.common.security.scram.ScramLoginModule"
            file.write_text(
                "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\n"
                f"sasl.jaas.config={login_module} required "
                f'username="{attacker.user}" password="{attacker.password}";\n'
                f"ssl.truststore.type=PEM\nssl.truststore.location={attacker.ca}\n"
            )
            done = subprocess.run(
                [
                    *(find_java().program, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
                    *("-cp", os.pathsep.join(map(str, files)), name),
                    *("--bootstrap-server", attacker.servers, "--command-config", str(file)),
                    *arguments,
                ],
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        text = done.stdout + done.stderr
        attacker.heard.append(text)
        refused = "ClusterAuthorizationException" in text
        return "CLUSTER_AUTHORIZATION_FAILED" if refused else text

    return attempt


def set_password(user: Callable[[Attacker], str]) -> Attempt:
    def attempt(attacker: Attacker) -> str:
        credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 8192)
        change = UserScramCredentialUpsertion(user(attacker), credential, b"Abuse-of-a-password1")
        return done(attacker, attacker.admin.alter_user_scram_credentials([change]))

    return attempt


def quota(ask: Callable[[dict[str, Any], str], object]) -> Attempt:
    def attempt(attacker: Attacker) -> str:
        try:
            return f"done: {ask(attacker.client(), attacker.user)}"
        except RefusedError as error:
            attacker.heard.append(str(error))
            return "CLUSTER_AUTHORIZATION_FAILED"

    return attempt


def raise_quota(client: dict[str, Any], user: str) -> None:
    quota_requests.alter(client, user, {"consumer_byte_rate": 1e12})


def see_quota(client: dict[str, Any], user: str) -> object:
    return quota_requests.describe(client, [user])


def elect(attacker: Attacker) -> str:
    places = [TopicPartition(own(attacker), 0)]
    future = attacker.admin.elect_leaders(ElectionType.PREFERRED, places)
    return result(attacker, future)


def secured(
    attacker: Attacker, context: ssl.SSLContext | None = None, *, source: str = "127.0.0.1"
) -> ssl.SSLSocket:
    """A TLS connection without a login, from the address `source`."""
    host, port = ports.split(attacker.servers)
    context = context or ssl.create_default_context(cafile=attacker.ca)
    plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S, (source, 0))
    return context.wrap_socket(plain, server_hostname=host)


def handshake(**limits: Any) -> Attempt:
    """A handshake with attributes of the context set; `ciphers` calls set_ciphers."""

    def attempt(attacker: Attacker) -> str:
        context = ssl.create_default_context(cafile=attacker.ca)
        for name, value in limits.items():
            if name == "ciphers":
                context.set_ciphers(value)
            else:
                setattr(context, name, value)
        try:
            with secured(attacker, context) as connection:
                return f"in: {connection.version()} {connection.cipher()}"
        except ssl.SSLError as error:
            attacker.heard.append(str(error))
            return CLOSED if "ALERT" in str(error) else f"not even tried: {error}"

    return attempt


def sends(octets: bytes, *, tls: bool = True) -> Attempt:
    """Write octets without a login; whether the broker ends the connection."""

    def attempt(attacker: Attacker) -> str:
        _, port = ports.split(attacker.servers)
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
        connection = secured(attacker) if tls else plain
        with plain, connection:
            connection.settimeout(TIMEOUT_S)
            try:
                connection.sendall(octets)
                while answer := connection.recv(4096):
                    attacker.heard.append(answer.decode("latin-1"))
            except (ssl.SSLError, ConnectionError):
                return CLOSED
            except TimeoutError:
                return "open"
        return CLOSED

    return attempt


def request(key: int, version: int, body: bytes) -> bytes:
    """A request of Kafka's protocol with its length, correlation id 1 and no client id."""
    head = struct.pack(">hhih", key, version, 1, -1)
    return struct.pack(">i", len(head) + len(body)) + head + body

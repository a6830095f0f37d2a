"""server.properties and log4j2.yaml of one broker, as text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.broker import ports
from app.broker.client_certificates import MAPPING

INDEX_SIZE = "log.index.size.max.bytes"
PROTOCOLS = "INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT,NORTHBOUND:SASL_SSL"
ANY_NUMBER = 2**31 - 1
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
CIPHERS = (
    "TLS_AES_256_GCM_SHA384",
    "TLS_AES_128_GCM_SHA256",
    "TLS_CHACHA20_POLY1305_SHA256",
    *(
        f"TLS_ECDHE_{key}_WITH_{cipher}"
        for key in ("ECDSA", "RSA")
        for cipher in ("AES_256_GCM_SHA384", "AES_128_GCM_SHA256", "CHACHA20_POLY1305_SHA256")
    ),
)
"""Of TLS 1.3, and those of 1.2 that BCP 195 (RFC 9325 section 4.2) recommends: with forward secrecy
and authenticated encryption. Java takes others, too, as those in CBC mode."""

LOG4J = """\
Configuration:
  status: WARN
  Appenders:
    RollingFile:
      name: File
      fileName: "${sys:northbound.log}"
      filePattern: "${sys:northbound.log}.%i"
      PatternLayout: {pattern: "%d{ISO8601} %p %c{1} %m%n"}
      Policies: {SizeBasedTriggeringPolicy: {size: 10 MB}}
      DefaultRolloverStrategy: {max: 3}
  Loggers:
    Root: {level: WARN, AppenderRef: {ref: File}}
    Logger:
      # Each setting at each start, and one line for each setting that a tool does not know.
      - {name: org.apache.kafka.common.config.AbstractConfig, level: ERROR}
"""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Addresses of one broker, each `host:port`."""

    internal: str
    controller: str
    listen: str
    advertise: str
    by_certificate: tuple[str, str] | None = None
    """Where it listens for tenants with a certificate, and what these are told; None: nowhere."""


def replication(brokers: int) -> int:
    """Replicas of every topic."""
    return min(3, brokers)


def insync(brokers: int) -> int:
    """Replicas that must have a record before it is acknowledged: all but one from three up."""
    return max(1, replication(brokers) - 1)


def server_properties(
    node: int,
    nodes: Sequence[Endpoints],
    data: Path,
    certificate: Path,
    connections_per_address: int | None = None,
    clients_ca: Path | None = None,
) -> dict[str, str]:
    """Settings of broker and controller number `node` of `nodes`.

    `certificate`: the server's key store; `clients_ca`: what the listener for certificates trusts.
    """
    own = nodes[node]
    copies, enough = str(replication(len(nodes))), str(insync(len(nodes)))
    voters = [f"{number}@{each.controller}" for number, each in enumerate(nodes)]
    northbound = "listener.name.northbound."
    settings = {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(voters),
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "INTERNAL",
        "listeners": (
            f"INTERNAL://{own.internal},CONTROLLER://{own.controller},NORTHBOUND://{own.listen}"
        ),
        "advertised.listeners": f"INTERNAL://{own.internal},NORTHBOUND://{own.advertise}",
        "listener.security.protocol.map": PROTOCOLS,
        "log.dirs": str(data),
        # Consumers outside: SCRAM over TLS, one way.
        "sasl.enabled.mechanisms": ",".join(SCRAM),
        f"{northbound}sasl.enabled.mechanisms": ",".join(SCRAM),
        **{
            f"{northbound}{mechanism.lower()}.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            )
            for mechanism in SCRAM
        },
        f"{northbound}ssl.keystore.type": "PEM",
        f"{northbound}ssl.keystore.location": str(certificate),
        # A certificate may be replaced while the broker runs, also by one with other names.
        "ssl.allow.dn.changes": "true",
        "ssl.allow.san.changes": "true",
        f"{northbound}ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
        f"{northbound}ssl.cipher.suites": ",".join(CIPHERS),
        f"{northbound}ssl.client.auth": "none",
        # A consumer proves its password again after an hour, so a rotated one ends its sessions.
        f"{northbound}connections.max.reauth.ms": "3600000",
        **_by_certificate(own, certificate, clients_ca),
        **_connection_limit(nodes, connections_per_address),
        # Only the loopback listeners have no user; everybody else needs an ACL.
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "allow.everyone.if.no.acl.found": "false",
        # Topics come from the declaration alone.
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": enough,
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": "4",
        # Kafka forgets after a week how far a group is that has no members: workers that are away,
        # a delivery that was taken out for a while, `dead-letters replay`. All would come again.
        "offsets.retention.minutes": str(366 * 24 * 60),
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": enough,
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": enough,
        "share.coordinator.state.topic.num.partitions": "1",
        # A dead worker's transaction holds up read_committed consumers until it is aborted.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "group.initial.rebalance.delay.ms": "100",
        # A broker that was killed gets back in when the session of its last life has ended.
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "6000",
        # One machine: few threads, and a cleaner that does not take 128 MB of a 1 GB heap.
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        "num.recovery.threads.per.data.dir": "2",
        "log.cleaner.dedupe.buffer.size": "33554432",
        # Index files are sparse and mapped into memory. Linux from 6.16 on gives a file of 10 MB
        # on ext4 a page of 2 MiB at its first entry, which takes 6 to 20 ms of CPU time; those of
        # 1,000 partitions stood still for 20 to 50 s when they came to it in one transaction.
        # 128 MiB of segment at an entry for each 8 KiB are 192 KiB of the larger index.
        INDEX_SIZE: "262144",
        "log.index.interval.bytes": "8192",
        "log.segment.bytes": "134217728",
        # Changelogs are compacted while they grow: what waits for the cleaner is read by a restore.
        "log.cleaner.backoff.ms": "2000",
    }
    if own.by_certificate is not None:
        listen, advertise = own.by_certificate
        settings["listeners"] += f",CERTIFICATE://{listen}"
        settings["advertised.listeners"] += f",CERTIFICATE://{advertise}"
        settings["listener.security.protocol.map"] += ",CERTIFICATE:SSL"
    return settings


def _by_certificate(own: Endpoints, certificate: Path, clients_ca: Path | None) -> dict[str, str]:
    """The listener whose users are named by their certificates. It is one of its own: with
    ssl.client.auth on SASL_SSL the user would still be that of SASL."""
    if own.by_certificate is None:
        return {}
    prefix = "listener.name.certificate."
    return {
        f"{prefix}ssl.keystore.type": "PEM",
        f"{prefix}ssl.keystore.location": str(certificate),
        f"{prefix}ssl.truststore.type": "PEM",
        f"{prefix}ssl.truststore.location": str(clients_ca),
        f"{prefix}ssl.enabled.protocols": "TLSv1.3,TLSv1.2",
        f"{prefix}ssl.cipher.suites": ",".join(CIPHERS),
        f"{prefix}ssl.client.auth": "required",
        f"{prefix}ssl.principal.mapping.rules": MAPPING,
    }


def _connection_limit(nodes: Sequence[Endpoints], each: int | None) -> dict[str, str]:
    """Connections from one address. Kafka counts those of all listeners together, so that the
    addresses by which this machine's own processes come are left out."""
    if each is None:
        return {}
    own = dict.fromkeys(ports.split(node.internal)[0] for node in nodes)
    return {
        "max.connections.per.ip": str(each),
        "max.connections.per.ip.overrides": ",".join(f"{host}:{ANY_NUMBER}" for host in own),
    }


def as_begun(settings: Mapping[str, str], file: Path) -> dict[str, str]:
    """Settings for a broker whose last ones are in `file`, if that is there.

    A data folder that began without the small indexes keeps the size that it has: Kafka cannot open
    a longer index in use in a smaller file, and does not start.
    """
    before = not file.is_file() or INDEX_SIZE in file.read_text()
    return {key: value for key, value in settings.items() if before or key != INDEX_SIZE}


def properties_text(settings: Mapping[str, str]) -> str:
    """A Java properties file."""
    lines = [f"{key}={value.replace(chr(92), chr(92) * 2)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"

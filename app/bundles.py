"""A tenant's bundle, made from northbound.yaml and the tenant's stored password."""

import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from app.broker import bundle, client_certificates, credentials, rights
from app.broker.bundle import Access, RegistryAccess
from app.broker.bundle.librdkafka import settings
from app.broker.client_issuer import pem
from app.broker.cluster_error import ClusterError, cluster_error
from app.config import Config, host_port
from app.config.schema_registry import RegistryLogin

LOGIN_S = (1.0, 3.0, 10.0)
"""Seconds that a login may take, TLS included, before it is seen whether it was refused."""
RIGHTS_S = 10.0
POLL_S = 0.1
ALERT = "SSL alert number"
"""How librdkafka tells what a server says that takes no certificate like this one (RFC 8446, 6)."""


def access(config: Config, tenant: str, region: str | None = None) -> Access:
    """How the tenant reads its feeds. Raises ClusterError if its password, its certificate or a CA
    is not here.

    `region`: of kafka.regions, whose brokers come first; without it, the tenant's own.
    """
    regions = {name: each.servers for name, each in config.kafka.regions.items()}
    names, found = config.names, config.tenants[tenant]
    by_certificate = found.login == "certificate"
    certificate, kept = None, None
    if by_certificate:
        certificate = pem(client_certificates.newest(config.credentials, tenant))
        if region is not None:
            raise ClusterError(f"{tenant} logs in by certificate, which no other region knows.")
        regions = {}
    else:
        kept = credentials.read(config.credentials, tenant)
    chosen = region or found.region
    topics = {"events": names.events(tenant), "alerts": names.alerts(tenant)}
    return Access(
        tenant=tenant,
        servers=_servers(config, by_certificate=by_certificate)
        if chosen is None
        else regions[chosen],
        user=rights.user_name(names, tenant),
        password="" if kept is None else kept.password,
        topics={feed: topic for feed, topic in topics.items() if feed in found.feeds},
        group_prefix=rights.group_prefix(names, tenant),
        ca=_all_cas(config),
        mechanism=(kept and kept.mechanism) or found.mechanism,
        certificate=certificate,
        format=found.format,
        registry=_registry(config) if found.format == "avro" else None,
        regions=regions,
        all_feeds=names.feeds_prefix if found.main else None,
    )


def write(config: Config, tenant: str, folder: Path, region: str | None = None) -> list[Path]:
    """Write the tenant's bundle into `folder`; its files."""
    return bundle.write(access(config, tenant, region), folder)


def login(found: Access) -> str | None:
    """Log in as a bundle does; what the listener says where it refuses.

    Raises ClusterError where it does not answer from here.
    """
    refusals: list[str] = []

    def heard(error: KafkaError) -> None:
        refused = error.code() == KafkaError._AUTHENTICATION  # noqa: SLF001  # a public constant
        if refused or (found.certificate is not None and ALERT in error.str()):
            refusals.append(error.str())

    connection = _connection(found, heard)
    said = ""
    # It asks again until the end of its time, also when it was refused at once.
    for seconds in LOGIN_S:
        try:
            connection.list_topics(timeout=seconds)
        except KafkaException as error:
            connection.poll(0)  # what was heard meanwhile
            if refusals:
                return refusals[-1]
            said = error.args[0].str()
        else:
            return None
    raise ClusterError(f"{found.servers}: {said}")


def reads(found: Access) -> bool:
    """Whether a login that is taken has the rights on its topics. Brokers learn of rights a moment
    after they were given. Raises ClusterError."""
    connection = _connection(found, lambda _: None)
    deadline = time.monotonic() + RIGHTS_S
    while True:
        with cluster_error(f"see the topics of {found.tenant} at {found.servers}"):
            seen = connection.list_topics(timeout=LOGIN_S[-1]).topics
        if set(found.topics.values()) <= set(seen):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_S)


def _connection(found: Access, heard: Callable[[KafkaError], None]) -> AdminClient:
    """Connected as a bundle is, without its files. `heard`: is told of errors."""
    client = {**settings(found), "error_cb": heard, "log_level": 0}
    for key in ("group.id", "session.timeout.ms", "auto.offset.reset", "isolation.level"):
        del client[key]
    if found.ca is not None:
        del client["ssl.ca.location"]
        client["ssl.ca.pem"] = found.ca.decode()
    if found.certificate is not None:
        for key, pem in zip(("certificate", "key"), found.certificate, strict=True):
            del client[f"ssl.{key}.location"]
            client[f"ssl.{key}.pem"] = pem.decode()
    return AdminClient(client)


def _servers(config: Config, *, by_certificate: bool) -> str:
    """Servers as consumers outside reach them; the embedded broker n has the port + n."""
    external, embedded = config.kafka.external, config.kafka.embedded
    if external is not None:
        if by_certificate and external.certificates is not None:
            return external.certificates.servers
        return external.northbound or external.bootstrap
    assert embedded is not None  # noqa: S101  # the configuration has exactly one of the two
    listener = embedded.northbound.certificates if by_certificate else None
    host, port = host_port((listener or embedded.northbound).advertise)
    shown = f"[{host}]" if ":" in host else host
    return ",".join(f"{shown}:{port + number}" for number in range(embedded.brokers))


def _all_cas(config: Config) -> bytes | None:
    """The CAs of this deployment's brokers and of all regions', each once."""
    found = [] if (own := _ca(config)) is None else [own]
    for name, region in config.kafka.regions.items():
        if region.ca_file is not None:
            file = config.path(region.ca_file)
            try:
                found.append(file.read_bytes())
            except OSError as error:
                text = f"kafka.regions.{name}.ca_file: {file}: {error.strerror}"
                raise ClusterError(text) from None
    return b"".join(dict.fromkeys(found)) or None


def _ca(config: Config) -> bytes | None:
    """The CA that signs the brokers' certificate; None where every system knows it."""
    external = config.kafka.external
    if external is None:
        file = config.embedded_ca
        advice = "`northbound up` makes it, unless kafka.embedded.northbound.tls.ca names another"
    else:
        given = external.northbound_ca_file or external.security.ca_file
        if given is None:
            return None
        file = config.path(given)
        advice = "set kafka.external.northbound_ca_file"
    try:
        return file.read_bytes()
    except OSError as error:
        raise ClusterError(f"{file}: {error.strerror}; {advice}") from None


def _registry(config: Config) -> RegistryAccess | None:
    """How consumers outside reach the schema registry. Raises ConfigError, ClusterError."""
    found = config.schema_registry
    if found is None:
        return None
    readers = found.northbound
    if readers is None:
        return RegistryAccess(found.urls[0], ca=_registry_ca(config, found))
    login = readers.login(config, ("schema_registry", "northbound"))
    user, password = login or (None, "")
    return RegistryAccess(readers.url, user, password, _registry_ca(config, readers))


def _registry_ca(config: Config, found: RegistryLogin) -> bytes | None:
    if found.ca_file is None:
        return None
    file = config.path(found.ca_file)
    try:
        return file.read_bytes()
    except OSError as error:
        raise ClusterError(f"schema_registry: ca_file: {file}: {error.strerror}") from None

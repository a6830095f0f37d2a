"""A tenant of its own with its bundle, on a broker, for tests of what receivers do with it."""

import datetime as dt
from dataclasses import replace
from pathlib import Path

from app import bundles
from app.broker import admin as topics
from app.broker import bundle, certificate_logins, client_issuer, credentials, rights, tenants
from app.broker.bundle.access import Access
from app.broker.server import EmbeddedKafka
from topology.topics import Feeds, Names, declare


def bundle_of(kafka: EmbeddedKafka, names: Names, tenant: str, place: Path) -> Path:
    """Topics, user and rights of the tenant; the folder of its bundle."""
    admin = topics.connect({"bootstrap.servers": kafka.bootstrap})
    topics.ensure(admin, declare(names, [], [Feeds(tenant)], []), 1)
    tenants.add(admin, names, tenant, place / "secrets")
    password = credentials.read(place / "secrets", tenant).password
    bundle.write(access(kafka, names, tenant, password), place / "bundle")
    return place / "bundle"


def certified(kafka: EmbeddedKafka, names: Names, tenant: str, place: Path) -> Path:
    """A certificate of the tenant of `bundle_of`, which works; the folder of a bundle with it."""
    admin = topics.connect({"bootstrap.servers": kafka.bootstrap})
    issuer = client_issuer.own(kafka.data / "tls")
    now = dt.datetime.now(dt.UTC)
    issued = client_issuer.issue(place / "secrets", issuer, tenant, names.prefix, now)
    certificate_logins.let_in(admin, names, tenant, issued)
    found = replace(
        access(kafka, names, tenant, ""),
        servers=kafka.by_certificate,
        certificate=client_issuer.pem(issued),
    )
    assert bundles.login(found) is None
    assert bundles.reads(found)
    bundle.write(found, place / "certified")
    return place / "certified"


def access(kafka: EmbeddedKafka, names: Names, tenant: str, password: str) -> Access:
    """How the tenant reads with a password."""
    return Access(
        tenant=tenant,
        servers=kafka.northbound,
        user=rights.user_name(names, tenant),
        password=password,
        topics={"events": names.events(tenant), "alerts": names.alerts(tenant)},
        group_prefix=rights.group_prefix(names, tenant),
        ca=kafka.ca.read_bytes(),
    )

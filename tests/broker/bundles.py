"""A tenant of its own with its bundle, on a broker, for tests of what receivers do with it."""

from pathlib import Path

from app.broker import admin as topics
from app.broker import bundle, credentials, rights, tenants
from app.broker.bundle.access import Access
from app.broker.server import EmbeddedKafka
from topology.topics import Feeds, Names, declare


def bundle_of(kafka: EmbeddedKafka, names: Names, tenant: str, place: Path) -> Path:
    """Topics, user and rights of the tenant; the folder of its bundle."""
    admin = topics.connect({"bootstrap.servers": kafka.bootstrap})
    topics.ensure(admin, declare(names, [], [Feeds(tenant)], []), 1)
    tenants.add(admin, names, tenant, place / "secrets")
    access = Access(
        tenant=tenant,
        servers=kafka.northbound,
        user=rights.user_name(names, tenant),
        password=credentials.read(place / "secrets", tenant).password,
        topics={"events": names.events(tenant), "alerts": names.alerts(tenant)},
        group_prefix=rights.group_prefix(names, tenant),
        ca=kafka.ca.read_bytes(),
    )
    bundle.write(access, place / "bundle")
    return place / "bundle"

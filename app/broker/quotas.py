"""What a tenant may ask of the brokers: bytes a second, and share of their time.

Quotas are on the user, who is authenticated; a client's id is not. Kafka delays the answers of who
asks for more, and takes no other tenant's share for it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from app.broker import client_certificates, quota_requests
from app.broker.cluster_error import RefusedError
from app.broker.kafka_commands import Commands
from app.broker.rights import user_name
from app.config.model import Config
from app.config.tenants import Quota
from topology.topics import Names

BYTES: Final = "consumer_byte_rate"
PERCENT: Final = "request_percentage"
KEYS: Final = (BYTES, PERCENT)


def declared(config: Config, *tenants: str) -> dict[str, Quota]:
    """Of all tenants, or of some."""
    return {name: config.tenants[name].quota for name in tenants or config.tenants}


def with_certificates(
    found: Mapping[str, Quota], logins: Mapping[str, Iterable[str]]
) -> dict[str, Quota]:
    """The same, each certificate of a tenant (`logins`) with the tenant's own: it is a user of
    its own."""
    return {
        who: quota for tenant, quota in found.items() for who in (tenant, *logins.get(tenant, ()))
    }


def of_users(config: Config, *tenants: str) -> dict[str, Quota]:
    """Of all users of all tenants, or of some. Raises ClusterError."""
    found = declared(config, *tenants)
    return with_certificates(found, client_certificates.logins(config.credentials, list(found)))


def wanted(quota: Quota) -> dict[str, float]:
    """As Kafka has it."""
    found = {BYTES: quota.bytes_per_second, PERCENT: quota.request_percent}
    return {key: float(value) for key, value in found.items() if value is not None}


def differences(
    quotas: Mapping[str, Quota], found: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, float | None]]:
    """What to change of each tenant's quota; None is to be taken away. Asks nobody.

    `found`: what each tenant has.
    """
    changes: dict[str, dict[str, float | None]] = {}
    for tenant, quota in quotas.items():
        now, then = found.get(tenant, {}), wanted(quota)
        change: dict[str, float | None] = {
            key: then.get(key) for key in KEYS if now.get(key) != then.get(key)
        }
        if change:
            changes[tenant] = change
    return changes


def describe(
    client: Mapping[str, Any], names: Names, tenants: Iterable[str]
) -> dict[str, dict[str, float]]:
    """The quotas that tenants have. Raises ClusterError, and RefusedError for a missing right."""
    users = {user_name(names, tenant): tenant for tenant in tenants}
    found = quota_requests.describe(client, users)
    return {tenant: found[user] for user, tenant in users.items()}


def plan(
    client: Mapping[str, Any], names: Names, quotas: Mapping[str, Quota]
) -> dict[str, dict[str, float | None]]:
    """What to change of each tenant's quota; None is to be taken away. Raises ClusterError."""
    return differences(quotas, describe(client, names, quotas))


def ensure(
    client: Mapping[str, Any], names: Names, quotas: Mapping[str, Quota], commands: Commands
) -> list[str]:
    """Set what is not as declared. What somebody else has to do, because Northbound's user may not,
    is returned as commands. Raises ClusterError."""
    try:
        changes = plan(client, names, quotas)
        for tenant, change in changes.items():
            quota_requests.alter(client, user_name(names, tenant), change)
    except RefusedError:
        return [
            line
            for tenant, change in differences(quotas, {}).items()
            for line in commands.quota(user_name(names, tenant), change)
        ]
    return []


def remove(client: Mapping[str, Any], names: Names, tenant: str) -> None:
    """Take a tenant's quota away; one that there is none of is no error. Raises ClusterError."""
    user = user_name(names, tenant)
    try:
        found = quota_requests.describe(client, [user])[user]
        gone: dict[str, float | None] = {key: None for key in KEYS if key in found}
        if gone:
            quota_requests.alter(client, user, gone)
    except RefusedError:
        return


def number(value: float | None) -> str:
    """A quota as it is written; None is none."""
    return "(none)" if value is None else str(round(value))

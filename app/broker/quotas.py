"""What a tenant may ask of the brokers: bytes a second, and share of their time.

Quotas are on the user, who is authenticated; a client's id is not. Kafka delays the answers of who
asks for more, and takes no other tenant's share for it.
"""

from collections.abc import Mapping
from typing import Any, Final

from app.broker import quota_requests
from app.broker.quota_requests import QuotaRefusedError
from app.broker.tenants import user_name
from app.config.model import Config, Quota
from topology.topics import Names

BYTES: Final = "consumer_byte_rate"
PERCENT: Final = "request_percentage"
KEYS: Final = (BYTES, PERCENT)


def declared(config: Config, *tenants: str) -> dict[str, Quota]:
    """Of all tenants, or of some."""
    return {name: config.tenants[name].quota for name in tenants or config.tenants}


def todo(client: Mapping[str, Any], config: Config, *tenants: str) -> list[str]:
    """What is not as declared, as commands for who manages the cluster. Raises ClusterError."""
    quotas = declared(config, *tenants)
    try:
        changes = plan(client, config.names, quotas)
    except QuotaRefusedError:
        changes = {name: {**wanted(quota)} for name, quota in quotas.items()}
    return [text for name, change in changes.items() for text in told(config.names, name, change)]


def wanted(quota: Quota) -> dict[str, float]:
    """As Kafka has it."""
    found = {BYTES: quota.bytes_per_second, PERCENT: quota.request_percent}
    return {key: float(value) for key, value in found.items() if value is not None}


def plan(
    client: Mapping[str, Any], names: Names, quotas: Mapping[str, Quota]
) -> dict[str, dict[str, float | None]]:
    """What to change of each tenant's quota; None is to be taken away. Raises ClusterError."""
    users = {tenant: user_name(names, tenant) for tenant in quotas}
    found = quota_requests.describe(client, users.values())
    changes: dict[str, dict[str, float | None]] = {}
    for tenant, quota in quotas.items():
        now, then = found[users[tenant]], wanted(quota)
        change: dict[str, float | None] = {
            key: then.get(key) for key in KEYS if now.get(key) != then.get(key)
        }
        if change:
            changes[tenant] = change
    return changes


def ensure(client: Mapping[str, Any], names: Names, quotas: Mapping[str, Quota]) -> list[str]:
    """Set what is not as declared. What somebody else has to do, because Northbound's user may not,
    is returned in words. Raises ClusterError."""
    try:
        changes = plan(client, names, quotas)
        for tenant, change in changes.items():
            quota_requests.alter(client, user_name(names, tenant), change)
    except QuotaRefusedError:
        return [text for name, quota in quotas.items() for text in told(names, name, wanted(quota))]
    return []


def remove(client: Mapping[str, Any], names: Names, tenant: str) -> None:
    """Take a tenant's quota away; one that there is none of is no error. Raises ClusterError."""
    user = user_name(names, tenant)
    try:
        found = quota_requests.describe(client, [user])[user]
        gone: dict[str, float | None] = {key: None for key in KEYS if key in found}
        if gone:
            quota_requests.alter(client, user, gone)
    except QuotaRefusedError:
        return


def told(names: Names, tenant: str, change: Mapping[str, float | None]) -> list[str]:
    """A change as commands of Kafka's own tool."""
    user = f"--entity-type users --entity-name {user_name(names, tenant)}"
    added = ",".join(f"{key}={value:.0f}" for key, value in change.items() if value is not None)
    gone = ",".join(key for key, value in change.items() if value is None)
    return [
        f"kafka-configs.sh --alter {flag} {keys} {user}"
        for flag, keys in (("--add-config", added), ("--delete-config", gone))
        if keys
    ]

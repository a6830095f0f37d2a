"""A tenant that logs in by certificate: its certificates as Kafka users, their rights and quotas.

The rights of a certificate's user are its life: without them nothing is read, over connections that
are open neither.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from app.broker import credentials, quotas, rights, tenants
from app.broker.client_certificates import ClientCertificate, held
from app.broker.cluster_error import ClusterError
from app.broker.rights import check_name, user_name
from topology.topics import Names


def add(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """Bring the rights of all certificates of a tenant in line. A password that it had works on
    until the end of a rotation."""
    check_name(tenant)
    logins = [each.login for each in held(folder, tenant)]
    rights.give(admin, rights.wanted(names, tenant, logins))


def let_in(admin: AdminClient, names: Names, tenant: str, new: ClientCertificate) -> None:
    """Give a new certificate the tenant's rights; a feed that is paused stays so. Raises
    ClusterError, and then forgets it."""
    try:
        has = rights.describe(admin, names, [tenant])[tenant]
        feeds = rights.paused(has, names, tenant)
        rights.give(admin, rights.pauses(names, tenant, feeds, [new.login]))
        rights.give(admin, rights.wanted(names, tenant, [new.login]))
    except ClusterError:
        new.file.unlink(missing_ok=True)
        raise


def revoke(
    admin: AdminClient,
    client: Mapping[str, Any],
    names: Names,
    certificates: Sequence[ClientCertificate],
) -> None:
    """Take the rights and quotas of certificates away, and forget their keys."""
    for each in certificates:
        rights.take_all(admin, f"User:{user_name(names, each.login)}")
        quotas.remove(client, names, each.login)
        each.file.unlink(missing_ok=True)


def end_older(
    admin: AdminClient, client: Mapping[str, Any], names: Names, tenant: str, folder: Path
) -> None:
    """Let only the newest certificate read on; of others that have rights, whose files are not
    here, too, they are taken."""
    *older, newest = held(folder, tenant)
    kept = {user_name(names, each) for each in (tenant, newest.login)}
    for user in sorted(rights.users_of(admin, names, tenant) - kept):
        rights.take_all(admin, f"User:{user}")
    revoke(admin, client, names, older)


def end_password(admin: AdminClient, names: Names, tenant: str, folder: Path) -> bool:
    """Refuse the password that a tenant had before; whether there was one."""
    if not credentials.exist(folder, tenant):
        return False
    tenants.remove_password(admin, names, tenant, folder)
    return True

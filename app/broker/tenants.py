"""A tenant in Kafka: a SCRAM user with a password, and its rights (rights.py)."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AdminClient,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from app.broker import client_certificates, credentials, passwords, rights
from app.broker.cluster_error import ClusterError, RefusedError, cluster_error
from app.broker.credentials import MECHANISMS, Credentials, other_mechanism
from app.broker.kafka_commands import ITERATIONS
from app.broker.permission import require_describe
from app.broker.rights import FEEDS, check_name, user_name
from app.broker.settled import wait_settled
from topology.topics import Names

TIMEOUT_S = 30.0
KNOWN = {
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
}
"""Mechanisms by their names, as the client library has them."""


@dataclass(frozen=True, slots=True)
class User:
    """A user that Kafka knows: its SCRAM mechanisms, and its rights."""

    name: str
    mechanisms: tuple[str, ...]
    rights: tuple[AclBinding, ...]


def add(
    admin: AdminClient, names: Names, tenant: str, folder: Path, password: str | None = None
) -> None:
    """Create the tenant's user and rights, or bring them in line.

    A password that `folder` already has is kept unless one is given, so that bundles handed out
    stay good; so are both while it is rotated. Otherwise one is made.
    """
    check_name(tenant)
    keep(folder, tenant, password)
    kept = credentials.read(folder, tenant)
    _set_passwords(admin, user_name(names, tenant), kept, MECHANISMS)
    rights.give(admin, rights.wanted(names, tenant, _logins(folder, tenant)))


def keep(folder: Path, tenant: str, password: str | None = None) -> None:
    """Keep the password given for a tenant, or one made here if there is none yet."""
    if password is not None or not credentials.exist(folder, tenant):
        credentials.write(folder, tenant, Credentials(password or passwords.generate()))


def rotate(
    admin: AdminClient, names: Names, tenant: str, folder: Path, password: str | None = None
) -> None:
    """Give the tenant a new password. The old one is refused from now on, and connections that
    were opened with it end within an hour."""
    check_name(tenant)
    new = Credentials(password or passwords.generate())
    _change(admin, names, tenant, folder, new, MECHANISMS)


def begin_rotation(
    admin: AdminClient,
    names: Names,
    tenant: str,
    folder: Path,
    mechanism: str,
    password: str | None = None,
) -> None:
    """Give the tenant a new password, by another mechanism than that of its bundle (`mechanism`,
    the configured one, at first), by which the old one works on. Raises ClusterError while one is
    open."""
    check_name(tenant)
    new = begun(folder, tenant, mechanism, password)
    _change(admin, names, tenant, folder, new, [str(new.mechanism)])


def begun(folder: Path, tenant: str, mechanism: str, password: str | None = None) -> Credentials:
    """What a rotation that begins makes of the credentials kept."""
    before = credentials.read(folder, tenant)
    if before.previous is not None:
        raise ClusterError(
            f"A rotation of {tenant} is open. End it with `northbound tenants rotate {tenant} "
            "--finish`, after which the older password is refused."
        )
    other = other_mechanism(before.mechanism or mechanism)
    return Credentials(password or passwords.generate(), other, before.password)


def finish_rotation(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """Refuse the older of two passwords from now on; the newer works by both mechanisms."""
    check_name(tenant)
    new = finished(folder, tenant)
    _change(admin, names, tenant, folder, new, [other_mechanism(str(new.mechanism))])


def finished(folder: Path, tenant: str) -> Credentials:
    """What the end of a rotation makes of the credentials kept. Raises ClusterError where none is
    open."""
    return replace(_open(folder, tenant), previous=None)


def _open(folder: Path, tenant: str) -> Credentials:
    before = credentials.read(folder, tenant)
    if before.previous is None:
        raise ClusterError(f"No rotation of {tenant} is open; one password works, the newest.")
    return before


def take_back_rotation(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """As if the open rotation had not begun: the older password works by both mechanisms."""
    before = _open(folder, tenant)
    new = str(before.mechanism)
    old = Credentials(str(before.previous), other_mechanism(new))
    _change(admin, names, tenant, folder, old, [new])


def _change(
    admin: AdminClient,
    names: Names,
    tenant: str,
    folder: Path,
    new: Credentials,
    mechanisms: Collection[str],
) -> None:
    """Keep new credentials and tell Kafka of those of some mechanisms; else, as it was."""
    before = credentials.read(folder, tenant) if credentials.exist(folder, tenant) else None
    credentials.write(folder, tenant, new)
    try:
        _set_passwords(admin, user_name(names, tenant), new, mechanisms)
    except ClusterError:
        if before is not None:
            credentials.write(folder, tenant, before)
        raise


def pause(
    admin: AdminClient,
    names: Names,
    tenant: str,
    feeds: Iterable[str],
    logins: Iterable[str] = (),
) -> None:
    """Let the tenant read nothing of these feeds. They are written on, and read after `resume`.

    `logins`: the users of its certificates.
    """
    rights.give(admin, rights.pauses(names, tenant, feeds, logins))


def resume(admin: AdminClient, names: Names, tenant: str, logins: Iterable[str] = ()) -> list[str]:
    """Let the tenant read on where its consumers stopped; the feeds that were paused."""
    before = rights.paused(rights.describe(admin, names, [tenant])[tenant], names, tenant)
    paused = replace(names, main=names.main | {tenant})  # it may have been main when it was paused
    rights.take(admin, rights.pauses(paused, tenant, FEEDS, logins))
    return before


def remove(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """Take the tenant's rights and user away; its topics stay. Open connections read nothing any
    more, because rights are checked at each request. A tenant that is not there is no error."""
    check_name(tenant)
    users = {user_name(names, each) for each in (tenant, *_logins(folder, tenant))}
    with suppress(RefusedError):  # else also those whose files are gone
        users |= rights.users_of(admin, names, tenant)
    for user in sorted(users):
        rights.take_all(admin, f"User:{user}")
    remove_password(admin, names, tenant, folder)
    client_certificates.forget(folder, tenant)


def remove_password(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """Refuse every password of the tenant from now on. Connections that were opened with one end
    within an hour. None is no error."""
    user = user_name(names, tenant)
    for mechanism in KNOWN.values():
        with cluster_error(f"delete user {user}", ignore=KafkaError.RESOURCE_NOT_FOUND):
            _alter(admin, UserScramCredentialDeletion(user, mechanism))
    wait_settled(lambda: not _mechanisms(admin, user), f"user {user}")
    credentials.remove(folder, tenant)


def _logins(folder: Path, tenant: str) -> list[str]:
    return [each.login for each in client_certificates.held(folder, tenant)]


def mechanisms(admin: AdminClient, names: Names, tenants: Iterable[str]) -> dict[str, list[str]]:
    """The SCRAM mechanisms of each tenant's user; none where there is no user.

    Raises ClusterError, and RefusedError where users may not be seen.
    """
    require_describe(admin, "list users")
    with cluster_error("list users"):
        known = admin.describe_user_scram_credentials().result(TIMEOUT_S)
    found = {}
    for tenant in tenants:
        user = known.get(user_name(names, tenant))
        has = {info.mechanism for info in user.scram_credential_infos} if user else set()
        found[tenant] = [name for name, value in KNOWN.items() if value in has]
    return found


def users(admin: AdminClient, names: Names, tenants: Iterable[str]) -> dict[str, User]:
    """Those of `tenants` that have a user or rights in the cluster."""
    wanted = list(tenants)
    known = mechanisms(admin, names, wanted)
    found = rights.describe(admin, names, wanted)
    return {
        tenant: User(
            user_name(names, tenant),
            tuple(known[tenant]),
            tuple(found[tenant]),
        )
        for tenant in wanted
        if known[tenant] or found[tenant]
    }


def _set_passwords(
    admin: AdminClient, user: str, wanted: Credentials, mechanisms: Collection[str]
) -> None:
    by_mechanism = wanted.by_mechanism()
    for mechanism in mechanisms:
        credential = ScramCredentialInfo(KNOWN[mechanism], ITERATIONS)
        password = by_mechanism[mechanism].encode("ascii")
        with cluster_error(f"set the password of {user}"):
            _alter(admin, UserScramCredentialUpsertion(user, credential, password))
    known = {KNOWN[each] for each in mechanisms}
    wait_settled(lambda: known <= _mechanisms(admin, user), f"user {user}")


def _alter(admin: AdminClient, alteration: UserScramCredentialAlteration) -> None:
    """One mechanism: Kafka refuses a request that alters a user twice."""
    admin.alter_user_scram_credentials([alteration])[alteration.user].result(TIMEOUT_S)


def _mechanisms(admin: AdminClient, user: str) -> set[ScramMechanism]:
    """What a broker knows of a user; nothing where it knows none."""
    with cluster_error(f"look up user {user}", ignore=KafkaError.RESOURCE_NOT_FOUND):
        answer = admin.describe_user_scram_credentials([user])[user].result(TIMEOUT_S)
        return {info.mechanism for info in answer.scram_credential_infos}
    return set()

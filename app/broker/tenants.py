"""A tenant in Kafka: a SCRAM user, read rights on its own topics and groups, and nothing else.

Rights are prefixed with a name that ends in a dot, so that `acme` never sees `acme-2`. Quotas, when
they come, belong to the user, because a client id is not authenticated.
"""

import secrets
import string
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaError
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from app.broker.certificates import write_private
from app.broker.cluster_error import ClusterError, cluster_error
from topology.topics import TENANT_NAME, Names

TIMEOUT_S = 30.0
POLL_S = 0.05
ITERATIONS = 8192
FEEDS = ("events", "alerts")
MECHANISMS = {
    "SCRAM-SHA-256": ScramMechanism.SCRAM_SHA_256,
    "SCRAM-SHA-512": ScramMechanism.SCRAM_SHA_512,
}
# A password stands between quotes in Java's JAAS line, after a colon in shells and in YAML: no
# quotes, backslashes, semicolons or spaces. 32 of 62 signs are 190 bits.
ALPHABET = string.ascii_letters + string.digits
LENGTH = 32


@dataclass(frozen=True, slots=True)
class User:
    """A user that Kafka knows: its SCRAM mechanisms, and rights as text."""

    name: str
    mechanisms: tuple[str, ...]
    rights: tuple[str, ...]


def check_name(tenant: str) -> None:
    """Raise ValueError unless the name is one that no other tenant's prefix can match."""
    if not TENANT_NAME.fullmatch(tenant):
        raise ValueError(
            f"{tenant!r} is no tenant name: expected 1 to 40 lower-case letters, digits and -"
        )


def user_name(names: Names, tenant: str) -> str:
    """The tenant's SASL user name."""
    return f"{names.prefix}{tenant}"


def group_prefix(names: Names, tenant: str) -> str:
    """What the names of the tenant's consumer groups begin with."""
    return f"{names.prefix}{tenant}."


def acls(names: Names, tenant: str) -> list[AclBinding]:
    """The tenant's rights: read and describe its topics and its groups."""
    check_name(tenant)
    resources = (
        (ResourceType.TOPIC, names.tenant_prefix(tenant)),
        (ResourceType.GROUP, group_prefix(names, tenant)),
    )
    return [
        AclBinding(
            resource,
            prefix,
            ResourcePatternType.PREFIXED,
            f"User:{user_name(names, tenant)}",
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for resource, prefix in resources
        for operation in (AclOperation.READ, AclOperation.DESCRIBE)
    ]


def feed_topic(names: Names, tenant: str, feed: str) -> str:
    """The topic of one of FEEDS."""
    return names.events(tenant) if feed == "events" else names.alerts(tenant)


def pauses(names: Names, tenant: str, feeds: Iterable[str]) -> list[AclBinding]:
    """What keeps a tenant from reading feeds for a while; it goes before every right."""
    check_name(tenant)
    return [
        AclBinding(
            ResourceType.TOPIC,
            feed_topic(names, tenant, feed),
            ResourcePatternType.LITERAL,
            f"User:{user_name(names, tenant)}",
            "*",
            AclOperation.READ,
            AclPermissionType.DENY,
        )
        for feed in feeds
    ]


def acl_text(binding: AclBinding) -> str:
    """A right in words: `allow User:acme READ on topics acme.*`."""
    star = "*" if binding.resource_pattern_type == ResourcePatternType.PREFIXED else ""
    return (
        f"{binding.permission_type.name.lower()} {binding.principal} {binding.operation.name} on "
        f"{binding.restype.name.lower()} {binding.name}{star}"
    )


def add(admin: AdminClient, names: Names, tenant: str, folder: Path) -> Path:
    """Create the tenant's user and rights, or bring them in line; the file of its password.

    A password that `folder` already has is kept, so that bundles handed out stay good.
    """
    check_name(tenant)
    file = password_file(folder, tenant)
    if not file.is_file():
        _new_password(file)
    _set_password(admin, user_name(names, tenant), file)
    for binding, future in admin.create_acls(acls(names, tenant)).items():
        with cluster_error(f"create the right `{acl_text(binding)}`"):
            future.result(TIMEOUT_S)
    return file


def rotate(admin: AdminClient, names: Names, tenant: str, folder: Path) -> Path:
    """Give the tenant a new password; the file of it. The old one is refused from now on, and
    connections that were opened with it end within an hour."""
    check_name(tenant)
    file = password_file(folder, tenant)
    before = file.read_bytes() if file.is_file() else None
    _new_password(file)
    try:
        _set_password(admin, user_name(names, tenant), file)
    except ClusterError:
        if before is not None:
            write_private(file, before)
        raise
    return file


def pause(admin: AdminClient, names: Names, tenant: str, feeds: Iterable[str]) -> None:
    """Let the tenant read nothing of these feeds. They are written on, and read after `resume`."""
    for binding, future in admin.create_acls(pauses(names, tenant, feeds)).items():
        with cluster_error(f"create `{acl_text(binding)}`"):
            future.result(TIMEOUT_S)


def resume(admin: AdminClient, names: Names, tenant: str) -> list[str]:
    """Let the tenant read on where its consumers stopped; the feeds that were paused."""
    before = paused(users(admin, names, [tenant]).get(tenant), names, tenant)
    filters = [
        AclBindingFilter(
            each.restype,
            each.name,
            each.resource_pattern_type,
            each.principal,
            each.host,
            each.operation,
            each.permission_type,
        )
        for each in pauses(names, tenant, FEEDS)
    ]
    with cluster_error(f"let {user_name(names, tenant)} read on"):
        for future in admin.delete_acls(filters).values():
            future.result(TIMEOUT_S)
    return before


def paused(user: User | None, names: Names, tenant: str) -> list[str]:
    """The feeds that the tenant may not read at present."""
    rights = user.rights if user else ()
    return [feed for feed in FEEDS if acl_text(pauses(names, tenant, [feed])[0]) in rights]


def paused_topics(admin: AdminClient, names: Names, tenants: Iterable[str]) -> set[str]:
    """Topics of these tenants that their users may not read at present, by one request."""
    denied = {
        acl_text(each): each.name for tenant in tenants for each in pauses(names, tenant, FEEDS)
    }
    asked = AclBindingFilter(
        ResourceType.TOPIC,
        None,
        ResourcePatternType.LITERAL,
        None,
        None,
        AclOperation.READ,
        AclPermissionType.DENY,
    )
    with cluster_error("learn which tenants are paused"):
        found = admin.describe_acls(asked).result(TIMEOUT_S)
    return {denied[text] for text in map(acl_text, found) if text in denied}


def remove(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """Take the tenant's rights and user away; its topics stay. Open connections read nothing any
    more, because rights are checked at each request. A tenant that is not there is no error."""
    check_name(tenant)
    user = user_name(names, tenant)
    with cluster_error(f"delete the rights of {user}"):
        for future in admin.delete_acls([_filter(user)]).values():
            future.result(TIMEOUT_S)
    for mechanism in MECHANISMS.values():
        with cluster_error(f"delete user {user}", ignore=KafkaError.RESOURCE_NOT_FOUND):
            _alter(admin, UserScramCredentialDeletion(user, mechanism))
    password_file(folder, tenant).unlink(missing_ok=True)


def users(admin: AdminClient, names: Names, tenants: Iterable[str]) -> dict[str, User]:
    """Those of `tenants` that have a user or rights in the cluster."""
    with cluster_error("list users"):
        known = admin.describe_user_scram_credentials().result(TIMEOUT_S)
    with cluster_error("list rights"):
        bindings = admin.describe_acls(_filter(None)).result(TIMEOUT_S)
    found = {}
    for tenant in tenants:
        user = user_name(names, tenant)
        rights = tuple(
            sorted(acl_text(each) for each in bindings if each.principal == f"User:{user}")
        )
        credentials = known[user].scram_credential_infos if user in known else ()
        mechanisms = {info.mechanism for info in credentials}
        if rights or mechanisms:
            named = tuple(name for name, value in MECHANISMS.items() if value in mechanisms)
            found[tenant] = User(user, named, rights)
    return found


def plan(admin: AdminClient, names: Names, tenants: Iterable[str]) -> list[str]:
    """In words, which users and rights are missing; changes nothing."""
    wanted = list(tenants)
    found = users(admin, names, wanted)
    todo = []
    for tenant in wanted:
        user = found.get(tenant, User("", (), ()))
        missing = [name for name in MECHANISMS if name not in user.mechanisms]
        if missing:
            todo.append(f"create user {user_name(names, tenant)} with {' and '.join(missing)}")
        todo += [text for text in map(acl_text, acls(names, tenant)) if text not in user.rights]
    return todo


def password_file(folder: Path, tenant: str) -> Path:
    """Where the tenant's password is kept, readable by its owner alone."""
    return folder / f"{tenant}.password"


def read_password(folder: Path, tenant: str) -> str:
    """The tenant's password. Raises ClusterError when there is none here."""
    file = password_file(folder, tenant)
    try:
        return file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ClusterError(
            f"There is no password of tenant {tenant} ({file}: {error.strerror}). Run "
            f"`northbound tenants add {tenant}`, or `tenants rotate {tenant}` for a new one."
        ) from None


def _new_password(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    password = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    write_private(file, f"{password}\n".encode())


def _set_password(admin: AdminClient, user: str, file: Path) -> None:
    password = file.read_bytes().strip()
    for mechanism in MECHANISMS.values():
        credential = ScramCredentialInfo(mechanism, ITERATIONS)
        with cluster_error(f"set the password of {user}"):
            _alter(admin, UserScramCredentialUpsertion(user, credential, password))
    _wait_known(admin, user)


def _alter(admin: AdminClient, alteration: UserScramCredentialAlteration) -> None:
    """One mechanism: Kafka refuses a request that alters a user twice."""
    admin.alter_user_scram_credentials([alteration])[alteration.user].result(TIMEOUT_S)


def _wait_known(admin: AdminClient, user: str) -> None:
    """Wait until a broker knows the user; the controller tells it a moment after its own answer."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        with cluster_error(f"look up user {user}", ignore=KafkaError.RESOURCE_NOT_FOUND):
            answer = admin.describe_user_scram_credentials([user])[user].result(TIMEOUT_S)
            if len(answer.scram_credential_infos) == len(MECHANISMS):
                return
        if time.monotonic() > deadline:
            raise ClusterError(f"User {user} was set but no broker knows it. Is Kafka healthy?")
        time.sleep(POLL_S)


def _filter(user: str | None) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        None if user is None else f"User:{user}",
        None,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )

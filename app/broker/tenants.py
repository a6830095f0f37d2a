"""A tenant in Kafka: a SCRAM user with a password, and its rights (rights.py)."""

import secrets
import string
import time
from collections.abc import Iterable
from dataclasses import dataclass
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

from app.broker import rights
from app.broker.certificates import write_private
from app.broker.cluster_error import ClusterError, cluster_error
from app.broker.kafka_commands import ITERATIONS
from app.broker.rights import FEEDS, check_name, user_name
from topology.topics import Names

TIMEOUT_S = 30.0
POLL_S = 0.05
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
    """A user that Kafka knows: its SCRAM mechanisms, and its rights."""

    name: str
    mechanisms: tuple[str, ...]
    rights: tuple[AclBinding, ...]


def add(admin: AdminClient, names: Names, tenant: str, folder: Path) -> Path:
    """Create the tenant's user and rights, or bring them in line; the file of its password.

    A password that `folder` already has is kept, so that bundles handed out stay good.
    """
    check_name(tenant)
    file = password_file(folder, tenant)
    if not file.is_file():
        _new_password(file)
    _set_password(admin, user_name(names, tenant), file)
    rights.give(admin, rights.wanted(names, tenant))
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
    rights.give(admin, rights.pauses(names, tenant, feeds))


def resume(admin: AdminClient, names: Names, tenant: str) -> list[str]:
    """Let the tenant read on where its consumers stopped; the feeds that were paused."""
    before = rights.paused(rights.describe(admin, names, [tenant])[tenant], names, tenant)
    rights.take(admin, rights.pauses(names, tenant, FEEDS))
    return before


def remove(admin: AdminClient, names: Names, tenant: str, folder: Path) -> None:
    """Take the tenant's rights and user away; its topics stay. Open connections read nothing any
    more, because rights are checked at each request. A tenant that is not there is no error."""
    check_name(tenant)
    user = user_name(names, tenant)
    with cluster_error(f"delete the rights of {user}"):
        for future in admin.delete_acls([rights.everything_of(f"User:{user}")]).values():
            future.result(TIMEOUT_S)
    for mechanism in MECHANISMS.values():
        with cluster_error(f"delete user {user}", ignore=KafkaError.RESOURCE_NOT_FOUND):
            _alter(admin, UserScramCredentialDeletion(user, mechanism))
    password_file(folder, tenant).unlink(missing_ok=True)


def mechanisms(admin: AdminClient, names: Names, tenants: Iterable[str]) -> dict[str, list[str]]:
    """The SCRAM mechanisms of each tenant's user; none where there is no user.

    Raises ClusterError, and RefusedError where users may not be seen.
    """
    with cluster_error("list users"):
        known = admin.describe_user_scram_credentials().result(TIMEOUT_S)
    found = {}
    for tenant in tenants:
        user = known.get(user_name(names, tenant))
        has = {info.mechanism for info in user.scram_credential_infos} if user else set()
        found[tenant] = [name for name, value in MECHANISMS.items() if value in has]
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

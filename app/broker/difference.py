"""What the cluster lacks of what is declared, in one list: topics, users, rights and quotas.

`differ` compares and asks nobody; `look` asks the cluster; `apply` makes the changes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from confluent_kafka.admin import AclBinding, AdminClient

from app.broker import admin, client_certificates, quota_requests, quotas, rights, tenants
from app.broker.cluster_error import ClusterError, RefusedError
from app.broker.credentials import MECHANISMS
from app.broker.rights import acl_text, user_name
from app.broker.topic_changes import Change, Seen, differences, undeclared
from app.broker.unread import unread
from app.config.model import Config
from app.config.tenants import Quota
from topology.topics import Names, Topic

Kind: TypeAlias = Literal["topic", "user", "acl", "quota"]


@dataclass(frozen=True, slots=True)
class Declared:
    """What the configuration asks for. `quotas` has every tenant that is compared.

    `by_certificate`: tenants that need no password. `logins`: by tenant, the users of the
    certificates that it has.
    """

    names: Names
    topics: Sequence[Topic]
    quotas: Mapping[str, Quota]
    by_certificate: Collection[str] = ()
    logins: Mapping[str, Collection[str]] = field(default_factory=dict)

    @property
    def users_quotas(self) -> dict[str, Quota]:
        """Quotas of all users: those of certificates are of their tenants."""
        return quotas.with_certificates(self.quotas, self.logins)

    def lacks_certificate(self, tenant: str) -> bool:
        """Whether the tenant's first certificate has to be issued."""
        return tenant in self.by_certificate and not self.logins.get(tenant)


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster has, as far as Northbound's user may see it; None: not at all.

    `everything`: names of all topics. `users`: tenant → SCRAM mechanisms. `quotas`: tenant → keys.
    `unread`: raw topic that nobody declares → records that no worker has read, where there are any.
    """

    topics: Seen = field(default_factory=Seen)
    everything: Collection[str] = ()
    users: Mapping[str, Collection[str]] | None = None
    rights: Mapping[str, Collection[AclBinding]] | None = None
    quotas: Mapping[str, Mapping[str, float]] | None = None
    refusals: Mapping[Kind, str] = field(default_factory=dict)
    unread: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """What to do, and what not.

    `hidden`: what may not be seen, with the reason; whatever belongs to it is among the changes as
    if nothing of it were there. `problems`: what no plan can mend.
    """

    declared: Declared
    topics: Sequence[Change]
    hidden_topics: Sequence[Change]
    deleted: Sequence[str]
    users: Mapping[str, Sequence[str]]
    missing: Mapping[str, Sequence[AclBinding]]
    surplus: Mapping[str, Sequence[AclBinding]]
    quotas: Mapping[str, Mapping[str, float | None]]
    quotas_now: Mapping[str, Mapping[str, float]]
    hidden: Mapping[Kind, str]
    undeclared: Sequence[str]
    unread: Mapping[str, int]
    problems: Sequence[str]
    revoke: bool

    @property
    def blind(self) -> set[Kind]:
        """Kinds of what is left to whoever manages the cluster; users and rights go together."""
        hidden = set(self.hidden) - {"topic"}
        return hidden | {"user", "acl"} if hidden & {"user", "acl"} else hidden

    @property
    def tenants(self) -> list[str]:
        """Those whose user or rights are not complete."""
        return [
            each
            for each in self.declared.quotas
            if self.users[each] or self.missing[each] or self.declared.lacks_certificate(each)
        ]


def look(client: Mapping[str, Any], connection: AdminClient, declared: Declared) -> Cluster:
    """Ask the cluster. `client`: librdkafka's configuration. Raises ClusterError where it does not
    answer; what Northbound's user may not see is in `refusals`."""
    names, who = declared.names, list(declared.quotas)
    refusals: dict[Kind, str] = {}

    def seen(kind: Kind, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except RefusedError as error:
            refusals[kind] = str(error)
            return None

    topics = admin.look(connection, [topic.name for topic in declared.topics])
    if topics.hidden:
        refusals["topic"] = next(iter(topics.hidden.values()))
    everything = sorted(admin.listed(connection))
    left = undeclared(names, declared.topics, everything)
    return Cluster(
        topics,
        everything,
        seen("user", lambda: tenants.mechanisms(connection, names, who)) if who else {},
        seen("acl", lambda: rights.describe(connection, names, who)) if who else {},
        seen("quota", lambda: quotas.describe(client, names, declared.users_quotas)) if who else {},
        refusals,
        unread(client, names, [each for each in left if each.startswith(names.raw(""))]),
    )


def differ(
    declared: Declared, cluster: Cluster, *, delete: Collection[str] = (), revoke: bool = False
) -> Difference:
    """Compare. `delete`: topics to delete, none of which may be declared; `revoke`: whether rights
    of tenants that nobody declares are taken away. Raises ClusterError."""
    names, who = declared.names, list(declared.quotas)
    changes, problems = differences(declared.topics, cluster.topics)
    unseen = [topic for topic in declared.topics if topic.name in cluster.topics.hidden]
    users = cluster.users or {}
    missing, surplus = rights.differences(names, who, cluster.rights or {}, declared.logins)
    left = undeclared(names, declared.topics, cluster.everything)
    return Difference(
        declared,
        changes,
        differences(unseen, Seen())[0],
        _deletable(declared, cluster, delete),
        {
            each: []
            if each in declared.by_certificate
            else [m for m in MECHANISMS if m not in users.get(each, ())]
            for each in who
        },
        missing,
        surplus,
        quotas.differences(declared.users_quotas, cluster.quotas or {}),
        cluster.quotas or {},
        cluster.refusals,
        [name for name in left if name not in delete],
        cluster.unread,
        problems,
        revoke,
    )


def _deletable(declared: Declared, cluster: Cluster, delete: Iterable[str]) -> list[str]:
    wanted = {topic.name for topic in declared.topics}
    for name in delete:
        if name in wanted:
            raise ClusterError(
                f"{name} is declared, so the next start would make it anew: take what it belongs "
                "to out of the configuration first."
            )
        if name not in cluster.everything:
            raise ClusterError(f"No topic {name}; `northbound topics list` shows all.")
    return sorted(set(delete))


def compare(
    settings: Config,
    connection: AdminClient,
    topics: Sequence[Topic],
    *who: str,
    delete: Collection[str] = (),
    revoke: bool = False,
) -> Difference:
    """Of all tenants, or of some. Raises ClusterError."""
    found = quotas.declared(settings, *who)
    declared = Declared(
        settings.names,
        topics,
        found,
        [each for each in found if settings.tenants[each].login == "certificate"],
        client_certificates.logins(settings.credentials, list(found)),
    )
    cluster = look(settings.client(), connection, declared)
    return differ(declared, cluster, delete=delete, revoke=revoke)


def apply(
    client: Mapping[str, Any],
    connection: AdminClient,
    found: Difference,
    *,
    replication: int,
    add: Callable[[str], None],
    done: Callable[[str, str, dict[str, str]], None],
) -> None:
    """Make all changes but those of what may not be seen. Raises ClusterError.

    `add` makes a tenant's user and rights (logins.ensure). `done` hears of each that is made, as
    the audit topic has it: action, target, details.
    """
    names = found.declared.names
    admin.apply(
        connection,
        found.topics,
        replication,
        lambda change: done(f"topic.{change.action}", change.topic, {"change": str(change)}),
    )
    if "user" not in found.blind:
        for tenant in found.tenants:
            add(tenant)
            done("tenant.add", tenant, {})
    if "quota" not in found.blind:
        for tenant, change in found.quotas.items():
            quota_requests.alter(client, user_name(names, tenant), change)
            done(
                "tenant.quota", tenant, {key: quotas.number(value) for key, value in change.items()}
            )
    for tenant, bindings in found.surplus.items() if found.revoke else ():
        rights.take(connection, bindings)
        for each in bindings:
            done("tenant.revoke", tenant, {"right": acl_text(each)})
    for name in found.deleted:
        admin.delete(connection, [name])
        done("topic.delete", name, {})

"""What a tenant's user may do in Kafka: read its own topics and groups, and nothing else; a main
tenant's (Names.main) the topics of all tenants.

Rights are prefixed with a name that ends in a dot, so that `acme` never sees `acme-2`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

from app.broker.cluster_error import RefusedError, cluster_error
from app.broker.permission import require_describe
from app.broker.settled import wait_settled
from topology.topics import TENANT_NAME, Names

TIMEOUT_S = 30.0
FEEDS = ("events", "alerts")


def check_name(tenant: str) -> None:
    """Raise ValueError unless the name is one that no other tenant's prefix can match."""
    if not TENANT_NAME.fullmatch(tenant):
        raise ValueError(
            f"{tenant!r} is no tenant name: expected 1 to 40 lower-case letters, digits and -"
        )


def user_name(names: Names, tenant: str) -> str:
    """The tenant's SASL user name; of a certificate's login (client_certificates.py), what the
    brokers call who has it."""
    name = f"{names.prefix}{tenant}"
    return names.certificate_user.replace("{}", name) if "/" in tenant else name


def principal(names: Names, tenant: str) -> str:
    """The tenant's user as ACLs name it."""
    return f"User:{user_name(names, tenant)}"


def group_prefix(names: Names, tenant: str) -> str:
    """What the names of the tenant's consumer groups begin with."""
    return f"{names.prefix}{tenant}."


def is_of(names: Names, tenant: str, who: str) -> bool:
    """Whether a principal is the tenant's user, or the user of a certificate of it."""
    begins, _, ends = names.certificate_user.partition("{}")
    begins = f"User:{begins}{names.prefix}{tenant}/"
    certified = who.startswith(begins) and who.endswith(ends) and len(who) > len(begins + ends)
    return certified or who == principal(names, tenant)


def wanted(names: Names, tenant: str, logins: Iterable[str] = ()) -> list[AclBinding]:
    """The tenant's rights: read and describe its topics and its groups.

    `logins`: the users of its certificates (client_certificates.py), which have the same.
    """
    check_name(tenant)
    resources = [
        (ResourceType.TOPIC, names.tenant_prefix(tenant)),
        (ResourceType.GROUP, group_prefix(names, tenant)),
    ]
    if tenant in names.main:
        resources.append((ResourceType.TOPIC, names.feeds_prefix))
    return [
        AclBinding(
            resource,
            prefix,
            ResourcePatternType.PREFIXED,
            principal(names, who),
            "*",
            operation,
            AclPermissionType.ALLOW,
        )
        for who in (tenant, *logins)
        for resource, prefix in resources
        for operation in (AclOperation.READ, AclOperation.DESCRIBE)
    ]


def feed_topic(names: Names, tenant: str, feed: str) -> str:
    """The topic of one of FEEDS."""
    return names.events(tenant) if feed == "events" else names.alerts(tenant)


def pauses(
    names: Names, tenant: str, feeds: Iterable[str], logins: Iterable[str] = ()
) -> list[AclBinding]:
    """What keeps a tenant from reading feeds for a while; it goes before every right. A main tenant
    that reads none of its own reads none of others."""
    check_name(tenant)
    feeds = list(feeds)
    denied = [(feed_topic(names, tenant, feed), ResourcePatternType.LITERAL) for feed in feeds]
    if tenant in names.main and set(feeds) == set(FEEDS):
        denied.append((names.feeds_prefix, ResourcePatternType.PREFIXED))
    return [
        AclBinding(
            ResourceType.TOPIC,
            name,
            pattern,
            principal(names, who),
            "*",
            AclOperation.READ,
            AclPermissionType.DENY,
        )
        for who in (tenant, *logins)
        for name, pattern in denied
    ]


def acl_text(binding: AclBinding) -> str:
    """A right in words: `allow User:acme READ on topics acme.*`."""
    star = "*" if binding.resource_pattern_type == ResourcePatternType.PREFIXED else ""
    return (
        f"{binding.permission_type.name.lower()} {binding.principal} {binding.operation.name} on "
        f"{binding.restype.name.lower()} {binding.name}{star}"
    )


def paused(found: Collection[AclBinding], names: Names, tenant: str) -> list[str]:
    """The feeds that the tenant may not read at present, going by its rights."""
    return [feed for feed in FEEDS if pauses(names, tenant, [feed])[0] in found]


def paused_topics(
    admin: AdminClient, names: Names, tenants: Collection[str]
) -> tuple[set[str], set[str]]:
    """Topics of these tenants that their users are denied at present, and tenants that may read
    topics at all; by one request."""
    denied = {
        each: each.name
        for tenant in tenants
        for feed in FEEDS  # one by one: what a main tenant may not read of others is no pause
        for each in pauses(names, tenant, [feed])
    }
    given = {each: tenant for tenant in tenants for each in wanted(names, tenant)}
    asked = AclBindingFilter(
        ResourceType.TOPIC,
        None,
        ResourcePatternType.ANY,
        None,
        None,
        AclOperation.READ,
        AclPermissionType.ANY,
    )
    with cluster_error("learn which tenants are paused"):
        found = admin.describe_acls(asked).result(TIMEOUT_S)
    return (
        {denied[each] for each in found if each in denied},
        {given[each] for each in found if each in given},
    )


def describe(
    admin: AdminClient, names: Names, tenants: Iterable[str]
) -> dict[str, list[AclBinding]]:
    """All rights of each tenant's user, and of the users of its certificates.

    Raises ClusterError, and RefusedError where rights may not be seen.
    """
    require_describe(admin, "list rights")
    with cluster_error("list rights"):
        bindings = admin.describe_acls(_filter(None)).result(TIMEOUT_S)
    return {
        tenant: [each for each in bindings if is_of(names, tenant, each.principal)]
        for tenant in tenants
    }


def users_of(admin: AdminClient, names: Names, tenant: str) -> set[str]:
    """The tenant's user and those of its certificates, as far as they have rights.

    Raises ClusterError, and RefusedError where rights may not be seen.
    """
    found = describe(admin, names, [tenant])[tenant]
    return {each.principal.removeprefix("User:") for each in found}


def differences(
    names: Names,
    tenants: Iterable[str],
    found: Mapping[str, Collection[AclBinding]],
    logins: Mapping[str, Collection[str]],
) -> tuple[dict[str, list[AclBinding]], dict[str, list[AclBinding]]]:
    """By tenant, the rights that are missing, and those that nobody declares; asks nobody.

    What a pause denies is neither. `logins`: by tenant, the users of its certificates.
    """
    missing: dict[str, list[AclBinding]] = {}
    surplus: dict[str, list[AclBinding]] = {}
    for tenant in tenants:
        has = found.get(tenant, ())
        needed = wanted(names, tenant, logins.get(tenant, ()))
        known = [*needed, *pauses(names, tenant, FEEDS, logins.get(tenant, ()))]
        missing[tenant] = [each for each in needed if each not in has]
        surplus[tenant] = [each for each in has if each not in known]
    return missing, surplus


def of_user(bindings: Iterable[AclBinding], user: str) -> list[AclBinding]:
    """Those of one user."""
    return [each for each in bindings if each.principal == f"User:{user}"]


def by_resource(bindings: Iterable[AclBinding]) -> list[list[AclBinding]]:
    """Rights that differ in nothing but the operation, together."""
    groups: dict[tuple[object, ...], list[AclBinding]] = {}
    for each in bindings:
        resource = (each.restype, each.name, each.resource_pattern_type)
        who = (each.principal, each.host, each.permission_type)
        groups.setdefault((*resource, *who), []).append(each)
    return list(groups.values())


def give(admin: AdminClient, bindings: Sequence[AclBinding]) -> None:
    """Create rights; one that is there is no error. Returns when a broker shows them. Raises
    ClusterError."""
    if not bindings:
        return
    for binding, future in admin.create_acls(list(bindings)).items():
        with cluster_error(f"create the right `{acl_text(binding)}`"):
            future.result(TIMEOUT_S)
    _wait_shown(admin, bindings, there=True)


def take(admin: AdminClient, bindings: Sequence[AclBinding]) -> None:
    """Delete exactly these rights; one that is not there is no error. Returns when a broker shows
    none of them. Raises ClusterError."""
    if not bindings:
        return
    filters = {
        AclBindingFilter(
            each.restype,
            each.name,
            each.resource_pattern_type,
            each.principal,
            each.host,
            each.operation,
            each.permission_type,
        ): each
        for each in bindings
    }
    for found, future in admin.delete_acls(list(filters)).items():
        with cluster_error(f"delete `{acl_text(filters[found])}`"):
            future.result(TIMEOUT_S)
    _wait_shown(admin, bindings, there=False)


def take_all(admin: AdminClient, who: str) -> None:
    """Delete every right of a principal. Returns when a broker shows none. Raises ClusterError.

    What is denied is denied for as long as anything is allowed: a pause does not end by this.
    """
    with cluster_error(f"delete the rights of {who}"):
        for permission in (AclPermissionType.ALLOW, AclPermissionType.ANY):
            for future in admin.delete_acls([_filter(who, permission)]).values():
                future.result(TIMEOUT_S)
    with suppress(RefusedError):
        require_describe(admin, "list rights")
        wait_settled(lambda: not _shown(admin, who), f"the rights of {who}")


def _wait_shown(admin: AdminClient, bindings: Sequence[AclBinding], *, there: bool) -> None:
    """Wait until a broker shows rights or shows none of them, if they may be seen."""

    def shown() -> bool:
        found = [each for who in principals for each in _shown(admin, who)]
        return all((each in found) == there for each in bindings)

    principals = {each.principal for each in bindings}
    with suppress(RefusedError):
        require_describe(admin, "list rights")
        wait_settled(shown, f"the rights of {', '.join(sorted(principals))}")


def _shown(admin: AdminClient, who: str) -> list[AclBinding]:
    with cluster_error("list rights"):
        found: list[AclBinding] = admin.describe_acls(_filter(who)).result(TIMEOUT_S)
    return found


def _filter(
    who: str | None, permission: AclPermissionType = AclPermissionType.ANY
) -> AclBindingFilter:
    return AclBindingFilter(
        ResourceType.ANY,
        None,
        ResourcePatternType.ANY,
        who,
        None,
        AclOperation.ANY,
        permission,
    )

"""A difference in lines for people, each with the commands that make the change."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from confluent_kafka.admin import AclBinding, AdminClient

from app.broker import quotas, rights
from app.broker.cluster_error import ClusterError
from app.broker.credentials import MECHANISMS, password_file
from app.broker.difference import Difference, Kind, compare
from app.broker.kafka_commands import Commands
from app.broker.rights import acl_text, user_name
from app.broker.topic_changes import Change
from app.config.fields import duration_text
from app.config.model import Config
from topology.topics import Topic

Sign: TypeAlias = Literal["+", "~", "-", " "]


@dataclass(frozen=True, slots=True)
class Item:
    """One line of a plan. Sign: + create, ~ change, - delete, blank: told, and left alone."""

    sign: Sign
    kind: Kind
    name: str
    what: str
    commands: tuple[str, ...] = ()
    unseen: bool = False
    """Whether it may be there already: Northbound's user may not look."""


def items(found: Difference, commands: Commands, credentials: Path) -> list[Item]:
    """All lines, in the order in which they are to be done; what is left alone comes last.

    `credentials`: folder of the tenants' passwords.
    """
    names = found.declared.names
    lines: list[Item] = [
        *(_topic(change, tuple(commands.topic(change))) for change in found.topics),
        *(_topic(each, tuple(commands.hidden_topic(each))) for each in found.hidden_topics),
    ]
    for tenant, lacking in found.users.items():
        if lacking:
            user = user_name(names, tenant)
            file = password_file(credentials, tenant)
            how = tuple(commands.user(user, lacking, str(file)))
            sign: Sign = "+" if len(lacking) == len(MECHANISMS) else "~"
            lines.append(Item(sign, "user", user, ", ".join(lacking), how))
    lines += [
        Item("+", "user", user_name(names, tenant), "a certificate, issued by tenants add")
        for tenant in found.users
        if found.declared.lacks_certificate(tenant)
    ]
    for bindings in found.missing.values():
        lines += _rights("+", bindings, commands)
    for tenant, change in found.quotas.items():
        user, now = user_name(names, tenant), found.quotas_now.get(tenant, {})
        what = ", ".join(_quota(key, now.get(key), value) for key, value in change.items())
        how = tuple(commands.quota(user, change))
        lines.append(Item("~" if now else "+", "quota", user, what, how))
    for name in found.deleted:
        how = tuple(commands.delete_topic(name))
        what = f"with every record in it{_unread(found, name)}"
        lines.append(Item("-", "topic", name, what, how))
    for bindings in found.surplus.values():
        if found.revoke:
            lines += _rights("-", bindings, commands)
        else:
            lines += [
                Item(
                    " ", "acl", _user(each), f"{_right(each)}: not declared, left alone (--revoke)"
                )
                for each in bindings
            ]
    lines += [
        Item(
            " ", "topic", name, f"not declared, left alone (--delete {name}){_unread(found, name)}"
        )
        for name in found.undeclared
    ]
    blind = found.blind
    hidden = {change.topic for change in found.hidden_topics}
    return [replace(each, unseen=each.kind in blind or each.name in hidden) for each in lines]


def commands_for(settings: Config) -> Commands:
    """The commands for the cluster of a configuration."""
    return Commands(settings.client()["bootstrap.servers"], settings.replication)


def told(
    settings: Config,
    connection: AdminClient,
    topics: Sequence[Topic],
    *who: str,
    unseen: bool = True,
) -> list[str]:
    """What whoever manages the cluster has to do, as commands. Raises ClusterError.

    `unseen` False says of what may not be seen only that it may not.
    """
    found = compare(settings, connection, topics, *who)
    if found.problems:
        raise ClusterError("\n".join(found.problems))
    lines = items(found, commands_for(settings), settings.credentials)
    commands = [each for line in lines if unseen or not line.unseen for each in line.commands]
    hints = [] if unseen else [f"# {each}" for each in found.hidden.values()]
    return [*hints, *commands]


def _unread(found: Difference, topic: str) -> str:
    """What would be lost with a raw topic whose source was renamed or taken out."""
    count = found.unread.get(topic, 0)
    if not count:
        return ""
    return (
        f"; up to {count:,} of its records were read by no worker: a source of this name mends it"
    )


def _topic(change: Change, how: tuple[str, ...]) -> Item:
    if change.action == "grow":
        what = f"partitions {change.had} -> {change.partitions}"
        return Item("~", "topic", change.topic, what, how)
    if change.action == "set":
        entries = [
            f"{key} {change.was.get(key) or '(none)'} -> {value}"
            for key, value in change.config.items()
        ]
        return Item("~", "topic", change.topic, ", ".join(entries), how)
    plural = "s" if change.partitions > 1 else ""
    kept = change.config.get("retention.ms")
    after = "" if kept is None else f" after {duration_text(int(kept))}"
    policy = change.config.get("cleanup.policy", "delete")
    what = f"{change.partitions} partition{plural}, {policy}{after}"
    return Item("+", "topic", change.topic, what, how)


def _user(binding: AclBinding) -> str:
    return str(binding.principal).removeprefix("User:")


def _rights(sign: Sign, bindings: Sequence[AclBinding], commands: Commands) -> list[Item]:
    """One line for each user and resource."""
    return [
        Item(
            sign,
            "acl",
            _user(group[0]),
            _right(*group),
            (commands.rights(group, remove=sign == "-"),),
        )
        for group in rights.by_resource(bindings)
    ]


def _right(*bindings: AclBinding) -> str:
    """`READ, DESCRIBE on topic northbound.acme.*`."""
    first = bindings[0]
    operations = ", ".join(each.operation.name for each in bindings)
    text = acl_text(first).partition(" on ")[2]
    host = "" if first.host == "*" else f" from {first.host}"
    deny = "deny " if first.permission_type.name == "DENY" else ""
    return f"{deny}{operations} on {text}{host}"


def _quota(key: str, now: float | None, then: float | None) -> str:
    return (
        f"{key} {quotas.number(then)}"
        if now is None
        else f"{key} {quotas.number(now)} -> {quotas.number(then)}"
    )

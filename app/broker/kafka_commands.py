"""Changes as commands of Apache Kafka's own tools, for whoever manages the cluster.

Source: --help of kafka-topics.sh, kafka-configs.sh and kafka-acls.sh of Kafka 4.2. No command holds
a password: one is read from a file, on standard input.
"""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from confluent_kafka.admin import AclBinding, AclPermissionType, ResourcePatternType, ResourceType

from app.broker.topic_changes import Change

ADMIN: Final = "admin.properties"
"""File with which the cluster's owner connects."""
ITERATIONS: Final = 8192
"""Of SCRAM: how often a password is hashed."""


@dataclass(frozen=True, slots=True)
class Commands:
    """Lines for a shell. `bootstrap`: servers to connect to; `replication`: of new topics."""

    bootstrap: str
    replication: int

    def topic(self, change: Change) -> list[str]:
        """A change of a topic."""
        if change.action == "create":
            return [self._create(change.topic, change.partitions, change.config)]
        if change.action == "grow":
            number = str(change.partitions)
            return [
                self._line("topics", "--alter", "--topic", change.topic, "--partitions", number)
            ]
        return [self._set(change.topic, change.config)]

    def hidden_topic(self, change: Change) -> list[str]:
        """A topic that may be there or not: created if not, and set in either case."""
        return [*self.topic(change), self._set(change.topic, change.config)]

    def delete_topic(self, name: str) -> list[str]:
        return [self._line("topics", "--delete", "--topic", name)]

    def user(self, name: str, mechanisms: Iterable[str], password_file: str) -> list[str]:
        """A SCRAM user, whose password `password_file` holds in one line."""
        return [
            f"sed 's/^/{mechanism}=iterations={ITERATIONS},password=/' "
            f"{shlex.quote(password_file)} | "
            + self._line("configs", "--alter", *_user(name), "--add-config-file", "/dev/stdin")
            for mechanism in mechanisms
        ]

    def delete_user(self, name: str, mechanisms: Iterable[str]) -> str:
        """An end of a SCRAM user."""
        keys = ",".join(mechanisms)
        return self._line("configs", "--alter", *_user(name), "--delete-config", keys)

    def rights(self, bindings: Sequence[AclBinding], *, remove: bool = False) -> str:
        """Rights that differ in nothing but the operation."""
        first = bindings[0]
        allow = "allow" if first.permission_type == AclPermissionType.ALLOW else "deny"
        host = () if first.host == "*" else (f"--{allow}-host", first.host)
        names = (_operation(each.operation.name) for each in bindings)
        prefixed = first.resource_pattern_type == ResourcePatternType.PREFIXED
        return self._line(
            *("acls", *(("--remove", "--force") if remove else ("--add",))),
            *(f"--{allow}-principal", first.principal, *host),
            *(part for name in names for part in ("--operation", name)),
            *_of_resource(first),
            *("--resource-pattern-type", "prefixed" if prefixed else "literal"),
        )

    def quota(self, user: str, change: Mapping[str, float | None]) -> list[str]:
        """Quotas of a user; None is taken away."""
        added = ",".join(f"{key}={value:.0f}" for key, value in change.items() if value is not None)
        gone = ",".join(key for key, value in change.items() if value is None)
        return [
            self._line("configs", "--alter", *_user(user), flag, keys)
            for flag, keys in (("--add-config", added), ("--delete-config", gone))
            if keys
        ]

    def _create(self, name: str, partitions: int, config: Mapping[str, str]) -> str:
        entries = [part for key, value in config.items() for part in ("--config", f"{key}={value}")]
        return self._line(
            *("topics", "--create", "--if-not-exists", "--topic", name),
            *("--partitions", str(partitions), "--replication-factor", str(self.replication)),
            *entries,
        )

    def _set(self, name: str, config: Mapping[str, str]) -> str:
        # A list stands in brackets: commas part entries.
        entries = (
            f"{key}=[{value}]" if "," in value else f"{key}={value}"
            for key, value in config.items()
        )
        entity = ("--entity-type", "topics", "--entity-name", name)
        return self._line("configs", "--alter", *entity, "--add-config", ",".join(entries))

    def _line(self, tool: str, *arguments: str) -> str:
        where = ("--bootstrap-server", self.bootstrap, "--command-config", ADMIN)
        return shlex.join((f"kafka-{tool}.sh", *where, *arguments))


def _user(name: str) -> tuple[str, ...]:
    return ("--entity-type", "users", "--entity-name", name)


def _of_resource(binding: AclBinding) -> tuple[str, ...]:
    kinds = {
        ResourceType.TOPIC: "--topic",
        ResourceType.GROUP: "--group",
        ResourceType.TRANSACTIONAL_ID: "--transactional-id",
    }
    if binding.restype in kinds:
        return (kinds[binding.restype], binding.name)
    return ("--cluster",)


def _operation(name: str) -> str:
    """`DESCRIBE_CONFIGS` as the tool spells it: `DescribeConfigs`."""
    return "".join(word.capitalize() for word in name.split("_"))

"""Northbound's own user on an existing cluster, with the rights of docs/existing-cluster.md."""

from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from app.broker import rights
from app.broker.admin import connect
from app.broker.server import EmbeddedKafka
from tests.runtime.processes import wait_for

# What Northbound's own user needs on an existing cluster: (resource, name, operations); all names
# are prefixes but the cluster's.
RIGHTS = (
    (ResourceType.BROKER, "kafka-cluster", "DESCRIBE ALTER DESCRIBE_CONFIGS ALTER_CONFIGS"),
    (
        ResourceType.TOPIC,
        "",
        "CREATE DESCRIBE ALTER DELETE READ WRITE DESCRIBE_CONFIGS ALTER_CONFIGS",
    ),
    (ResourceType.GROUP, "", "READ DESCRIBE"),
    (ResourceType.TRANSACTIONAL_ID, "", "WRITE DESCRIBE"),
)


def security(kafka: EmbeddedKafka, prefix: str, folder: Path) -> dict[str, object]:
    """A user of Northbound's own on the SASL_SSL listener, with the rights above and no more."""
    admin = connect({"bootstrap.servers": kafka.bootstrap})
    user, password = f"{prefix}northbound", "Secret1Secret2"
    (folder / "password").write_text(password)
    credential = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 8192)
    change = UserScramCredentialUpsertion(user, credential, password.encode())
    admin.alter_user_scram_credentials([change])[user].result(60)
    bindings = [
        AclBinding(
            kind,
            name or prefix,
            ResourcePatternType.PREFIXED if not name else ResourcePatternType.LITERAL,
            f"User:{user}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )
        for kind, name, operations in RIGHTS
        for operation in operations.split()
    ]
    rights.give(admin, bindings)
    login = {
        "bootstrap.servers": kafka.northbound,
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": user,
        "sasl.password": password,
        "ssl.ca.location": str(kafka.ca),
    }

    def known() -> bool:
        """The broker hears of the user a moment after the controller's answer."""
        try:
            connect(login).list_topics(timeout=10)
        except KafkaException:
            return False
        return True

    wait_for(known, f"a login of {user}")
    return {
        "protocol": "SASL_SSL",
        "mechanism": "SCRAM-SHA-512",
        "username": user,
        "password_file": "password",
        "ca_file": str(kafka.ca),
    }

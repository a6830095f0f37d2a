"""java.properties with two trust stores, truststore.jks and truststore.p12 (password changeit)."""

from app.broker.bundle import schema_registry
from app.broker.bundle.access import Access, File
from app.broker.bundle.trust_stores import STORE_PASSWORD, trust_stores

BACKSLASH = "\\"
"""Begins an escape in a file of properties."""


def jaas(access: Access) -> str:
    """The line that logs a Java client in."""
    return (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{access.user}" password="{access.password}";'
    )


def files(access: Access) -> list[File]:
    stores = {} if access.ca is None else trust_stores(access.ca)
    lines = [
        f"bootstrap.servers={access.servers}",
        f"client.id={access.user}",
        f"group.id={access.group}",
        "session.timeout.ms=60000",
        "auto.offset.reset=earliest",
        "isolation.level=read_committed",
        "security.protocol=SASL_SSL",
        f"sasl.mechanism={access.mechanism}",
        f"sasl.jaas.config={jaas(access)}",
    ]
    if stores:
        lines += [
            "ssl.truststore.location=truststore.p12",
            "ssl.truststore.type=PKCS12",
            f"ssl.truststore.password={STORE_PASSWORD}",
            "# For a client that reads JKS only:",
            "# ssl.truststore.location=truststore.jks",
            "# ssl.truststore.type=JKS",
        ]
    if access.registry is not None:
        lines += [
            "value.deserializer=io.confluent.kafka.serializers.KafkaAvroDeserializer",
            *(
                f"{key}={value.replace(BACKSLASH, BACKSLASH * 2)}"
                for key, value in schema_registry.java(access.registry).items()
            ),
        ]
    text = "\n".join(lines) + "\n"
    return [
        File("java.properties", text.encode(), secret=True),
        *(File(name, content) for name, content in stores.items()),
    ]

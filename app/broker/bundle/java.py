"""java.properties with two trust stores, truststore.jks and truststore.p12 (password changeit), and
keystore.p12 for a tenant that logs in by certificate."""

from app.broker.bundle import schema_registry
from app.broker.bundle.access import KEY_STORE, Access, File
from app.broker.bundle.trust_stores import STORE_PASSWORD, key_store, trust_stores

BACKSLASH = "\\"
"""Begins an escape in a file of properties."""


def jaas(access: Access) -> str:
    """The line that logs a Java client in."""
    return (
        "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{access.user}" password="{access.password}";'
    )


def login(access: Access) -> dict[str, str]:
    """Who connects, as Java clients have it."""
    if access.certificate is not None:
        return {
            "ssl.keystore.location": KEY_STORE,
            "ssl.keystore.type": "PKCS12",
            "ssl.keystore.password": STORE_PASSWORD,
        }
    return {"sasl.mechanism": access.mechanism, "sasl.jaas.config": jaas(access)}


def files(access: Access) -> list[File]:
    stores = {} if access.ca is None else trust_stores(access.ca)
    lines = [
        f"bootstrap.servers={access.servers}",
        f"client.id={access.user}",
        f"group.id={access.group}",
        "session.timeout.ms=60000",
        "auto.offset.reset=earliest",
        "isolation.level=read_committed",
        f"security.protocol={access.protocol}",
        *(f"{key}={value}" for key, value in login(access).items()),
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
        *(
            []
            if access.certificate is None
            else [File(KEY_STORE, key_store(*access.certificate), secret=True)]
        ),
        *(File(name, content) for name, content in stores.items()),
    ]

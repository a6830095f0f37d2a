"""client.properties: for kcat -F and every other client on librdkafka."""

from typing import Any

from app.broker.bundle.access import Access, File


def settings(access: Access) -> dict[str, Any]:
    """Configuration of a consumer. Source: librdkafka CONFIGURATION.md; the keys that Citrix
    documents for its northbound feed, and read_committed said aloud."""
    return {
        "bootstrap.servers": access.servers,
        "client.id": access.user,
        "group.id": access.group,
        "session.timeout.ms": 60000,
        "auto.offset.reset": "earliest",
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": access.mechanism,
        "sasl.username": access.user,
        "sasl.password": access.password,
        **({} if access.ca is None else {"ssl.ca.location": "ca.pem"}),
        "isolation.level": "read_committed",
    }


def files(access: Access) -> list[File]:
    lines = [f"{key}={value}" for key, value in settings(access).items()]
    return [File("client.properties", ("\n".join(lines) + "\n").encode(), secret=True)]

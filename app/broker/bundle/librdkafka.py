"""client.properties: for kcat -F and every other client on librdkafka."""

from typing import Any

from app.broker.bundle.access import CLIENT_CERTIFICATE, CLIENT_KEY, Access, File


def settings(access: Access) -> dict[str, Any]:
    """Configuration of a consumer. Source: librdkafka CONFIGURATION.md; the keys that Citrix
    documents for its northbound feed, and read_committed said aloud."""
    return {
        "bootstrap.servers": access.servers,
        "client.id": access.user,
        "group.id": access.group,
        "session.timeout.ms": 60000,
        "auto.offset.reset": "earliest",
        "security.protocol": access.protocol,
        **login(access),
        **({} if access.ca is None else {"ssl.ca.location": "ca.pem"}),
        "isolation.level": "read_committed",
    }


def login(access: Access) -> dict[str, str]:
    """Who connects: a user with a password, or a certificate; files are of the bundle's folder."""
    if access.certificate is not None:
        return {"ssl.certificate.location": CLIENT_CERTIFICATE, "ssl.key.location": CLIENT_KEY}
    return {
        "sasl.mechanisms": access.mechanism,
        "sasl.username": access.user,
        "sasl.password": access.password,
    }


def files(access: Access) -> list[File]:
    lines = [f"{key}={value}" for key, value in settings(access).items()]
    return [File("client.properties", ("\n".join(lines) + "\n").encode(), secret=True)]

"""Redpanda Connect's redpanda input, on franz-go. Keys: Redpanda Connect's reference.

kafka_franz, which has the same keys, is deprecated since 4.68.
"""

from typing import Any

import yaml

from app.broker.bundle.access import (
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    Access,
    File,
    RegistryAccess,
)

HEAD = """\
# redpanda-connect run redpanda-connect.yaml, in this folder: the path of the CA is relative.
"""


def files(access: Access) -> list[File]:
    kafka: dict[str, Any] = {
        "seed_brokers": access.servers.split(","),
        "topics": list(access.topics.values()),
        "consumer_group": f"{access.group_prefix}redpanda-connect",
        "client_id": access.user,
        "start_offset": "earliest",
        "session_timeout": "1m",
        "transaction_isolation_level": "read_committed",
        "tls": {"enabled": True, **({} if access.ca is None else {"root_cas_file": "ca.pem"})},
    }
    if access.certificate is not None:
        own = {"cert_file": CLIENT_CERTIFICATE, "key_file": CLIENT_KEY}
        kafka["tls"] |= {"client_certs": [own]}
    else:
        login = {
            "mechanism": access.mechanism,
            "username": access.user,
            "password": access.password,
        }
        kafka["sasl"] = [login]
    content: dict[str, Any] = {"input": {"redpanda": kafka}}
    if access.registry is not None:
        content["pipeline"] = {"processors": [{"schema_registry_decode": _decode(access.registry)}]}
    content["output"] = {"stdout": {"codec": "lines"}}
    text = HEAD + yaml.safe_dump(content, sort_keys=False)
    return [File("redpanda-connect.yaml", text.encode(), secret=True)]


def _decode(registry: RegistryAccess) -> dict[str, Any]:
    found: dict[str, Any] = {"url": registry.url, "avro": {"raw_unions": True}}
    if registry.user is not None:
        found["basic_auth"] = {
            "enabled": True,
            "username": registry.user,
            "password": registry.password,
        }
    if registry.ca_file is not None:
        found["tls"] = {"root_cas_file": registry.ca_file}
    return found

"""Vector's kafka source. Keys: Vector's reference of the source; it is built on librdkafka."""

import yaml

from app.broker.bundle.access import Access, File

HEAD = """\
# vector --config vector.yaml, in this folder: the path of the CA is relative.
"""


def files(access: Access) -> list[File]:
    source = {
        "type": "kafka",
        "bootstrap_servers": access.servers,
        "group_id": f"{access.group_prefix}vector",
        "topics": list(access.topics.values()),
        "auto_offset_reset": "earliest",
        "session_timeout_ms": 60000,
        "sasl": {
            "enabled": True,
            "mechanism": access.mechanism,
            "username": access.user,
            "password": access.password,
        },
        "tls": {"enabled": True, **({} if access.ca is None else {"ca_file": "ca.pem"})},
        "librdkafka_options": {"client.id": access.user, "isolation.level": "read_committed"},
        "decoding": {"codec": "json"},
    }
    sink = {
        "type": "console",
        "inputs": ["northbound"],
        "encoding": {"codec": "json"},
        "acknowledgements": {"enabled": True},
    }
    content = {"sources": {"northbound": source}, "sinks": {"out": sink}}
    text = HEAD + yaml.safe_dump(content, sort_keys=False)
    return [File("vector.yaml", text.encode(), secret=True)]

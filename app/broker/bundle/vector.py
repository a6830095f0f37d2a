"""Vector's kafka source. Keys: Vector's reference of the source; it is built on librdkafka."""

from typing import Final

import yaml

from app.broker.bundle.access import Access, File
from schemas import codec, event

AVRO: Final = {
    "codec": "avro",
    "avro": {"schema": codec.text(event.RECORD), "strip_schema_id_prefix": True},
}
"""Vector asks no registry: it takes off the id, and reads with the schema that it is given."""
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
        "decoding": {"codec": "json"} if access.registry is None else AVRO,
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

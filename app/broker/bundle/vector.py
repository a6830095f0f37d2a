"""Vector's kafka source. Keys: Vector's reference of the source; it is built on librdkafka."""

from typing import Final

import yaml

from app.broker.bundle.access import CLIENT_CERTIFICATE, CLIENT_KEY, Access, File
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
        **({"sasl": _sasl(access)} if access.certificate is None else {}),
        "tls": _tls(access),
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


def _sasl(access: Access) -> dict[str, object]:
    return {
        "enabled": True,
        "mechanism": access.mechanism,
        "username": access.user,
        "password": access.password,
    }


def _tls(access: Access) -> dict[str, object]:
    found: dict[str, object] = {"enabled": True}
    if access.ca is not None:
        found["ca_file"] = "ca.pem"
    if access.certificate is not None:
        found |= {"crt_file": CLIENT_CERTIFICATE, "key_file": CLIENT_KEY}
    return found

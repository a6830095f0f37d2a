"""A tenant's bundle: everything its SIEM needs to connect, in one folder."""

import io
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from app.broker.bundle import (
    avro,
    elastic_agent,
    filebeat,
    fluent_bit,
    go,
    java,
    librdkafka,
    logstash,
    node,
    pem,
    python,
    readme,
    redpanda_connect,
    rsyslog,
    schema_registry,
    splunk,
    vector,
)
from app.broker.bundle.access import (
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    KEY_STORE,
    REGISTRY_CA,
    Access,
    File,
    RegistryAccess,
)
from app.broker.bundle.consumer import configuration
from app.broker.private_file import write_private

FORMATS: dict[str, Callable[[Access], list[File]]] = {
    "readme": readme.files,
    "pem": pem.files,
    "avro": avro.files,
    "schema-registry": schema_registry.files,
    "python": python.files,
    "librdkafka": librdkafka.files,
    "java": java.files,
    "go": go.files,
    "node": node.files,
    "logstash": logstash.files,
    "filebeat": filebeat.files,
    "elastic-agent": elastic_agent.files,
    "vector": vector.files,
    "fluent-bit": fluent_bit.files,
    "redpanda-connect": redpanda_connect.files,
    "splunk": splunk.files,
    "rsyslog": rsyslog.files,
}
"""One file of this package for each format."""
SOMETIMES = (
    *(CLIENT_CERTIFICATE, CLIENT_KEY, KEY_STORE, "ca.pem", "truststore.*"),
    *("event.v*.avsc", REGISTRY_CA, schema_registry.TRUST_STORE),
)
"""Files that some bundles have. What an earlier bundle left would tell a client something wrong, as
schemas of records that are JSON by now, or be a key that is still good."""

__all__ = ["FORMATS", "Access", "File", "RegistryAccess", "client_configuration", "pack", "write"]


def write(access: Access, folder: Path) -> list[Path]:
    """Write the files of all formats into `folder`; files of an earlier bundle are replaced, and
    those that are none of this one's removed.

    The folder and files with the password are readable by their owner alone.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    again = (folder / "northbound.json").is_file()
    written = []
    for make in FORMATS.values():
        for file in make(access):
            target = folder / file.name
            write_private(target, file.content)
            if not file.secret:
                target.chmod(0o755 if file.content.startswith(b"#!") else 0o644)
            written.append(target)
    for pattern in SOMETIMES if again else ():
        for left in folder.glob(pattern):
            if left not in written:
                left.unlink()
    return written


def pack(folder: Path, files: Iterable[Path]) -> Path:
    """The bundle's files as FOLDER.zip beside it, for its owner alone; they keep their modes. What
    else is in the folder is nobody's outside."""
    packed, whole = io.BytesIO(), folder.resolve()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(files):
            archive.write(file, f"{whole.name}/{file.name}")
    target = whole.with_name(f"{whole.name}.zip")
    write_private(target, packed.getvalue())
    return target


def client_configuration(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A bundle as a consumer outside reads it: confluent-kafka configuration, feed → topic."""
    client, topics, _ = configuration(folder, "")
    return client, topics

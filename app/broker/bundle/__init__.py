"""A tenant's bundle: everything its SIEM needs to connect, in one folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.broker.bundle import java, librdkafka, pem, python, readme
from app.broker.bundle.access import Access, File
from app.broker.bundle.consumer import configuration
from app.broker.certificates import write_private

FORMATS: dict[str, Callable[[Access], list[File]]] = {
    "readme": readme.files,
    "pem": pem.files,
    "python": python.files,
    "librdkafka": librdkafka.files,
    "java": java.files,
}
"""One file of this package for each format."""

__all__ = ["FORMATS", "Access", "File", "client_configuration", "write"]


def write(access: Access, folder: Path) -> list[Path]:
    """Write the files of all formats into `folder`; files of an earlier bundle are replaced.

    The folder and files with the password are readable by their owner alone.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    written = []
    for make in FORMATS.values():
        for file in make(access):
            target = folder / file.name
            write_private(target, file.content)
            if not file.secret:
                target.chmod(0o755 if file.content.startswith(b"#!") else 0o644)
            written.append(target)
    return written


def client_configuration(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """A bundle as a consumer outside reads it: confluent-kafka configuration, feed → topic."""
    client, topics, _ = configuration(folder, "")
    return client, topics

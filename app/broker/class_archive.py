"""The JVM's class-data archive of the broker: halves its start (7.0 s to 3.7 s on a busy machine).

The first broker of a Java and a set of jars writes it when it ends; later ones use it. A JVM that
finds it unfit ignores it.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.broker.java import Java


def archive_file(cache: Path, java: Java, jars: Sequence[Path]) -> Path:
    """Where the archive of this Java and these jars is, or would be."""
    parts = [str(java.program), java.build, *map(str, jars)]
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return cache / f"kafka-{key}.jsa"


QUIET = ("-Xlog:disable", "-Xlog:all=error:stderr")


def use(archive: Path) -> list[str]:
    """JVM flags that use the archive; none where there is none."""
    return [*QUIET, f"-XX:SharedArchiveFile={archive}"] if archive.is_file() else []


def record(folder: Path) -> list[str]:
    """JVM flags that write an archive into `folder` at exit."""
    return [*QUIET, f"-XX:ArchiveClassesAtExit={_written(folder)}"]


def keep(archive: Path, folder: Path) -> None:
    """After a broker has ended in good order: move what it wrote to its place, whole or not at all.

    Without an archive starts are slower and nothing else, so failures (a full disk) are ignored.
    """
    written = _written(folder)
    with suppress(OSError):
        if written.is_file() and not archive.is_file():
            part = archive.with_suffix(f".{os.getpid()}.part")
            archive.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(written, part)
            part.replace(archive)
    with suppress(OSError):
        written.unlink(missing_ok=True)


def _written(folder: Path) -> Path:
    return folder / "classes.jsa"

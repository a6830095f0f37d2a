"""The broker's jars: exactly those of jars.lock, fetched once into a cache, hashes always checked.

A complete list of coordinates, because jgo's own resolver mediates versions differently from
Maven (with kafka_2.13 alone it takes a kafka-clients on which the broker dies).
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from app.broker.errors import BrokerError

if TYPE_CHECKING:
    from jgo.maven import MavenContext

LOCK = Path(__file__).with_name("jars.lock")
DOWNLOADS = 6

Progress = Callable[[int, int], None]
"""Called after each jar that had to be fetched: jars done, jars to fetch."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of a lock file."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        return f"{self.artifact}-{self.version}.jar"

    @property
    def path(self) -> Path:
        """Place in a folder laid out as a Maven repository."""
        return Path(*self.group.split("."), self.artifact, self.version, self.filename)


def read_lock(text: str) -> list[Jar]:
    """The jars of a lock file, in class path order: `group:artifact:version sha256` lines."""
    jars = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#", 1)[0].split()
        if not words:
            continue
        coordinates = words[0].split(":")
        if len(words) != 2 or len(coordinates) != 3 or len(words[1]) != 64:
            raise BrokerError(f"jars.lock:{number}: expected `group:artifact:version sha256`")
        group, artifact, version = coordinates
        jars.append(Jar(group, artifact, version, words[1]))
    return jars


def cache_folder() -> Path:
    """Where fetched jars are kept: NORTHBOUND_CACHE, else ~/.cache/northbound."""
    chosen = os.environ.get("NORTHBOUND_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache" / "northbound") / "jars"


def class_path(lock: Path = LOCK, progress: Progress | None = None) -> list[Path]:
    """The jars of `lock` as files whose hashes are right, in order.

    NORTHBOUND_JARS=DIR takes them from a folder (flat, or laid out as a Maven repository) and
    never uses the network. Raises BrokerError when one is missing, wrong or cannot be fetched.
    """
    jars = read_lock(lock.read_text(encoding="ascii"))
    offline = os.environ.get("NORTHBOUND_JARS")
    if offline:
        return [_offline(Path(offline), jar) for jar in jars]
    return _fetch(jars, cache_folder(), progress)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _offline(folder: Path, jar: Jar) -> Path:
    for file in (folder / jar.filename, folder / jar.path):
        if file.is_file():
            if _sha256(file) != jar.sha256:
                raise BrokerError(
                    f"{file} is not the jar that Northbound was tested with: its SHA-256 is not "
                    f"{jar.sha256}. Put the right {jar.group}:{jar.artifact}:{jar.version} there."
                )
            return file
    raise BrokerError(
        f"NORTHBOUND_JARS={folder} has no {jar.filename} ({jar.group}:{jar.artifact}:"
        f"{jar.version}). Copy all jars of app/broker/jars.lock there, or unset NORTHBOUND_JARS "
        "to fetch them."
    )


def _fetch(jars: list[Jar], cache: Path, progress: Progress | None) -> list[Path]:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with _locked(cache / ".lock"):
            missing = [jar for jar in jars if not _usable(cache, jar)]
            if missing:
                _download(missing, cache, progress)
    except OSError as error:
        raise BrokerError(
            f"Cannot keep the Kafka jars in {cache}: {error.strerror or error}. They need 50 MB; "
            "free some space or set NORTHBOUND_CACHE to a folder that this user can write to."
        ) from error
    return [cache / jar.path for jar in jars]


def _usable(cache: Path, jar: Jar) -> bool:
    """Whether the cached file is right; one that is not (a cut download) is removed."""
    file = cache / jar.path
    if not file.is_file():
        return False
    if _sha256(file) == jar.sha256:
        return True
    file.unlink()
    return False


def _download(missing: list[Jar], cache: Path, progress: Progress | None) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415  # only where something is missing

    context = MavenContext(repo_cache=cache, timeout=30)
    with ThreadPoolExecutor(DOWNLOADS) as pool:
        waiting = [pool.submit(_download_one, context, cache, jar) for jar in missing]
        try:
            for done, future in enumerate(waiting, 1):
                future.result()
                if progress:
                    progress(done, len(missing))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _download_one(context: "MavenContext", cache: Path, jar: Jar) -> None:
    import requests  # noqa: PLC0415  # jgo's HTTP client

    project = context.project(jar.group, jar.artifact)
    try:
        project.at_version(jar.version).artifact().resolve()
    except (requests.RequestException, RuntimeError) as error:
        raise BrokerError(
            f"Cannot fetch {jar.group}:{jar.artifact}:{jar.version} from the Maven repository "
            f"({type(error).__name__}). Check the network and HTTPS_PROXY, or copy the jars of "
            "app/broker/jars.lock into a folder and set NORTHBOUND_JARS to it."
        ) from error
    if not _usable(cache, jar):
        raise BrokerError(
            f"What came for {jar.group}:{jar.artifact}:{jar.version} is not the jar that "
            f"Northbound was tested with: its SHA-256 is not {jar.sha256}. Try again; if it stays, "
            "something between this machine and the Maven repository changes files."
        )


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Two processes never fetch into one cache at the same time."""
    with file.open("a") as opened:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield

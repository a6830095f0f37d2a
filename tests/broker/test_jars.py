"""The broker's jars are exactly those of jars.lock, or a message says what to do."""

import hashlib
from pathlib import Path

import jgo.maven
import pytest
import requests

from app.broker.errors import BrokerError
from app.broker.jars import LOCK, class_path, read_lock

CONTENT = b"a jar"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock file with one small jar, and an empty cache."""
    monkeypatch.setenv("NORTHBOUND_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("NORTHBOUND_JARS", raising=False)
    file = tmp_path / "jars.lock"
    file.write_text(f"# a comment\norg.example:thing:1.0 {DIGEST}\n")
    return file


def answer(monkeypatch: pytest.MonkeyPatch, content: bytes | Exception) -> None:
    """Let every download end with `content`."""

    def resolve(artifact: jgo.maven.Artifact) -> Path:
        if isinstance(content, Exception):
            raise content
        file = artifact.cached_path
        assert file is not None
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return file

    monkeypatch.setattr(jgo.maven.Artifact, "resolve", resolve)


def test_the_lock_is_complete() -> None:
    """kafka-clients comes first, and the logger binding is the one for slf4j 1.7."""
    jars = read_lock(LOCK.read_text())
    assert jars[0].artifact == "kafka-clients"
    versions = {jar.artifact: jar.version for jar in jars}
    assert versions["kafka_2.13"] == versions["kafka-clients"]
    assert versions["slf4j-api"].startswith("1.7")
    assert "log4j-slf4j-impl" in versions
    assert len(jars) == len(versions)


def test_a_fetched_jar_is_kept(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second time needs no network, and progress is told once for each fetched jar."""
    seen = []
    answer(monkeypatch, CONTENT)
    first = class_path(lock, lambda *progress: seen.append(progress))
    answer(monkeypatch, AssertionError("fetched twice"))
    assert class_path(lock) == first
    assert seen == [(1, 1)]


def test_a_damaged_jar_is_fetched_again(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cut download in the cache is found by its hash and replaced."""
    answer(monkeypatch, CONTENT)
    (file,) = class_path(lock)
    file.write_bytes(CONTENT[:2])
    assert class_path(lock)[0].read_bytes() == CONTENT


def test_a_wrong_jar_is_refused(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A jar with another hash is neither used nor kept."""
    answer(monkeypatch, b"another jar")
    with pytest.raises(BrokerError, match=rf"org\.example:thing:1\.0 .*not {DIGEST}"):
        class_path(lock)
    assert not list(lock.parent.glob("cache/**/*.jar"))


def test_no_network(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without network the message names the two ways out, and no address."""
    answer(monkeypatch, requests.ConnectionError("host=nowhere"))
    with pytest.raises(BrokerError, match=r"Check the network and HTTPS_PROXY.*NORTHBOUND_JARS"):
        class_path(lock)


def test_an_unreachable_proxy(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on jgo's real path: the proxy of the environment refuses connections."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(BrokerError, match=r"Cannot fetch org\.example:thing:1\.0"):
        class_path(lock)


@pytest.mark.parametrize("layout", ["thing-1.0.jar", "org/example/thing/1.0/thing-1.0.jar"])
def test_an_offline_folder(lock: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    """NORTHBOUND_JARS takes jars from a flat folder or a Maven repository's layout."""
    file = lock.parent / "jars" / layout
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    monkeypatch.setenv("NORTHBOUND_JARS", str(lock.parent / "jars"))
    assert class_path(lock) == [file]
    file.write_bytes(b"another jar")
    with pytest.raises(BrokerError, match="SHA-256 is not"):
        class_path(lock)
    file.unlink()
    with pytest.raises(BrokerError, match=r"has no thing-1\.0\.jar"):
        class_path(lock)


def test_a_bad_lock_line_is_named() -> None:
    """A line that is no coordinate with a hash stops with its number."""
    with pytest.raises(BrokerError, match=r"jars\.lock:2"):
        read_lock(f"a:b:1 {DIGEST}\nnonsense\n")

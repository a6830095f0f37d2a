"""The file of tenants.d that `tenants add` writes: whole and good, or not there. No cluster."""

import errno
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from app import tenant_files
from app.cli import app
from app.config import Config, ConfigError, load

CONFIG = """
version: 1
kafka: {external: {bootstrap: "127.0.0.1:1", replication: 1}}
sources: {qumulo: {format: qumulo}}
tenants: {acme: {sources: [qumulo]}}
"""
CONTENT = {"sources": ["qumulo"], "feeds": ["events"], "mask": {"actor.user.name": "drop"}}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A northbound.yaml with one tenant in it."""
    path = tmp_path / "northbound.yaml"
    path.write_text(CONFIG)
    return path


def add(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["tenants", "add", *arguments, "--config", str(path)])


def files(path: Path) -> list[str]:
    return sorted(each.name for each in (path.parent / "tenants.d").iterdir())


def test_a_tenant_is_configured_by_its_file(path: Path) -> None:
    """And what is declared for it is that of the configuration with it."""
    tenants = tenant_files.add(path, load(path), "other", CONTENT, lambda now: list(now.tenants))[1]
    assert tenants == ["acme", "other"]
    assert load(path).tenants["other"].mask == {"actor.user.name": "drop"}
    assert files(path) == ["other.yaml"]


def test_a_full_disk_leaves_no_half_of_a_tenant(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its last lines the file is good, and the tenant reads what it may not."""
    write = Path.write_text

    def half(file: Path, text: str, **options: str) -> int:
        write(file, text[: text.index("mask")], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    settings = load(path)
    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(ConfigError, match=r"other\.yaml: No space left on device"):
        tenant_files.add(path, settings, "other", CONTENT, lambda _: None)
    assert files(path) == []


def test_a_tenant_that_fails_otherwise_is_taken_back(path: Path) -> None:
    """A file of rules that cannot be read, say, or somebody who does not wait."""

    def interrupted(_: Config) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tenant_files.add(path, load(path), "other", CONTENT, interrupted)
    assert files(path) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acme", "--format", "cef"], "acme is configured already; change it in"),
        (
            ["other", "--mask", "actor.user.name"],
            "--mask: saw 'actor.user.name', expected actor.user.name=hash or actor.user.name=drop",
        ),
    ],
)
def test_what_is_asked_for_in_vain_is_told(path: Path, arguments: list[str], said: str) -> None:
    """Before anything is written or the cluster is asked."""
    result = add(path, *arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (path.parent / "tenants.d").exists()

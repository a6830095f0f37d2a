"""When a tenant's bundle is written, and where it cannot be. No broker."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from app import audit, logins
from app.broker import admin, quotas, tenants
from app.cli import app
from app.commands import tenants as commands
from app.config import load

CONFIG = """
version: 1
kafka: {external: {bootstrap: "127.0.0.1:1", replication: 1}}
sources: {qumulo: {format: qumulo}}
tenants: {acme: {sources: [qumulo]}}
"""


def test_a_folder_that_cannot_be_written_is_told_with_what_to_do(tmp_path: Path) -> None:
    """The old bundle may be refused by then: whoever rotates has to get at the new one."""
    path = tmp_path / "northbound.yaml"
    path.write_text(CONFIG)
    tenants.keep(load(path).credentials, "acme", None)
    blocked = tmp_path / "file"
    blocked.touch()
    arguments = ["tenants", "bundle", "acme", "--out", str(blocked / "x"), "--config", str(path)]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert str(blocked) in result.stderr
    assert "northbound tenants bundle acme --out FOLDER" in result.stderr


def test_a_tenant_that_is_added_has_its_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the same step, private, and what to hand over is said; the password is not."""
    path = tmp_path / "northbound.yaml"
    path.write_text(CONFIG)
    settings = load(path)

    class Writer:
        def __init__(self, *_: Any) -> None: ...

        def record(self, *_: Any) -> None: ...

    monkeypatch.setattr(commands, "connected", lambda _: None)
    monkeypatch.setattr(admin, "ensure", lambda *_: None)
    monkeypatch.setattr(
        logins, "ensure", lambda *_: tenants.keep(settings.credentials, "acme", None)
    )
    monkeypatch.setattr(quotas, "ensure", lambda *_: [])
    monkeypatch.setattr(audit, "Writer", Writer)
    result = CliRunner().invoke(app, ["tenants", "add", "acme", "--config", str(path)])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "bundles" / "acme"
    assert f"{folder} holds acme's password" in result.stdout
    assert folder.stat().st_mode & 0o777 == 0o700
    password = json.loads((folder / "northbound.json").read_text())["kafka"]["sasl.password"]
    assert password not in result.output

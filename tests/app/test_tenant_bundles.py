"""A bundle that cannot be written where it is to be. No broker."""

from pathlib import Path

from typer.testing import CliRunner

from app.broker import tenants
from app.cli import app
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

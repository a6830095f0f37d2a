"""`tenants remove` where the cluster does one half of it, or northbound.yaml is in the way. No
broker."""

from concurrent.futures import Future
from pathlib import Path
from typing import Any, NoReturn

import pytest
from confluent_kafka.admin import AclPermissionType
from typer.testing import CliRunner

from app import audit
from app.broker import admin, quotas, rights, tenants
from app.broker.cluster_error import ClusterError, RefusedError
from app.cli import app
from app.commands import tenants as commands

CONFIG = """\
version: 1
kafka: {external: {bootstrap: '127.0.0.1:1', replication: 1}}
sources: {qumulo: {format: qumulo}}
"""


def refused(*_: Any) -> NoReturn:
    raise ClusterError("Cannot delete topic northbound.gone.events: Topic deletion is disabled")


def test_a_removal_is_audited_though_its_topics_cannot_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user and the rights are gone by then."""
    path = tmp_path / "northbound.yaml"
    path.write_text(CONFIG)
    told: list[Any] = []

    monkeypatch.setattr(commands, "connected", lambda _: None)
    monkeypatch.setattr(tenants, "remove", lambda *_: told.append("rights"))
    monkeypatch.setattr(quotas, "remove", lambda *_: None)
    monkeypatch.setattr(admin, "existing", lambda _: ["northbound.gone.events"])
    monkeypatch.setattr(admin, "delete", refused)
    monkeypatch.setattr(audit, "record", lambda _client, _names, *what: told.append(what))
    arguments = ["tenants", "remove", "gone", "--topics", "--yes", "--config", str(path)]
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, told) == (1, ["rights", ("tenant.remove", "gone")])
    assert "Topic deletion is disabled" in result.stderr


def test_what_names_a_tenant_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else northbound.yaml would be of no use once the tenant is gone, and nothing start again."""
    path = tmp_path / "northbound.yaml"
    path.write_text(
        f"{CONFIG}deliveries:\n  - {{name: archive, tenant: gone, to: {{type: file, path: x}}}}\n"
    )
    file = tmp_path / "tenants.d" / "gone.yaml"
    file.parent.mkdir()
    file.write_text("sources: [qumulo]\n")
    monkeypatch.setattr(commands, "connected", refused)
    result = CliRunner().invoke(app, ["tenants", "remove", "gone", "--yes", "--config", str(path)])
    assert result.exit_code == 1
    assert f"{path}:5: deliveries[0].tenant: saw 'gone': take this out" in result.stderr
    assert file.is_file()


def test_what_is_denied_is_the_last_to_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant that is paused may not read for the moment that a removal takes."""
    asked: list[AclPermissionType] = []

    class Admin:
        def delete_acls(self, filters: list[Any]) -> dict[Any, "Future[None]"]:
            done: Future[None] = Future()
            done.set_result(None)
            asked.extend(each.permission_type for each in filters)
            return dict.fromkeys(filters, done)

    def hidden(*_: Any) -> NoReturn:
        raise RefusedError("not to be seen")

    monkeypatch.setattr(rights, "require_describe", hidden)
    connected: Any = Admin()
    rights.take_all(connected, "User:gone")
    assert asked == [AclPermissionType.ALLOW, AclPermissionType.ANY]

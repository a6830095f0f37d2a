"""`tenants remove` where the cluster does one half of it. No broker."""

from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from app import audit
from app.broker import admin, quotas, tenants
from app.broker.cluster_error import ClusterError
from app.cli import app
from app.commands import tenants as commands


def test_a_removal_is_audited_though_its_topics_cannot_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user and the rights are gone by then."""
    path = tmp_path / "northbound.yaml"
    path.write_text(
        "version: 1\n"
        "kafka: {external: {bootstrap: '127.0.0.1:1', replication: 1}}\n"
        "sources: {qumulo: {format: qumulo}}\n"
    )
    told: list[Any] = []

    def refused(*_: Any) -> NoReturn:
        raise ClusterError("Cannot delete topic northbound.gone.events: Topic deletion is disabled")

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

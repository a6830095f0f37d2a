"""A new certificate for a tenant where its listener cannot be reached. No broker."""

from pathlib import Path
from typing import Any, NoReturn

import pytest
import yaml

from app import bundles, logins
from app.broker import certificate_logins, quotas
from app.broker.client_certificates import held
from app.broker.cluster_error import ClusterError
from app.config import load
from app.rotation import Kind, rotate


def test_a_certificate_that_could_not_be_tried_ends_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks for no overlap would else be without any that is known to work; the old one is
    ended by `--finish`, and the audit topic has what was done."""
    external = {
        "bootstrap": "127.0.0.1:1",
        "replication": 1,
        "certificates": {"servers": "feed.example.com:9194"},
    }
    content = {
        "version": 1,
        "kafka": {"external": external},
        "sources": {"qumulo": {"format": "qumulo"}},
        "tenants": {"acme": {"sources": ["qumulo"], "login": "certificate"}},
    }
    path = tmp_path / "northbound.yaml"
    path.write_text(yaml.safe_dump(content))
    config = load(path)
    logins.keep(config, "acme")
    ended: list[str] = []

    def away(_: Any) -> NoReturn:
        raise ClusterError("feed.example.com:9194: Local: Broker transport failure")

    monkeypatch.setattr(certificate_logins, "let_in", lambda *_: None)
    monkeypatch.setattr(quotas, "ensure", lambda *_: [])
    monkeypatch.setattr(bundles, "access", lambda *_: None)
    monkeypatch.setattr(bundles, "login", away)
    monkeypatch.setattr(certificate_logins, "end_older", lambda *_: ended.append("older"))
    monkeypatch.setattr(certificate_logins, "end_password", lambda *_: ended.append("password"))
    unused: Any = None
    done = rotate(config, lambda: unused, "acme", Kind.NOW)
    assert ended == []
    assert done.kind is Kind.OVERLAP
    assert "the old one was not ended" in done.text
    assert "`northbound tenants rotate acme --finish`" in done.text
    assert len(held(config.credentials, "acme")) == 2
    rotate(config, lambda: unused, "acme", Kind.FINISH)
    assert ended == ["older", "password"]

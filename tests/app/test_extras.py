"""Packages that only some configurations need: what is told puts them where Northbound is."""

import sys
import tomllib
from pathlib import Path

import pytest

from app.checking import mistakes

BASE = """\
version: 1
kafka: {embedded: {}}
sources: {q: {format: qumulo}}
tenants: {acme: {sources: [q]}}
"""

NATS = "connectors: [{type: nats, source: q, stream: A, subject: x, servers: ['nats://h:4222']}]"


@pytest.mark.parametrize(
    ("extra", "module", "lines"),
    [
        ("geoip", "maxminddb", "enrich: [{geoip: t.mmdb, field: src_endpoint.ip}]"),
        ("dns", "dns", "enrich: [{dns: reverse, field: src_endpoint.ip, servers: [127.0.0.1]}]"),
        ("nats", "nats", NATS),
    ],
)
def test_a_missing_package_is_told_with_a_command_that_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, module: str, lines: str
) -> None:
    """It names the pip of this environment. Another one would ask an index for our name."""
    for name in [module, *(each for each in sys.modules if each.startswith(f"{module}."))]:
        monkeypatch.setitem(sys.modules, name, None)  # parts that are loaded are found without it
    monkeypatch.delitem(sys.modules, "app.ingest.connectors.nats", raising=False)
    (tmp_path / "t.mmdb").write_bytes(b"")
    file = tmp_path / "northbound.yaml"
    file.write_text(f"{BASE}{lines}\n", encoding="utf-8")
    told = "\n".join(mistakes(file, ingest=True, deliveries=False))
    assert f"install it with: {sys.executable} -m pip install 'northbound[{extra}]'" in told
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert extra in project["project"]["optional-dependencies"]

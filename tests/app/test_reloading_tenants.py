"""Tenants that come, go and change while workers run."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker import admin
from app.broker.server import EmbeddedKafka
from app.config import Config, load
from app.planning import build_plan
from app.reading import read
from app.tenant_reloading import ReloadingTenants
from tests.app.deployed import deploy, working
from tests.runtime.processes import wait_for
from tests.topology.deployment import line

DEPLOYMENT = """\
version: 1
kafka:
  external: {{bootstrap: "{bootstrap}", replication: 1}}
  topic_prefix: {prefix}.
  matches_partitions: 1
sources:
  q: {{format: qumulo, partitions: 2}}
rules: [rules]
tenants:
  acme: {{sources: [q]}}
"""
RULES = """
title: Eve was here
id: 33333333-3333-4333-8333-333333333333
name: eve
logsource: {product: qumulo, service: audit}
detection: {sel: {actor.user.name: eve}, condition: sel}
---
title: Eve was here twice
id: 22222222-2222-4222-8222-222222222222
correlation:
  type: event_count
  rules: [eve]
  group-by: [actor.user.name]
  timespan: 1h
  condition: {gte: 2}
  generate: true
"""


def _configure(folder: Path, bootstrap: str, prefix: str) -> str:
    (folder / "rules").mkdir()
    (folder / "rules" / "eve.yml").write_text(RULES, encoding="utf-8")
    return DEPLOYMENT.format(bootstrap=bootstrap, prefix=prefix)


def _write(config: Config, tenant: str, text: str) -> None:
    """As `northbound tenants add` does."""
    (config.home / "tenants.d").mkdir(exist_ok=True)
    part = config.home / f".{tenant}.part"
    part.write_text(text, encoding="utf-8")
    part.replace(config.home / "tenants.d" / f"{tenant}.yaml")


@pytest.mark.broker
def test_a_tenant_comes_and_goes_without_a_restart(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """A new tenant receives what comes from then on, events and alerts, counts of its own; the
    other one misses nothing and gets nothing twice, also while the topics of a removed one go."""
    text = _configure(tmp_path, kafka.bootstrap, unique("tenants"))
    config = deploy(tmp_path, text)
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    sent = 0

    def send() -> None:
        nonlocal sent
        stamp = int(time.time() * 1000)
        value = line(stamp, "eve", path=f"/data/{sent}.txt")
        producer.produce(config.names.raw("q"), value, partition=sent % 2)
        assert producer.flush(60) == 0
        sent += 1
        wait_for(lambda: len(_read(config.names.events("acme"))) == sent, "the line as an event")

    def _read(topic: str) -> list[dict[str, Any]]:
        return [orjson.loads(each.value()) for each in read(config.client(), [topic])]

    def titles(tenant: str) -> set[str]:
        alerts = _read(config.names.alerts(tenant))
        return {alert["finding_info"]["title"] for alert in alerts}

    with working(config, "info", "tests.app.quick_worker") as log:
        send()
        _write(config, "zeta", "sources: [q]\n")
        deploy(tmp_path, text)  # its topics

        def received() -> bool:
            send()
            return titles("zeta") == {"Eve was here", "Eve was here twice"}

        wait_for(received, "the new tenant's alerts", 60)
        events = _read(config.names.events("zeta"))
        assert 1 < len(events) < sent, "only from then on"
        counted = [
            len(alert["finding_info"]["related_events"])
            for alert in _read(config.names.alerts("zeta"))
            if alert["finding_info"]["title"] == "Eve was here twice"
        ]
        assert counted == [2], "what was counted for others before is not its own"
        (config.home / "tenants.d" / "zeta.yaml").unlink()
        client = admin.connect(config.client())
        admin.delete(client, [config.names.events("zeta"), config.names.alerts("zeta")])
        send()  # while workers may not have heard of it yet
        wait_for(lambda: "removed=zeta" in log.read_text(encoding="utf-8"), "the tenant to go", 60)
        send()
        assert config.names.events("zeta") not in admin.existing(client)
    paths = [event["file"]["path"] for event in _read(config.names.events("acme"))]
    assert sorted(paths) == sorted(f"/data/{number}.txt" for number in range(sent))


def _looked(tenants: ReloadingTenants) -> dict[str, list[str]] | None:
    """A file is taken up once it was the same in two looks."""
    return tenants.look() or tenants.look()


def test_what_is_taken_up(tmp_path: Path) -> None:
    """Each change once; what workers have to start for, and what is wrong, changes nothing and is
    told, until it is right."""
    file = tmp_path / "northbound.yaml"
    text = _configure(tmp_path, "localhost:9092", "p")
    file.write_text(text, encoding="utf-8")
    config = load(file)
    tenants = ReloadingTenants(config, build_plan(config, origins={}))
    assert _looked(tenants) is None
    _write(config, "zeta", "sources: [q]\nformat: cef\n")
    assert _looked(tenants) == {"added": ["zeta"], "removed": [], "changed": []}
    assert tenants.current["zeta"].format == "cef"
    assert _looked(tenants) is None
    _write(config, "zeta", "sources: [q]\nformat: leef\nfeeds: [events]\n")
    assert _looked(tenants) == {"added": [], "removed": [], "changed": ["zeta"]}
    assert not tenants.current["zeta"].alerts
    _write(config, "zeta", "sources: [q]\nformat: none\n")
    assert _looked(tenants) is None
    assert "zeta.yaml" in str(tenants.problem)
    assert tenants.current["zeta"].format == "leef"
    _write(config, "zeta", "sources: [q, r]\n")
    file.write_text(text.replace("rules:", "  r: {format: qumulo}\nrules:"), encoding="utf-8")
    assert _looked(tenants) is None
    assert "source r is new; workers take sources up when they start" in str(tenants.problem)
    (config.home / "tenants.d" / "zeta.yaml").unlink()
    assert _looked(tenants) == {"added": [], "removed": ["zeta"], "changed": []}
    assert tenants.problem is None
    assert set(tenants.current) == {"acme"}


def test_files_that_change_while_they_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two tenants added one after the other, both are taken up, however the reading falls."""
    file = tmp_path / "northbound.yaml"
    file.write_text(_configure(tmp_path, "localhost:9092", "p"), encoding="utf-8")
    config = load(file)
    tenants = ReloadingTenants(config, build_plan(config, origins={}))
    second = iter(["sources: [q]\n"])

    def slowly(path: Path) -> Config:
        found = load(path)
        for text in second:
            _write(config, "globex", text)
        return found

    monkeypatch.setattr("app.tenant_reloading.load", slowly)
    _write(config, "zeta", "sources: [q]\n")
    assert _looked(tenants) is None, "what was read is older than the files"
    assert set(tenants.current) == {"acme"}
    assert _looked(tenants) == {"added": ["globex", "zeta"], "removed": [], "changed": []}
    assert set(tenants.current) == {"acme", "globex", "zeta"}

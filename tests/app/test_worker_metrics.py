"""/metrics of a real worker: everything an operator needs to see where time and records go."""

import re
import socket
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from app.broker import admin, ports
from app.broker.server import EmbeddedKafka
from app.config import Config, load
from app.planning import build_plan, declared
from app.status import read_status
from tests.runtime.processes import ROOT, end, start_faust, wait_for
from tests.topology.deployment import line

pytestmark = pytest.mark.broker

SAMPLE = re.compile(r"^(northbound_\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
LINES = 3_000
"""Deletions by one user; more than the shipped rule's threshold."""


class Page:
    """Samples of a page of metrics."""

    def __init__(self, port: int) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as got:
            text = got.read().decode()
        self._samples = [
            (name, dict(LABEL.findall(labels or "")), float(value))
            for name, labels, value in SAMPLE.findall(text)
        ]

    def all(self, name: str, **labels: str) -> list[tuple[dict[str, str], float]]:
        """Labels and values of a metric's samples that have these labels."""
        return [
            (found, value)
            for each, found, value in self._samples
            if each == name and labels.items() <= found.items()
        ]

    def one(self, name: str, **labels: str) -> float:
        """The only one."""
        (found,) = self.all(name, **labels)
        return found[1]


def test_a_worker_tells_where_time_and_records_go(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """Lag, watermark delay, batches, commits, aborts, restore, the cost of stages and rules; told
    to this host alone."""
    file = tmp_path / "northbound.yaml"
    file.write_text(
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("metrics")}.
  matches_partitions: 1
sources:
  q: {{format: qumulo, partitions: 1}}
rules: [{ROOT / "rules" / "qumulo"}]
tenants:
  acme: {{sources: [q]}}
""",
        encoding="utf-8",
    )
    config = load(file)
    client, names = admin.connect(config.client()), config.names
    admin.ensure(client, declared(config, build_plan(config, origins={})), 1)
    port = ports.free("127.0.0.1")
    worker = start_faust(file, port, tmp_path / "worker.log")
    try:
        wait_for(lambda: _ready(port), "the worker is ready")
        wait_for(lambda: _webs(config) == {f"127.0.0.1:{port}"}, "status says where it is")
        with pytest.raises(ConnectionRefusedError):  # and it is nowhere else
            socket.create_connection(("127.0.0.2", port), 60)
        _produce(config.client(), names.raw("q"))
        events = {"engine": "events"}

        def done() -> bool:
            page = Page(port)
            counts = page.all("northbound_outcomes_total", engine="events", outcome="events")
            alerts = page.all("northbound_engine_committed_total", engine="alerts")
            return bool(counts and counts[0][1] == LINES and alerts and alerts[0][1] > 0)

        wait_for(done, "every line committed")

        def caught_up() -> bool:
            lags = Page(port).all("northbound_engine_lag_records", topic=names.raw("q"))
            return [value for _, value in lags] == [0.0]  # looked up every second or so

        wait_for(caught_up, "no lag")
        page = Page(port)
        (where, delay), *_ = page.all("northbound_engine_watermark_delay_seconds", **events)
        assert where["topic"] == names.raw("q")
        assert delay > 0
        batches = page.one("northbound_engine_batches_total", **events)
        assert 0 < batches <= page.one("northbound_engine_records_total", **events)
        assert page.one("northbound_engine_commits_total", **events) > 0
        assert page.one("northbound_engine_aborts_total", **events) == 0
        assert page.one("northbound_engine_restore_seconds", engine="alerts") >= 0
        stages = page.all("northbound_stage_cpu_seconds_total", **events)
        assert {"parse", "normalize", "match", "encode", "commit"} <= {
            labels["stage"] for labels, value in stages if value > 0
        }
        spent = sum(value for labels, value in stages if labels["stage"] != "commit")
        assert spent <= page.one("northbound_engine_stage_seconds_total", **events) * 1.01

        def told() -> bool:
            rules = Page(port).all("northbound_rule_cpu_seconds_total")
            found = {(labels["engine"], labels["title"]) for labels, _ in rules}
            wanted = {("events", "File deleted on Qumulo"), ("alerts", "Mass delete by one user")}
            if wanted <= found:
                return True
            _produce(config.client(), names.raw("q"))  # not every pass over rules is looked at
            return False

        wait_for(told, "rules of both engines")
    finally:
        end(worker)


def _webs(config: Config) -> set[str]:
    """Where workers' pages are."""
    return {str(each.get("web")) for each in read_status(config.state).values()}


def _ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=10) as got:
            return bool(got.status == 200)
    except OSError:
        return False


def _produce(client: dict[str, str], topic: str) -> None:
    import time

    from confluent_kafka import Producer

    now = int(time.time() * 1000) - LINES
    producer = Producer({**client, "enable.idempotence": True})
    for number in range(LINES):
        raw = line(now + number, "eve", path=f"/data/{number}.txt")
        producer.produce(topic, raw, b"10.0.0.7", timestamp=now + number)
    assert producer.flush(60) == 0

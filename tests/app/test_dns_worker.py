"""A worker on a real broker asks a real DNS server while events go on."""

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker import ports
from app.broker.server import EmbeddedKafka
from app.config import Config
from app.reading import read
from tests.app.deployed import deploy
from tests.app.test_worker_metrics import Page
from tests.enrich.dns_server import dns_server
from tests.runtime.processes import end, start_faust, wait_for
from tests.topology.deployment import START, line

pytestmark = pytest.mark.broker


def _events(config: Config) -> list[dict[str, Any]]:
    found = read(config.client(), [config.names.events("acme")])
    return [orjson.loads(each.value()) for each in found]


def _by_path(config: Config) -> dict[str, dict[str, Any]]:
    return {event["file"]["path"]: event for event in _events(config)}


def test_events_do_not_wait_for_dns(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """While the server says nothing, events come out without names; afterwards with them. Each
    line is one event, and /metrics tells what was asked."""
    with dns_server() as server:
        server.records = {("7.2.0.192.in-addr.arpa.", "PTR"): (300, ["pc-7.example."])}
        server.gate.clear()
        config = deploy(
            tmp_path,
            f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("dns")}.
  matches_partitions: 1
sources:
  q: {{format: qumulo, partitions: 1, retention: 3650d}}  # the lines are of START
enrich:
  - {{dns: reverse, fields: [src_endpoint.ip], servers: ["127.0.0.1:{server.port}"], timeout: 60s}}
tenants:
  acme: {{sources: [q]}}
""",
        )
        port = ports.free("127.0.0.1")
        worker = start_faust(config.home / "northbound.yaml", port, tmp_path / "worker.log")
        producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
        sent = 0

        def hostname() -> str | None:
            """What the next line's event says."""
            nonlocal sent
            path = f"/data/{sent}.txt"
            text = line(START + sent, "eve", path=path).replace(b"10.0.0.7", b"192.0.2.7")
            producer.produce(config.names.raw("q"), text, timestamp=START + sent)
            assert producer.flush(60) == 0
            sent += 1
            found = wait_for(lambda: _by_path(config).get(path), "the line as an event")
            return found["src_endpoint"].get("hostname")

        try:
            assert hostname() is None
            assert server.asked == [("7.2.0.192.in-addr.arpa.", "PTR")]
            assert hostname() is None
            server.gate.set()
            wait_for(lambda: hostname() == "pc-7.example", "the name in events")
            assert len(server.asked) == 1
            page = Page(port)
            asked = {"enrichment": "dns_reverse"}
            assert page.one("northbound_lookup_requests_total", **asked, outcome="asked") == 1
            assert page.one("northbound_lookups_total", **asked, result="hits") >= 1
            assert page.one("northbound_lookups_total", **asked, result="misses") >= 2
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(120) == 0
        finally:
            end(worker)
    uids = Counter(event["metadata"]["uid"] for event in _events(config))
    assert len(uids) == sent
    assert set(uids.values()) == {1}

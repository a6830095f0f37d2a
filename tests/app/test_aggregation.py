"""Aggregation on a real broker: kill -9 of the worker mid-stream, each record accounted for.

The truth is what the topology test driver makes of the raw topics, in one go.
"""

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker import admin, ports
from app.broker.server import EmbeddedKafka
from app.config import Config, load
from app.lag import lags
from app.planning import build_plan, declared
from app.reading import ReadingError, read
from tests.runtime.processes import ROOT, end, start_faust, wait_for
from tests.topology.deployment import line, steps
from topology.testing import TopologyTestDriver
from topology.uid import origin

pytestmark = [pytest.mark.broker, pytest.mark.kill]

PARTITIONS = {"q": 3, "r": 2}
"""Partitions of sources with stores of their own: numbers that both have are different stores."""
LINES = 12_000
"""Of each source."""
START = int(time.time() * 1000) - 3_600_000
END = START + 3_600_000


def _configure(kafka: EmbeddedKafka, folder: Path, prefix: str, store: str) -> Config:
    file = folder / "northbound.yaml"
    file.write_text(
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {prefix}.
  matches_partitions: 2
sources:
  q:
    format: qumulo
    partitions: 3
    aggregate:
      - name: deletes
        when: {{it: {{file.path|startswith: /data/}}}}
        by: [actor.user.name]
        window: 10s
        limit: 500
  r:
    format: qumulo
    partitions: 2
    aggregate: [{{name: all, by: [src_endpoint.ip], window: 1m}}]
rules: [{ROOT / "rules" / "qumulo"}]
tenants:
  acme: {{sources: [q, r]}}
workers: {{store: {store}}}
""",
        encoding="utf-8",
    )
    config = load(file)
    topics = declared(config, build_plan(config, origins={}))
    admin.ensure(admin.connect(config.client()), topics, 1)
    return config


def _start(config: Config) -> subprocess.Popen[bytes]:
    file = config.home / "northbound.yaml"
    return start_faust(file, ports.free("127.0.0.1"), config.home / "worker.log")


def _send(config: Config, source: str, first: int, count: int) -> None:
    """A hundredth is broken, and every seventh of no aggregation's concern in q."""
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    for number in range(first, first + count):
        moment = START + number * 5
        path = f"/scratch/{number}" if number % 7 == 0 else f"/data/{number}"
        raw = line(moment, ["eve", "mallory", "bob"][number % 3], path=path)
        producer.produce(
            config.names.raw(source),
            b"broken" if number % 100 == 0 else raw,
            b"10.0.0.7",
            partition=number % PARTITIONS[source],
            timestamp=moment + 3,
        )
        producer.poll(0)
    assert producer.flush(60) == 0


def _tick(config: Config) -> None:
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    for source, count in PARTITIONS.items():
        for number in range(count):
            topic = config.names.raw(source)
            producer.produce(topic, None, b"tick", partition=number, timestamp=END)
    assert producer.flush(60) == 0


def _gist(events: Counter[bytes], letters: Counter[bytes], alerts: list[bytes]) -> dict[str, Any]:
    finals = sorted(each for each in alerts if orjson.loads(each)["unmapped"]["state"] == "final")
    return {"events": events, "dead letters": letters, "finals": finals}


def _truth(config: Config) -> dict[str, Any]:
    names = config.names
    raw = [names.raw(source) for source in PARTITIONS]
    cluster, ids = admin.identity(admin.connect(config.client()), raw)
    plan = build_plan(config, {topic: origin(cluster, ids[topic]) for topic in raw})
    counts = {names.raw(source): count for source, count in PARTITIONS.items()}
    driver = TopologyTestDriver(steps(plan), partitions={**counts, names.matches: 2})
    for topic in raw:
        for each in read(config.client(), [topic]):
            _, stamp = each.timestamp()
            where = each.partition()
            driver.pipe(topic, each.value(), timestamp=stamp, key=each.key(), partition=where)
    driver.run()
    return _gist(
        Counter(each.value or b"" for each in driver.read(names.events("acme"))),
        Counter(each.value or b"" for each in driver.read(names.dead_letters)),
        [each.value or b"" for each in driver.read(names.alerts("acme"))],
    )


def _found(config: Config) -> dict[str, Any]:
    client, names = config.client(), config.names
    return _gist(
        Counter(each.value() for each in read(client, [names.events("acme")])),
        Counter(each.value() for each in read(client, [names.dead_letters])),
        [each.value() for each in read(client, [names.alerts("acme")])],
    )


@pytest.mark.parametrize(("store", "rounds"), [("memory", 4), ("disk", 2)])
def test_kill_the_worker_and_every_record_is_accounted_for(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str], store: str, rounds: int
) -> None:
    """kill -9 over and over while windows are open: base events, what aggregated ones count and
    dead letters are the records, and all of it is what one run without a fault gives."""
    config = _configure(kafka, tmp_path, unique("aggregation"), store)

    def offsets() -> int:
        try:
            return lags(config)[config.names.events("acme")].offsets
        except ReadingError:
            return -1

    def done() -> bool:
        try:
            return not any(level.lag for level in lags(config).values())
        except ReadingError:
            return False

    process = _start(config)
    try:
        for number in range(rounds):
            before = offsets()
            for source in PARTITIONS:
                _send(config, source, number * LINES // rounds, LINES // rounds)
            wait_for(lambda b=before: offsets() > max(b, 0), "more events")
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = _start(config)
        _tick(config)
        wait_for(done, "everything read")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        end(process)
    found = _found(config)
    assert found == _truth(config)
    events = [orjson.loads(value) for value in found["events"].elements()]
    kinds = Counter(event["unmapped"]["northbound_kind"] for event in events)
    counted = sum(event.get("count", 1) for event in events)
    assert counted + sum(found["dead letters"].values()) == 2 * LINES
    assert kinds["base"] > 1_000
    assert kinds["aggregated"] > 30
    assert max(found["events"].values()) == 1
    assert len(found["finals"]) > 0

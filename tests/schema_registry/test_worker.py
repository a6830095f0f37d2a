"""A worker with a registry: what it writes to Kafka, and what it does where that is away."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from confluent_kafka import Producer
from confluent_kafka.serialization import MessageField, SerializationContext

from app.broker.server import EmbeddedKafka
from app.config import Config
from app.reading import read
from tests.app.deployed import deploy, working
from tests.ingest.peers import wait_for
from tests.runtime.processes import ROOT
from tests.schema_registry.server import State, serving
from tests.topology.deployment import START, line

pytestmark = pytest.mark.broker


def northbound(kafka: EmbeddedKafka, folder: Path, name: str, url: str) -> Config:
    content = {
        "version": 1,
        "kafka": {
            "external": {"bootstrap": kafka.bootstrap, "replication": 1},
            "topic_prefix": f"{name}-",
        },
        "sources": {"q": {"format": "qumulo", "partitions": 1, "retention": "3650d"}},
        "tenants": {"acme": {"sources": ["q"], "format": "avro", "partitions": 1}},
        "schema_registry": {"urls": [url]},
        "workers": {"count": 1},
    }
    return deploy(folder, yaml.safe_dump(content))


def send(config: Config, first: int, count: int) -> None:
    producer = Producer(config.client())
    for number in range(first, first + count):
        text = line(START + number, f"user{number}")
        producer.produce(config.names.raw("q"), text, timestamp=START + number)
    assert producer.flush(60) == 0


def written(config: Config) -> list[bytes]:
    found = read(config.client(), [config.names.events("acme")])
    return [message.value() or b"" for message in found]


def test_a_worker_writes_what_confluents_client_reads(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """Records in Kafka have the id that the registry gave at the worker's start. A worker that
    starts again while the registry is away goes on with that id."""
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer

    state = State()
    with serving(state) as url:
        config = northbound(kafka, tmp_path, unique("registry"), url)
        with working(config):
            send(config, 0, 50)
            wait_for(lambda: len(written(config)) == 50, "50 events")
        topic = config.names.events("acme")
        assert f"{topic}-value" in state.subjects
        read_value = AvroDeserializer(SchemaRegistryClient({"url": url}))
        context = SerializationContext(topic, MessageField.VALUE)
        users = {read_value(value, context)["actor"]["user"]["name"] for value in written(config)}
        assert users == {f"user{number}" for number in range(50)}
        before = len(state.asked)
        state.says = (503, b"")
        with working(config) as log:
            send(config, 50, 10)
            wait_for(lambda: len(written(config)) == 60, "60 events")
        assert "The id of an earlier start is used" in log.read_text()
        assert len(state.asked) > before
    assert {value[:5] for value in written(config)} == {b"\0\0\0\0\7"}


def test_a_first_start_without_the_registry_stops(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """One line says that the registry is away and where it was looked for."""
    config = northbound(kafka, tmp_path, unique("registry"), "http://localhost:1")
    file = tmp_path / "northbound.yaml"
    done = subprocess.run(
        [sys.executable, "-m", "faust", "-A", "app.worker", "worker", "-l", "warn"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "NORTHBOUND_CONFIG": str(file)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "schema_registry: " in done.stderr
    assert "http://localhost:1: Connection refused" in done.stderr
    assert "Traceback" not in done.stderr
    assert not written(config)

"""Records of a tenant with a registry, read by Confluent's own client and by the bundle's."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from confluent_kafka.serialization import MessageField, SerializationContext

from app.broker import bundle
from app.broker.bundle import consumer
from app.schema_registry.client import Registry, RegistryError
from app.schema_registry.reading import RegisteredReader
from schemas import codec, event
from tests.broker.test_bundle import make_access
from tests.northbound.test_avro import nested
from tests.schema_registry.server import State, serving
from tests.topology.deployment import NORMALIZED, RAW, START, line, plan, steps
from topology.northbound import SERIALIZERS, serializer
from topology.plan import TenantPlan
from topology.testing import TopologyTestDriver

SCHEMA = codec.text(event.RECORD)
TOPIC = "northbound.acme.events"


def flow(**ids: int) -> tuple[list[bytes], list[bytes], list[Any]]:
    """Events and alerts of a tenant with avro, and events as another has them in JSON."""
    tenants = {
        "acme": TenantPlan("acme", frozenset({"q"}), format="avro", schema_ids=ids),
        "json": TenantPlan("json", frozenset({"q"})),
        "plain": TenantPlan("plain", frozenset({"q"}), format="avro"),
    }
    chosen = replace(plan(), tenants=tenants)
    driver = TopologyTestDriver(steps(chosen), partitions={RAW: 1, NORMALIZED: 1, "matches": 1})
    for number in range(120):
        text = line(START + number, "eve", "fs_delete", f"/data/{number}.readme")
        driver.pipe(RAW, text, timestamp=START + number)
    driver.advance_wall_clock(START + 3_600_000)
    driver.run()
    names = chosen.names
    values = {
        topic: [record.value for record in driver.read(topic)]
        for topic in (names.events("acme"), names.alerts("acme"), names.events("plain"))
    }
    assert all(value.startswith(b"\xc3\x01") for value in values[names.events("plain")])
    json_events = [json.loads(record.value) for record in driver.read(names.events("json"))]
    return values[names.events("acme")], values[names.alerts("acme")], json_events


def test_confluents_deserializer_reads_every_record() -> None:
    """Events and alerts in the wire format, each with the id of its own topic's schema, are by
    AvroDeserializer what another tenant has in JSON; the schema is asked for once."""
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer

    state = State()
    state.id_of("another")
    number = state.id_of(SCHEMA)
    events, alerts, expected = flow(events=number, alerts=number)
    assert len(events) == 120
    assert alerts
    assert all(value.startswith(b"\0\0\0\0\x08") for value in [*events, *alerts])
    with serving(state) as url:
        read = AvroDeserializer(SchemaRegistryClient({"url": url}))
        context = SerializationContext(TOPIC, MessageField.VALUE)
        found = [nested(read(value, context)) for value in events]
        assert [read(value, context)["class_uid"] for value in alerts] == [2004] * len(alerts)
    assert found == expected
    assert sum(each == f"GET /schemas/ids/{number}" for each in state.asked) == 1


def test_ids_differ_by_topic() -> None:
    """A registry may give the same schema another id under another subject."""
    events, alerts, _ = flow(events=5, alerts=70_000)
    assert {value[:5] for value in events} == {b"\0\0\0\0\5"}
    assert {value[:5] for value in alerts} == {b"\0" + (70_000).to_bytes(4, "big")}


@pytest.mark.parametrize("number", [-1, 2**31])
def test_an_id_that_is_none(number: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to"):
        codec.registered(number)


def test_only_avro_has_ids() -> None:
    with pytest.raises(ValueError, match="expected avro"):
        serializer("cef", 1)


def records() -> tuple[bytes, bytes]:
    """The same record with an id, and in the single-object encoding."""
    events = pl.DataFrame({"time": [7], "file.path": ["/ü"], "unmapped.note": ["more"]})
    (registered,) = serializer("avro", 7)(events)
    (single,) = SERIALIZERS["avro"](events)
    return registered, single


def test_northbounds_own_reader() -> None:
    """`northbound tail` asks for a schema once, leaves other values alone, and says what is wrong
    with an id that nobody knows."""
    state = State()
    state.id_of(SCHEMA)
    registered, single = records()
    with serving(state) as url:
        reader = RegisteredReader(Registry([url]))
        found = reader.decode(registered)
        assert found is not None
        assert found["file"]["path"] == "/ü"
        assert reader.decode(registered) == found
        assert reader.decode(single) is None
        assert reader.decode(b"") is None
        assert state.asked == ["GET /schemas/ids/7"]
        with pytest.raises(RegistryError, match="Schema not found"):
            reader.decode(b"\0\0\0\0\x63" + registered[5:])


def test_the_bundle_reads_both(tmp_path: Path) -> None:
    """consumer.py reads by the registry of northbound.json, with its user, what has an id, and by
    the folder's schemas what was written before there was a registry."""
    state = State(login=("reader", 'pass"word'))
    state.id_of(SCHEMA)
    registered, single = records()
    with serving(state) as url:
        access = bundle.RegistryAccess(url, "reader", 'pass"word')
        bundle.write(replace(make_access(None), format="avro", registry=access), tmp_path)
        read = consumer.decoder(tmp_path)
        assert json.loads(read(registered)) == json.loads(read(single))
        read(registered)
        assert state.asked == ["GET /schemas/ids/7"]
        with pytest.raises(SystemExit, match="no schema 99 from http://localhost"):
            read(b"\0\0\0\0\x63" + registered[5:])


def test_the_configuration_of_the_bundle_is_that_of_the_client(tmp_path: Path) -> None:
    """What README.md tells runs: the values of northbound.json make a SchemaRegistryClient."""
    from confluent_kafka.schema_registry import SchemaRegistryClient

    state = State(login=("reader", "secret"))
    state.id_of(SCHEMA)
    with serving(state) as url:
        access = bundle.RegistryAccess(url, "reader", "secret")
        bundle.write(replace(make_access(None), format="avro", registry=access), tmp_path)
        given = json.loads((tmp_path / "northbound.json").read_text("utf-8"))["schema_registry"]
        assert SchemaRegistryClient(given).get_schema(7).schema_str == SCHEMA


def test_every_client_is_told_of_the_registry(tmp_path: Path) -> None:
    """URL, user and CA stand under the keys that each product documents; the password is in private
    files alone; a tenant without a registry has none of it."""
    ca = b"-----BEGIN CERTIFICATE-----\n"
    from tests.broker.test_bundle import certificates, dt

    ca = certificates.ensure(tmp_path / "tls", [], dt.datetime.now(dt.UTC)).ca.read_bytes()
    registry = bundle.RegistryAccess("https://registry.example", "reader", "S3cret-r", ca)
    folder = tmp_path / "bundle"
    bundle.write(replace(make_access(ca), format="avro", registry=registry), folder)
    texts = {
        file.name: file.read_text("utf-8")
        for file in folder.iterdir()
        if file.suffix not in {".jks", ".p12"}
    }
    for name, keys in {
        "java.properties": (
            "value.deserializer=io.confluent.kafka.serializers.KafkaAvroDeserializer",
            "schema.registry.url=https://registry.example",
            "basic.auth.credentials.source=USER_INFO",
            "basic.auth.user.info=reader:S3cret-r",
            "schema.registry.ssl.truststore.location=registry-truststore.p12",
        ),
        "logstash-input.conf": (
            'schema_registry_url => "https://registry.example"',
            'schema_registry_key => "reader"',
            'schema_registry_secret => "S3cret-r"',
            'schema_registry_ssl_truststore_location => "registry-truststore.p12"',
        ),
        "redpanda-connect.yaml": (
            "schema_registry_decode:",
            "url: https://registry.example",
            "password: S3cret-r",
            "root_cas_file: registry-ca.pem",
        ),
        "splunk-connector.json": (
            '"value.converter": "io.confluent.connect.avro.AvroConverter"',
            '"value.converter.schema.registry.url": "https://registry.example"',
            '"value.converter.basic.auth.user.info": "reader:S3cret-r"',
        ),
        "vector.yaml": ("codec: avro", "strip_schema_id_prefix: true"),
        "README.md": ("kcat -F client.properties -s value=avro -r https://registry.example",),
    }.items():
        for key in keys:
            assert key in texts[name], (name, key)
    assert 'codec => "json"' not in texts["logstash-input.conf"]
    secret = {name for name, text in texts.items() if "S3cret-r" in text}
    assert all((folder / name).stat().st_mode & 0o077 == 0 for name in secret)
    assert "S3cret-r" not in repr(registry)
    plain = tmp_path / "plain"
    bundle.write(replace(make_access(ca), format="avro"), plain)
    assert "registry" not in (plain / "java.properties").read_text()
    assert not (plain / "registry-ca.pem").exists()


def test_a_consumer_with_a_registry_needs_fastavro_alone(tmp_path: Path) -> None:
    """consumer.py begins without any package for registries."""
    access = bundle.RegistryAccess("http://localhost:1")
    bundle.write(replace(make_access(None), format="avro", registry=access), tmp_path)
    argv = [sys.executable, str(tmp_path / "consumer.py"), "--help"]
    assert subprocess.run(argv, capture_output=True, timeout=120, check=False).returncode == 0

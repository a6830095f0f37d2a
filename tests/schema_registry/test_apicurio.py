"""A real registry: Apicurio, by its interface that is Confluent's (/apis/ccompat/v7).

NORTHBOUND_APICURIO names the folder with its quarkus-run.jar (the Maven artifact
io.apicurio:apicurio-registry-app, classifier all, tar.gz: 160 MB, so not fetched by the tests).
"""

import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml
from confluent_kafka.serialization import MessageField, SerializationContext

from app.broker import bundle, ports
from app.broker.bundle import consumer
from app.broker.java import bundled_home
from app.config import Config, ConfigError, load
from app.schema_registry.reading import RegisteredReader
from app.schema_registry.subjects import opened, schema_ids
from schemas import codec, event
from tests.broker.test_bundle import make_access
from tests.ingest.peers import wait_for
from topology.northbound import serializer

FOLDER = os.environ.get("NORTHBOUND_APICURIO", "")
pytestmark = [
    pytest.mark.registry,
    pytest.mark.skipif(not FOLDER, reason="NORTHBOUND_APICURIO names no folder"),
]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    java = bundled_home()  # Apicurio 3.3 wants Java 21
    assert java is not None
    port = ports.free("127.0.0.1")
    settings = {"host": "127.0.0.1", "port": port}
    argv = [
        str(java / "bin" / "java"),
        "-Xmx512m",
        *(f"-Dquarkus.http.{name}={value}" for name, value in settings.items()),
        "-jar",
        str(Path(FOLDER) / "quarkus-run.jar"),
    ]
    place = tmp_path_factory.mktemp("apicurio")
    log = (place / "log").open("wb")
    process = subprocess.Popen(argv, cwd=place, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    try:
        wait_for(lambda: answers(f"{base}/subjects"), f"Apicurio, see {place / 'log'}", 150)
        yield base
    finally:
        process.kill()
        process.wait()
        log.close()


def config(folder: Path, url: str, tenant: str, **options: object) -> Config:
    content = {
        "version": 1,
        "kafka": {"external": {"bootstrap": "localhost:1"}},
        "sources": {"q": {"format": "qumulo"}},
        "tenants": {tenant: {"sources": ["q"], "format": "avro"}},
        "schema_registry": {"urls": [url], **options},
    }
    folder.mkdir(exist_ok=True)
    file = folder / "northbound.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load(file)


def asked(url: str, content: dict[str, str] | None = None, method: str = "POST") -> object:
    body = None if content is None else json.dumps(content).encode()
    headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
    request = urllib.request.Request(
        url, body, headers, method=method if content is not None else "GET"
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_registered_once_and_read_by_three(url: str, tmp_path: Path) -> None:
    """Ids stay the same at the next start; Confluent's deserializer, `northbound tail` and the
    bundle read what is written with them."""
    from confluent_kafka.schema_registry import SchemaRegistryClient
    from confluent_kafka.schema_registry.avro import AvroDeserializer

    settings = config(tmp_path, url, "acme")
    ids = schema_ids(settings)["acme"]
    assert set(ids) == {"events", "alerts"}
    assert schema_ids(settings)["acme"] == ids
    level = asked(f"{url}/config/northbound.acme.events-value")
    assert level == {"compatibilityLevel": "BACKWARD"}
    assert asked(f"{url}/subjects/northbound.acme.events-value/versions") == [1]
    events = pl.DataFrame({"time": [7], "file.path": ["/ü"], "unmapped.note": ["more"]})
    (value,) = serializer("avro", ids["events"])(events)
    context = SerializationContext("northbound.acme.events", MessageField.VALUE)
    expected = AvroDeserializer(SchemaRegistryClient({"url": url}))(value, context)
    assert expected["file"]["path"] == "/ü"
    registry = opened(settings)
    assert registry is not None
    assert RegisteredReader(registry).decode(value) == expected
    access = replace(make_access(None), format="avro", registry=bundle.RegistryAccess(url))
    bundle.write(access, tmp_path / "bundle")
    assert json.loads(consumer.decoder(tmp_path / "bundle")(value)) == expected


def test_another_schema_under_the_subject_stops_the_start(url: str, tmp_path: Path) -> None:
    """It is refused with the registry's reasons, and stays."""
    subject = "northbound.other.events-value"
    fields = [{"name": "time", "type": "string"}]
    foreign = {"type": "record", "name": "Event", "namespace": "northbound", "fields": fields}
    asked(f"{url}/subjects/{subject}/versions", {"schema": json.dumps(foreign)})
    asked(f"{url}/config/{subject}", {"compatibility": "BACKWARD"}, "PUT")
    with pytest.raises(ConfigError, match="is not compatible") as found:
        schema_ids(config(tmp_path, url, "other"))
    assert subject in str(found.value)
    assert asked(f"{url}/subjects/{subject}/versions") == [1]


def test_an_older_version_is_followed(url: str, tmp_path: Path) -> None:
    """The schema without a field, as an older release had it, gets this one beside it."""
    older = event.schema()
    older["fields"] = [each for each in older["fields"] if each["name"] != "app_name"]
    subject = "northbound.old.events-value"
    asked(f"{url}/subjects/{subject}/versions", {"schema": json.dumps(older)})
    asked(f"{url}/config/{subject}", {"compatibility": "FULL"}, "PUT")
    ids = schema_ids(config(tmp_path, url, "old"))
    assert asked(f"{url}/subjects/{subject}/versions") == [1, 2]
    found = asked(f"{url}/schemas/ids/{ids['old']['events']}")
    assert isinstance(found, dict)
    assert json.loads(found["schema"]) == json.loads(codec.text(event.RECORD))


def test_publish_false(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has not the schema"):
        schema_ids(config(tmp_path, url, "lookup", publish=False))

"""Files for products that cannot run here: every key in them is one that its documentation names.

Read in November 2026; each set is what the page has of it that a bundle may use.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.broker import bundle, certificates
from tests.broker.test_bundle import make_access, make_certificate

LOGSTASH = {
    # logstash-integration-kafka, docs/input-kafka.asciidoc
    *("bootstrap_servers", "topics", "group_id", "client_id", "auto_offset_reset"),
    *("isolation_level", "session_timeout_ms", "security_protocol", "sasl_mechanism"),
    *("sasl_jaas_config", "ssl_truststore_location", "ssl_truststore_type"),
    *("ssl_keystore_location", "ssl_keystore_type", "ssl_keystore_password"),
    *("ssl_truststore_password", "codec", "tags"),
    *("schema_registry_url", "schema_registry_key", "schema_registry_secret"),
    *("schema_registry_ssl_truststore_location", "schema_registry_ssl_truststore_type"),
    "schema_registry_ssl_truststore_password",
}
SENTINEL = {
    # microsoft-sentinel-log-analytics-logstash-output-plugin, README.md
    *("client_app_Id", "client_app_secret", "tenant_id", "data_collection_endpoint"),
    *("dcr_immutable_id", "dcr_stream_name"),
}
FILEBEAT = {
    # elastic/beats, docs/reference/filebeat/filebeat-input-kafka.md; ssl: configuration-ssl.md
    *("type", "id", "hosts", "topics", "group_id", "client_id", "version", "initial_offset"),
    *("isolation_level", "username", "password", "sasl.mechanism", "parsers"),
    *("ssl.enabled", "ssl.verification_mode", "ssl.certificate_authorities"),
    *("ssl.certificate", "ssl.key"),
    *("parsers.ndjson.target", "parsers.ndjson.overwrite_keys", "parsers.ndjson"),
}
AGENT = {
    # elastic/integrations, packages/kafka_log/agent/input/kafka.yml.hbs; ssl as Filebeat
    *("id", "data_stream", "data_stream.dataset", "hosts", "topics", "group_id", "client_id"),
    *("version", "initial_offset", "isolation_level", "username", "password", "sasl.mechanism"),
    *("parsers", "parsers.ndjson", "parsers.ndjson.target", "parsers.ndjson.overwrite_keys"),
    *("ssl", "ssl.enabled", "ssl.verification_mode", "ssl.certificate_authorities"),
    *("ssl.certificate", "ssl.key"),
}
VECTOR = {
    # vectordotdev/vector, website/cue/reference/components/sources/generated/kafka.cue
    *("type", "bootstrap_servers", "group_id", "topics", "auto_offset_reset"),
    *("session_timeout_ms", "sasl", "sasl.enabled", "sasl.mechanism", "sasl.username"),
    *("sasl.password", "tls", "tls.enabled", "tls.ca_file", "librdkafka_options"),
    *("tls.crt_file", "tls.key_file"),
    *("librdkafka_options.client.id", "librdkafka_options.isolation.level"),
    *("decoding", "decoding.codec", "decoding.avro", "decoding.avro.schema"),
    "decoding.avro.strip_schema_id_prefix",
}
FLUENT_BIT = {
    # fluent/fluent-bit-docs, pipeline/inputs/kafka.md; rdkafka.*: librdkafka, CONFIGURATION.md
    *("name", "tag", "brokers", "topics", "group_id", "client_id", "format"),
    *("rdkafka.security.protocol", "rdkafka.sasl.mechanism", "rdkafka.sasl.username"),
    *("rdkafka.sasl.password", "rdkafka.ssl.ca.location", "rdkafka.session.timeout.ms"),
    *("rdkafka.ssl.certificate.location", "rdkafka.ssl.key.location"),
    *("rdkafka.auto.offset.reset", "rdkafka.isolation.level"),
}
REDPANDA = {
    # redpanda-data/rp-connect-docs, the redpanda input
    *("seed_brokers", "topics", "consumer_group", "client_id", "start_offset"),
    *("session_timeout", "transaction_isolation_level", "tls", "tls.enabled"),
    *("tls.client_certs", "tls.client_certs.cert_file", "tls.client_certs.key_file"),
    *("tls.root_cas_file", "sasl", "sasl.mechanism", "sasl.username", "sasl.password"),
}
DECODE = {
    # the same, the schema_registry_decode processor
    *("url", "avro", "avro.raw_unions", "basic_auth", "basic_auth.enabled"),
    *("basic_auth.username", "basic_auth.password", "tls", "tls.root_cas_file"),
}
SPLUNK = {
    # Splunk Connect for Kafka, "Parameters"; Kafka Connect, KIP-458; Confluent, AvroConverter
    *("connector.class", "tasks.max", "topics", "key.converter", "value.converter"),
    *("splunk.hec.uri", "splunk.hec.token", "splunk.hec.ack.enabled", "splunk.sourcetypes"),
    *("value.converter.schema.registry.url", "value.converter.basic.auth.credentials.source"),
    "value.converter.basic.auth.user.info",
    "value.converter.schema.registry.ssl.truststore.location",
    "value.converter.schema.registry.ssl.truststore.type",
    "value.converter.schema.registry.ssl.truststore.password",
}
CONSUMER = {
    # Apache Kafka, "Consumer Configs"
    *("bootstrap.servers", "client.id", "group.id", "session.timeout.ms", "auto.offset.reset"),
    *("isolation.level", "security.protocol", "sasl.mechanism", "sasl.jaas.config"),
    *("ssl.truststore.location", "ssl.truststore.type", "ssl.truststore.password"),
    *("ssl.keystore.location", "ssl.keystore.type", "ssl.keystore.password"),
}


def keys(content: Any, stem: str = "") -> Iterator[str]:
    """Every key with those above it, through lists."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            at = f"{stem}.{key}" if stem else str(key)
            yield at
            yield from keys(value, at)
    elif isinstance(content, list):
        for value in content:
            yield from keys(value, stem)


@pytest.fixture(params=["json", "registry", "certificate"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A bundle of JSON, one of Avro through a registry with its own CA and a user, and one that
    logs in by a certificate."""
    ca = certificates.ensure(tmp_path / "tls", [], dt.datetime.now(dt.UTC)).ca.read_bytes()
    access = make_access(ca)
    if request.param == "registry":
        registry = bundle.RegistryAccess("https://registry.example", "reader", "S3cret", ca)
        access = replace(access, format="avro", registry=registry)
    if request.param == "certificate":
        access = replace(access, certificate=make_certificate(tmp_path))
    made = tmp_path / "bundle"
    bundle.write(access, made)
    return made


def read(file: Path) -> Any:
    return yaml.safe_load(file.read_text("utf-8"))


def test_every_key_is_documented(folder: Path) -> None:
    """No product is told what it does not know, which most of them would ignore in silence."""
    filebeat = read(folder / "filebeat.yml")["filebeat.inputs"]
    agent = [
        each for one in read(folder / "elastic-agent.yml")["inputs"] for each in one["streams"]
    ]
    vector = read(folder / "vector.yaml")["sources"]["northbound"]
    fluent_bit = read(folder / "fluent-bit.yaml")["pipeline"]["inputs"]
    connect = read(folder / "redpanda-connect.yaml")
    splunk = json.loads((folder / "splunk-connector.json").read_text("utf-8"))["config"]
    own = {name: value for name, value in splunk.items() if not name.startswith("consumer.")}
    consumer = {name.removeprefix("consumer.override.") for name in splunk if name not in own}
    logstash = (folder / "logstash-input.conf").read_text("utf-8")
    sentinel = (folder / "logstash-output-sentinel.conf").read_text("utf-8")
    decoders = [
        each for step in connect.get("pipeline", {}).get("processors", ()) for each in step.values()
    ]
    found = {
        "filebeat": (set(keys(filebeat)), FILEBEAT),
        "elastic agent": (set(keys(agent)), AGENT),
        "vector": (set(keys(vector)), VECTOR),
        "fluent bit": (set(keys(fluent_bit)), FLUENT_BIT),
        "redpanda connect": (set(keys(connect["input"]["redpanda"])), REDPANDA),
        "schema_registry_decode": (set(keys(decoders)), DECODE),
        "splunk": (set(own), SPLUNK),
        "splunk's consumer": (consumer, CONSUMER),
        "logstash": (set(re.findall(r"^ {4}(\w+) =>", logstash, re.MULTILINE)), LOGSTASH),
        "sentinel": (set(re.findall(r"^ {6}(\w+) =>", sentinel, re.MULTILINE)), SENTINEL),
    }
    for product, (used, documented) in found.items():
        assert used or product == "schema_registry_decode", product
        assert used <= documented, (product, used - documented)


def test_every_product_of_the_list_has_a_file(folder: Path) -> None:
    """What a receiver is promised (docs/tenants.md), by name."""
    names = {file.name for file in folder.iterdir()}
    assert names >= {
        *("README.md", "northbound.json", "consumer.py", "doctor.py", "client.properties"),
        *("java.properties", "truststore.jks", "truststore.p12", "ca.pem"),
        *("logstash-input.conf", "logstash-output-stdout.conf", "logstash-output-sentinel.conf"),
        *("filebeat.yml", "elastic-agent.yml", "vector.yaml", "fluent-bit.yaml"),
        *("splunk-connector.json", "splunk-connector.txt", "rsyslog.conf"),
        *("redpanda-connect.yaml", "consumer.go", "go.mod", "consumer.mjs", "package.json"),
    }
    readme = (folder / "README.md").read_text("utf-8")
    for name in names - {"README.md", "splunk-connector.txt"}:
        stem = re.sub(r"-output-(stdout|sentinel)|event\.v\d+", "", name)
        known = name in readme or stem in readme or "logstash-output-*" in readme
        assert known or name.startswith("registry-"), name

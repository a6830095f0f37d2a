"""A connector of Splunk Connect for Kafka: it reads here, its workers live on another cluster.

Keys: Splunk Connect for Kafka (`splunk.*`) and Kafka Connect (`consumer.override.*`, KIP-458, which
the workers have to allow).
"""

import json

from app.broker.bundle import schema_registry
from app.broker.bundle.access import Access, File, RegistryAccess
from app.broker.bundle.java import login
from app.broker.bundle.trust_stores import STORE_PASSWORD

README = """\
# The Connect workers need `connector.client.config.override.policy=All` and a cluster of their own
# for their topics. Put truststore.p12 (and keystore.p12, if
# there is one) where the workers run, name their paths in the connector, then
# curl -H 'Content-Type: application/json' -d @splunk-connector.json http://WORKER:8083/connectors
"""


def files(access: Access) -> list[File]:
    consumer = {
        "bootstrap.servers": access.servers,
        "client.id": access.user,
        "group.id": f"{access.group_prefix}splunk",
        "session.timeout.ms": "60000",
        "auto.offset.reset": "earliest",
        "isolation.level": "read_committed",
        "security.protocol": access.protocol,
        **login(access),
    }
    if access.ca is not None:
        consumer |= {
            "ssl.truststore.location": "truststore.p12",
            "ssl.truststore.type": "PKCS12",
            "ssl.truststore.password": STORE_PASSWORD,
        }
    config = {
        "connector.class": "com.splunk.kafka.connect.SplunkSinkConnector",
        "tasks.max": "1",
        "topics": ",".join(access.topics.values()),
        "key.converter": "org.apache.kafka.connect.storage.StringConverter",
        **_values(access.registry),
        "splunk.hec.uri": "https://SPLUNK:8088",
        "splunk.hec.token": "TOKEN",
        "splunk.hec.ack.enabled": "true",
        "splunk.sourcetypes": "northbound:ocsf",
        **{f"consumer.override.{key}": value for key, value in consumer.items()},
    }
    text = json.dumps({"name": f"northbound-{access.tenant}", "config": config}, indent=2) + "\n"
    return [
        File("splunk-connector.json", text.encode(), secret=True),
        File("splunk-connector.txt", README.encode()),
    ]


def _values(registry: RegistryAccess | None) -> dict[str, str]:
    """The converter of values; Confluent's is a jar that the workers need."""
    if registry is None:
        return {"value.converter": "org.apache.kafka.connect.storage.StringConverter"}
    keys = schema_registry.java(registry)
    return {
        "value.converter": "io.confluent.connect.avro.AvroConverter",
        **{f"value.converter.{key}": value for key, value in keys.items()},
    }

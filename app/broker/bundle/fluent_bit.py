"""Fluent Bit's kafka input. Keys: Fluent Bit's manual; `rdkafka.` ones are librdkafka's."""

import yaml

from app.broker.bundle.access import Access, File
from app.broker.bundle.librdkafka import login

HEAD = """\
# fluent-bit -c fluent-bit.yaml, in this folder: the path of the CA is relative.
"""


def files(access: Access) -> list[File]:
    kafka = {
        "name": "kafka",
        "tag": "northbound",
        "brokers": access.servers,
        "topics": ",".join(access.topics.values()),
        "group_id": f"{access.group_prefix}fluent-bit",
        "client_id": access.user,
        "format": "json",
        "rdkafka.security.protocol": access.protocol,
        **{
            f"rdkafka.{key.replace('mechanisms', 'mechanism')}": value
            for key, value in login(access).items()
        },
        **({} if access.ca is None else {"rdkafka.ssl.ca.location": "ca.pem"}),
        "rdkafka.session.timeout.ms": "60000",
        "rdkafka.auto.offset.reset": "earliest",
        "rdkafka.isolation.level": "read_committed",
    }
    output = {"name": "stdout", "match": "northbound", "format": "json_lines"}
    content = {"pipeline": {"inputs": [kafka], "outputs": [output]}}
    text = HEAD + yaml.safe_dump(content, sort_keys=False)
    return [File("fluent-bit.yaml", text.encode(), secret=True)]

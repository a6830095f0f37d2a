"""Redpanda Connect's kafka_franz input, on franz-go. Keys: Redpanda Connect's reference."""

import yaml

from app.broker.bundle.access import Access, File

HEAD = """\
# redpanda-connect run redpanda-connect.yaml, in this folder: the path of the CA is relative.
"""


def files(access: Access) -> list[File]:
    kafka = {
        "seed_brokers": access.servers.split(","),
        "topics": list(access.topics.values()),
        "consumer_group": f"{access.group_prefix}redpanda-connect",
        "client_id": access.user,
        "start_offset": "earliest",
        "session_timeout": "1m",
        "transaction_isolation_level": "read_committed",
        "tls": {"enabled": True, **({} if access.ca is None else {"root_cas_file": "ca.pem"})},
        "sasl": [
            {
                "mechanism": access.mechanism,
                "username": access.user,
                "password": access.password,
            }
        ],
    }
    content = {"input": {"kafka_franz": kafka}, "output": {"stdout": {"codec": "lines"}}}
    text = HEAD + yaml.safe_dump(content, sort_keys=False)
    return [File("redpanda-connect.yaml", text.encode(), secret=True)]

"""Filebeat's kafka input.

Keys: Filebeat reference, kafka input.
"""

import yaml

from app.broker.bundle.access import CLIENT_CERTIFICATE, CLIENT_KEY, Access, File

HEAD = """\
# filebeat -e --strict.perms=false -c filebeat.yml --path.home .
# An index's _id made of metadata.uid drops what comes twice.
"""


def files(access: Access) -> list[File]:
    trust = {} if access.ca is None else {"ssl.certificate_authorities": ["ca.pem"]}
    own = (
        {}
        if access.certificate is None
        else {"ssl.certificate": CLIENT_CERTIFICATE, "ssl.key": CLIENT_KEY}
    )
    inputs = [
        {
            "type": "kafka",
            "id": f"northbound-{feed}",
            **reading(access, topic, f"filebeat-{feed}"),
            "ssl.enabled": True,
            "ssl.verification_mode": "full",
            **trust,
            **own,
            "parsers": [{"ndjson": {"target": "", "overwrite_keys": False}}],
        }
        for feed, topic in access.topics.items()
    ]
    content = {"filebeat.inputs": inputs, "output.console": {"enabled": True}}
    text = HEAD + yaml.safe_dump(content, sort_keys=False)
    return [File("filebeat.yml", text.encode(), secret=True)]


def reading(access: Access, topic: str, group: str) -> dict[str, object]:
    """What Filebeat's Kafka input and that of Elastic Agent call alike."""
    return {
        "hosts": access.servers.split(","),
        "topics": [topic],
        "group_id": f"{access.group_prefix}{group}",
        "client_id": access.user,
        "version": "2.6.0",
        "initial_offset": "oldest",
        "isolation_level": "read_committed",
        **(
            {}
            if access.certificate is not None
            else {
                "username": access.user,
                "password": access.password,
                "sasl.mechanism": access.mechanism,
            }
        ),
    }

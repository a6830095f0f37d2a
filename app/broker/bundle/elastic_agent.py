"""elastic-agent.yml: a standalone Elastic Agent with the kafka input of "Custom Kafka Logs".

Keys: the input's template in that integration; standalone agent policies for what is around it.
"""

import yaml

from app.broker.bundle.access import Access, File
from app.broker.bundle.filebeat import reading

HEAD = """\
# elastic-agent run -c elastic-agent.yml, with the output filled in. An agent that Fleet manages
# gets the same values in the integration "Custom Kafka Logs"; `ssl` goes into its field for YAML.
"""


def files(access: Access) -> list[File]:
    inputs = [
        {
            "id": f"northbound-{feed}",
            "type": "kafka",
            "use_output": "default",
            "data_stream": {"namespace": "default"},
            "streams": [
                {
                    "id": f"northbound-{feed}-stream",
                    "data_stream": {"dataset": f"northbound.{feed}"},
                    **reading(access, topic, f"elastic-agent-{feed}"),
                    "ssl": _tls(access),
                    "parsers": [{"ndjson": {"target": "", "overwrite_keys": False}}],
                }
            ],
        }
        for feed, topic in access.topics.items()
    ]
    output = {"type": "elasticsearch", "hosts": ["https://ELASTICSEARCH:9200"], "api_key": "KEY"}
    content = {"outputs": {"default": output}, "inputs": inputs}
    text = HEAD + yaml.safe_dump(content, sort_keys=False)
    return [File("elastic-agent.yml", text.encode(), secret=True)]


def _tls(access: Access) -> dict[str, object]:
    """Agents work in folders of their own, so CA and certificate are in here and no paths."""
    found: dict[str, object] = {"enabled": True, "verification_mode": "full"}
    if access.ca is not None:
        found["certificate_authorities"] = [access.ca.decode("ascii")]
    if access.certificate is not None:
        certificate, key = access.certificate
        found |= {"certificate": certificate.decode("ascii"), "key": key.decode("ascii")}
    return found

"""Whether Kafka has the raw topics that an agent publishes to, and whether they take its lines."""

import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource

from app.ingest.complaints import quietly

log = logging.getLogger(__name__)

SETTLE_S: Final = 3.0
REQUEST_S: Final = 5.0
BATCH: Final = 1_000_000
"""Bytes of librdkafka's batches, unless a topic takes only smaller ones."""
OVERHEAD: Final = 1_024
"""Bytes of a batch that are not its messages', at most."""
MEND: Final = "`northbound topics plan` shows what is declared, `northbound topics apply` sets it."


class IngestError(Exception):
    """The agent cannot start; the message says what to do."""


def require_topics(client: Mapping[str, Any], topics: list[str]) -> bool:
    """Whether Kafka answers. Raises IngestError if it does and a topic is not there.

    When Kafka does not answer the agent starts all the same: senders are held back until it does.
    """
    try:
        admin = AdminClient({**client, **quietly()})
    except KafkaException as error:  # a CA file that is gone, say
        raise IngestError(f"Kafka's client cannot be set up: {error.args[0].str()}") from None
    deadline = time.monotonic() + SETTLE_S
    while True:
        try:
            there = admin.list_topics(timeout=REQUEST_S).topics
        except KafkaException as error:
            log.warning("Kafka does not answer yet; senders will be held back. error=%s", error)
            return False
        missing = [topic for topic in topics if topic not in there]
        if not missing:
            return True
        if time.monotonic() > deadline:
            break
        time.sleep(SETTLE_S / 10)  # a topic made just now takes a moment to show
    raise IngestError(
        f"no topic {', '.join(missing)} in Kafka: run `northbound topics create` first"
    )


def batch_sizes(client: Mapping[str, Any], max_line: Mapping[str, int]) -> dict[str, int]:
    """How large batches for a topic may be, in bytes, where it takes none of the usual size: a
    broker refuses one that is too large with all that is in it. Blocks a while.

    `max_line`: topic → bytes that a line may have. Settings of a topic that lose lines are logged;
    what Kafka does not show is taken for well.
    """
    found = {}
    for topic, entries in _settings(client, sorted(max_line)).items():
        for problem in unfit(topic, entries, max_line[topic]):
            log.error("%s", problem)
        largest = int(entries.get("max.message.bytes") or BATCH + OVERHEAD)
        if largest < BATCH + OVERHEAD:
            found[topic] = max(largest - OVERHEAD, largest // 2, 1)
    return found


def unfit(topic: str, settings: Mapping[str, str | None], max_line: int) -> list[str]:
    """What of a raw topic's settings loses lines."""
    problems = []
    largest = settings.get("max.message.bytes")
    if largest is not None and int(largest) < max_line:
        problems.append(
            f"{topic} takes no message above max.message.bytes={largest}, and lines may have "
            f"{max_line} bytes (max_line): longer ones will be refused. {MEND}"
        )
    policy = settings.get("cleanup.policy") or ""
    if "compact" in policy:
        problems.append(
            f"{topic} has cleanup.policy={policy}, expected delete: Kafka removes all lines of a "
            f"sender but the last. {MEND}"
        )
    return problems


def _settings(
    client: Mapping[str, Any], topics: Sequence[str]
) -> dict[str, Mapping[str, str | None]]:
    """Configuration entries of topics, as far as Kafka shows them."""
    if not topics:
        return {}
    asked = [ConfigResource(ConfigResource.Type.TOPIC, topic) for topic in topics]
    admin = AdminClient({**client, **quietly()})
    found: dict[str, Mapping[str, str | None]] = {}
    for resource, future in admin.describe_configs(asked, request_timeout=REQUEST_S).items():
        try:
            entries = future.result(2 * REQUEST_S)
        except (KafkaException, TimeoutError) as error:  # no right to see them, say
            log.info(
                "Kafka does not show a topic's settings. topic=%s error=%s", resource.name, error
            )
        else:
            found[resource.name] = {name: entry.value for name, entry in entries.items()}
    return found

"""Who reads a tenant's feeds: its consumer groups, who is connected, and how far they are."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

from app.broker.rights import FEEDS, feed_topic, group_prefix
from app.config import Config
from app.lag import LEADER_S
from app.offsets import OffsetReader
from app.reading import IS_IT_UP, SILENT, TIMEOUT, ReadingError, open_reader
from topology.topics import Partition

LOOK_S: Final = 1.0
"""Between two looks at what groups have read, for the rate."""


@dataclass(slots=True)
class Reader:
    """A consumer group. `members`: client ids with their addresses. `lag`: offsets that it has not
    committed, markers of transactions among them; None if it has committed none. `rate`: offsets
    that it committed a second."""

    group: str
    state: str
    members: list[str]
    lag: int | None = None
    rate: float = 0.0
    committed: dict[Partition, int] = field(default_factory=dict)


def readers(config: Config, tenants: Iterable[str]) -> dict[str, list[Reader]]:
    """The consumer groups of each tenant. Raises ReadingError when Kafka is away."""
    offsets = OffsetReader(lambda: AdminClient({**config.client(), "logger": SILENT}))
    try:
        found = _groups(config, offsets.admin, tenants)
        known = offsets.admin.list_topics(timeout=TIMEOUT).topics
        partitions = {
            tenant: [
                (topic, number)
                for topic in (feed_topic(config.names, tenant, feed) for feed in FEEDS)
                if topic in known
                for number in known[topic].partitions
            ]
            for tenant in found
        }
        asked = [where for tenant, some in found.items() if some for where in partitions[tenant]]
        before = _look(config, found, partitions)
        if before:
            time.sleep(LOOK_S)
            _look(config, found, partitions)
        ends = offsets.list(asked, OffsetSpec.latest(), LEADER_S) if asked else {}
        begins = offsets.list(asked, OffsetSpec.earliest(), LEADER_S) if asked else {}
    except KafkaException as error:
        text = error.args[0].str()
        raise ReadingError(f"Kafka cannot be reached: {text}; {IS_IT_UP}") from None
    for tenant, some in found.items():
        for reader in some:
            first = before.get(reader.group, {})
            reader.lag, reader.rate = _distance(reader, partitions[tenant], first, begins, ends)
    return found


def _groups(config: Config, admin: AdminClient, tenants: Iterable[str]) -> dict[str, list[Reader]]:
    prefixes = {tenant: group_prefix(config.names, tenant) for tenant in tenants}
    listed = admin.list_consumer_groups(request_timeout=TIMEOUT).result(TIMEOUT)
    names = {
        each.group_id: tenant
        for each in listed.valid
        for tenant, prefix in prefixes.items()
        if each.group_id.startswith(prefix)
    }
    found: dict[str, list[Reader]] = {tenant: [] for tenant in prefixes}
    if not names:
        return found
    described = admin.describe_consumer_groups(sorted(names), request_timeout=TIMEOUT)
    for name, future in sorted(described.items()):
        group = future.result(TIMEOUT)
        members = sorted(f"{each.client_id} {each.host.lstrip('/')}" for each in group.members)
        found[names[name]].append(Reader(name, group.state.name.lower(), members))
    return found


def _look(
    config: Config,
    found: Mapping[str, Sequence[Reader]],
    partitions: Mapping[str, Sequence[Partition]],
) -> dict[str, dict[Partition, int]]:
    """What each group has committed now, which is kept with it."""
    looked: dict[str, dict[Partition, int]] = {}
    for tenant, some in found.items():
        for reader in some:
            consumer = open_reader(config.client(), reader.group)
            try:
                wanted = [TopicPartition(*where) for where in partitions[tenant]]
                answered = consumer.committed(wanted, timeout=TIMEOUT)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                    raise
                continue  # who may not ask is told who is connected, and no lag
            finally:
                consumer.close()
            reader.committed = {
                (item.topic, item.partition): item.offset for item in answered if item.offset >= 0
            }
            looked[reader.group] = reader.committed
    return looked


def _distance(
    reader: Reader,
    partitions: Sequence[Partition],
    before: Mapping[Partition, int],
    begins: Mapping[Partition, int],
    ends: Mapping[Partition, int],
) -> tuple[int | None, float]:
    """Lag over the topics that the group reads, and rate."""
    if not reader.committed:
        return None, 0.0
    topics = {topic for topic, _ in reader.committed}
    lag = sum(
        max(0, ends[where] - max(reader.committed.get(where, 0), begins[where]))
        for where in partitions
        if where[0] in topics
    )
    moved = sum(at - before.get(where, at) for where, at in reader.committed.items())
    return lag, round(moved / LOOK_S, 1)

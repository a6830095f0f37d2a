"""What an engine needs to know, and the librdkafka configurations that follow from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

STALL_S = 25.0
"""A stall is to be noticed within 30 s, on a busy machine too."""
TRANSACTION_S = 5.0, 7.5
"""Time-outs of transactions, least and most. A dead worker's open transaction holds consumers that
read committed records back for so long, unless the worker comes back; and of the most, a few stuck
ones in a row are still noticed within 30 s."""
MOST_PARTITIONS = 1_000
"""A transaction that writes to more partitions may take longer than that: it takes 0.5 ms for each
on a warm broker, 6 ms in a cold one's first transaction (docs/benchmarks.md)."""


def transaction_timeout(partitions: int) -> float:
    """Seconds until the brokers give a transaction up that may write to so many partitions."""
    least, most = TRANSACTION_S
    return max(least, most * min(1.0, partitions / MOST_PARTITIONS))


def _nobody(_: str) -> None:
    """Nobody asks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """One engine: a consumer group's member with its own transactions. Times are in seconds.

    `client` holds what reaches the brokers in librdkafka's names: `bootstrap.servers` and the
    security properties. `changelogs` maps a store's name to its physical changelog topic, which has
    as many partitions as the input topics. `instance` is the member's static name in its group and
    its transactional id: no two live processes may share it.
    """

    name: str
    group: str
    topics: tuple[str, ...]
    instance: str
    client: Mapping[str, Any] = field(repr=False)
    changelogs: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Stores that belong to one of the input topics: a partition of the store goes with that
    topic's partition of the same number. The others have the partitions of all input topics."""
    state: Path | None = None
    """Where the marker of the records in work is kept, and stores on disk; None keeps none."""
    store: Literal["memory", "disk"] = "memory"
    """Where the entries of stores are: in this process, or in folders below `state`."""
    commit_interval: float = 0.1
    max_batch: int = 20_000
    """Records a poll."""
    max_batch_bytes: int = 32 * 1024 * 1024
    """About how many bytes of values a poll may bring, judged by the size of the last records."""
    coalesce: bool = False
    """One batch over all partitions of a topic instead of one a partition."""
    static: bool = True
    """Keep the partitions over a restart (static membership); False leaves the group at once."""
    standby: int = 0
    """Copies of each store beside its owner's, with the members that would inherit it."""
    session_timeout: float = 6.0
    transaction_timeout: float = TRANSACTION_S[0]
    call_timeout: float = 15.0
    """How long a call of the consumer or the transaction may take before the process ends."""
    start_timeout: float = 60.0
    """How long the first contact with the brokers may take before the process ends."""
    stall_timeout: float = STALL_S
    """How long the engine may show no progress before the process ends."""
    on_new_topic: Callable[[str], None] = field(default=_nobody, repr=False)
    """Told of each input topic that may have been made anew since it was read last, in the engine's
    thread and before a record of it is delivered."""
    consumer: Mapping[str, Any] = field(default_factory=dict)
    """librdkafka properties that win over the engine's own for the consumer."""
    producer: Mapping[str, Any] = field(default_factory=dict)
    """The same for the producer, such as `compression.type`."""

    def __post_init__(self) -> None:
        if not self.topics:
            raise ValueError(f"engine {self.name}: topics is empty; name at least one input topic")
        if self.coalesce and self.shared:
            raise ValueError(
                f"engine {self.name}: coalesce and stores that have no input topic of their own "
                "exclude each other; a batch with state must hold one partition"
            )
        if self.store == "disk" and self.state is None:
            raise ValueError(f"engine {self.name}: stores on disk need a state directory")
        if self.standby < 0:
            raise ValueError(f"engine {self.name}: standby is {self.standby}; expected 0 or more")
        if not self.client.get("bootstrap.servers"):
            raise ValueError(f"engine {self.name}: client lacks bootstrap.servers")

    @property
    def shared(self) -> dict[str, str]:
        """Stores and changelogs of those that have the partitions of all input topics."""
        return {name: log for name, log in self.changelogs.items() if name not in self.inputs}

    def consumer_config(self) -> dict[str, Any]:
        """The group member's consumer. Offsets are the engine's own, so `error` on a bad one."""
        return {
            **self.client,
            "client.id": self.instance,
            "group.id": self.group,
            **({"group.instance.id": self.instance} if self.static else {}),
            # Only range gives the same partition number of several topics to one member.
            "partition.assignment.strategy": "range" if self.shared else "roundrobin",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "allow.auto.create.topics": False,
            "session.timeout.ms": int(self.session_timeout * 1000),
            # A member hears with its next heartbeat that another one is gone.
            "heartbeat.interval.ms": max(100, int(self.session_timeout * 1000 / 12)),
            "max.poll.interval.ms": 600_000,  # a restore is not interrupted by polls
            "topic.metadata.refresh.interval.ms": 10_000,
            "fetch.error.backoff.ms": 50,
            "fetch.queue.backoff.ms": 5,
            "queued.max.messages.kbytes": 65_536,
            "max.partition.fetch.bytes": 4 * 1024 * 1024,
            "log.connection.close": False,
            **self.consumer,
        }

    def producer_config(self) -> dict[str, Any]:
        """The transactional producer. Keys hash as in Java clients."""
        return {
            **self.client,
            "client.id": self.instance,
            "transactional.id": self.instance,
            "transaction.timeout.ms": int(self.transaction_timeout * 1000),
            "delivery.report.only.error": True,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": 20,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 131_072,
            "message.max.bytes": 4_190_000,  # topics take 4 MiB; what is larger fails here
            "topic.metadata.refresh.interval.ms": 30_000,
            "log.connection.close": False,
            **self.producer,
        }

    def restore_config(self) -> dict[str, Any]:
        """The consumer that reads changelogs; it never joins a group."""
        return {
            **self.client,
            "client.id": f"{self.instance}-restore",
            "group.id": f"{self.group}-restore",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "fetch.wait.max.ms": 20,
            "fetch.error.backoff.ms": 20,
            "fetch.queue.backoff.ms": 2,
            "queued.min.messages": 500_000,
            "queued.max.messages.kbytes": 65_536,
            "max.partition.fetch.bytes": 4 * 1024 * 1024,
            "log.connection.close": False,
        }

    def standby_config(self) -> dict[str, Any]:
        """The consumer that keeps copies of stores: few and large fetches, little memory."""
        return {
            **self.restore_config(),
            "client.id": f"{self.instance}-standby",
            "fetch.min.bytes": 65_536,
            "fetch.wait.max.ms": 500,
            "fetch.error.backoff.ms": 500,
            "fetch.queue.backoff.ms": 50,
            "queued.min.messages": 20_000,
            "queued.max.messages.kbytes": 16_384,
        }

"""What ingest tests share: an agent on a loop of its own kind, and a topic read back."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import uvloop
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from app.ingest.agent import IngestAgent
from app.ingest.settings import AgentSettings, ListenerSettings
from topology.topics import Names

T = TypeVar("T")
HOUR = 3600.0


def resident_mb() -> float:
    """Memory of this process now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run as the command does: on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def make_agent(bootstrap: str, *listeners: ListenerSettings, **options: Any) -> IngestAgent:
    """An agent that does not tick unless told to."""
    chosen = {"ticks": {each.source: HOUR for each in listeners}, **options}
    settings = AgentSettings(listeners=listeners, **chosen)
    return IngestAgent(settings, {"bootstrap.servers": bootstrap}, Names())


def listener(source: str, **options: Any) -> ListenerSettings:
    """A listener on any free loopback port."""
    return ListenerSettings(source=source, host="127.0.0.1", port=0, **options)


async def until(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait for a condition; fail with `what` when it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        await asyncio.sleep(0.01)


def read_topic(bootstrap: str, topic: str, count: int, seconds: float = 120.0) -> list[Message]:
    """All records of a topic, partition by partition, to its end; waits until `count` are there."""
    return _read(bootstrap, topic, lambda found: len(found) >= count, seconds)


def read_all(
    bootstrap: str, topic: str, wanted: Iterable[bytes], seconds: float = 120.0
) -> list[Message]:
    """As `read_topic`, until each of `wanted` is there: a count would be met by what came twice."""
    missing = set(wanted)
    seen = 0

    def complete(found: list[Message]) -> bool:
        nonlocal seen
        missing.difference_update(values(found[seen:]))
        seen = len(found)
        return not missing

    return _read(bootstrap, topic, complete, seconds)


def _read(
    bootstrap: str, topic: str, complete: Callable[[list[Message]], bool], seconds: float
) -> list[Message]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "reader",
            "fetch.wait.max.ms": 50,
            "enable.partition.eof": True,  # silence for a while is no end
        }
    )
    try:
        deadline = time.monotonic() + seconds
        while not (numbers := consumer.list_topics(topic, timeout=60).topics[topic].partitions):
            # A broker that has just started, or a topic, may not know of the other yet.
            assert time.monotonic() < deadline, f"{topic} has no partitions"
            time.sleep(0.02)
        consumer.assign([TopicPartition(topic, number, 0) for number in numbers])
        found: list[Message] = []
        at_end: set[int] = set()
        while time.monotonic() < deadline:
            for message in consumer.consume(10_000, 0.05):
                if (error := message.error()) is None:
                    found.append(message)
                    at_end.discard(message.partition())
                elif error.code() == KafkaError._PARTITION_EOF:
                    at_end.add(message.partition())
                else:
                    assert error.retriable(), error
            if len(at_end) == len(numbers) and complete(found):
                break
        return sorted(found, key=lambda message: (message.partition(), message.offset()))
    finally:
        consumer.close()


def values(messages: list[Message]) -> list[bytes | None]:
    """Values of records."""
    return [message.value() for message in messages]

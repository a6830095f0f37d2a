"""Lines that come too late for correlations, told before they are sent (`northbound replay`).

A file of the past whose source has gone on since is read, and single events alert; but windows of
its time are closed. The same lines in a topic of their own, which has nothing newer, count.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from confluent_kafka import KafkaException, TopicPartition

from app.config import Config, ConfigError
from app.config.fields import duration_text
from app.ingest.batch import host_of
from app.reading import open_reader
from app.runtime.start_offsets import STAMP
from app.source_plans import source_plans
from topology.moments import text_of
from topology.partitioner import partitions
from topology.plan import SourcePlan
from topology.received import receive
from topology.records import Batch
from topology.watermark import NOTHING, Watermarks

LOOK = 1_000
"""Lines that are looked at: those at the beginning of a file are its oldest."""
ANSWER_S = 5.0
"""Seconds that Kafka may take to say how far event time is. Lines are sent in any case."""
UNKNOWN = -1
"""The partition of a line that has no key."""


class Late(NamedTuple):
    """The event time of a line, and that which its partition has reached, in ms."""

    time: int
    reached: int


def told(config: Config, source: str, lines: Sequence[bytes], key: str) -> str | None:
    """What is to be known of lines that are about to be sent; None if correlations count them, or
    where Kafka does not say how far event time is. `key`: as `northbound replay` has it."""
    problems: list[str] = []
    topic, now = config.names.raw(source), int(time.time() * 1000)
    try:
        plan = source_plans(config, problems)[source]
        found = None if problems else late(plan, lines, key, reached(config, topic), now)
    except (ConfigError, KafkaException):
        return None
    if found is None:
        return None
    line, end = (text_of(each) for each in found)
    return (
        f"A line of {line} is more than {duration_text(plan.lateness_ms)} behind what {topic} has "
        f"reached, {end}: such lines become events, but no correlation counts them. A file of the "
        "past wants a source of its own, whose topic is empty (docs/ingest.md, Files of the past)."
    )


def reached(config: Config, topic: str) -> dict[int, int]:
    """How far event time is on each partition of a raw topic, in ms, as workers have committed it;
    NOTHING where they have not. Raises KafkaException."""
    watermarks = Watermarks()
    reader = open_reader(config.client(), config.names.group("events"))
    try:
        numbers = reader.list_topics(topic, timeout=ANSWER_S).topics[topic].partitions
        asked = [TopicPartition(topic, number) for number in numbers]
        for each in reader.committed(asked, timeout=ANSWER_S):
            metadata, _, _ = (each.metadata or "").partition(STAMP)
            watermarks.assign((topic, each.partition), metadata)
    finally:
        reader.close()
    return {number: watermarks.greatest((topic, number)) for number in numbers}


def late(
    plan: SourcePlan, lines: Sequence[bytes], key: str, reached: Mapping[int, int], now_ms: int
) -> Late | None:
    """The first line, of those that are looked at, that no correlation would count. `now_ms`: what
    their records will have for a time stamp."""
    lines = lines[:LOOK]
    if not lines or not reached:
        return None
    count = len(lines)
    stamps = np.full(count, now_ms, dtype=np.int64)
    places = _partitions(lines, key, len(reached))
    one = np.zeros(count, dtype=np.int32)
    offsets = np.arange(count, dtype=np.int64)
    batch = Batch(plan.name, one, offsets, stamps, [None] * count, list(lines))
    times = receive(plan, batch, "").times
    # A line without a key may go anywhere: it is late where that is so on every partition.
    marks = {**reached, UNKNOWN: min(reached.values())}
    ends = np.array([marks[place] for place in places.tolist()], dtype=np.int64)
    behind = (times != NOTHING) & (ends != NOTHING) & (times < ends - plan.lateness_ms)
    if not behind.any():
        return None
    first = int(np.argmax(behind))
    return Late(int(times[first]), int(ends[first]))


def _partitions(lines: Sequence[bytes], key: str, count: int) -> npt.NDArray[np.int64]:
    """The partition of each line, of so many, as the publisher's producer chooses it."""
    if key == "spread":
        return np.full(len(lines), UNKNOWN, dtype=np.int64)
    keys = [host_of(line) if key == "host" else key.encode() for line in lines]
    found = np.full(len(lines), UNKNOWN, dtype=np.int64)
    named = np.flatnonzero([bool(each) for each in keys])
    found[named] = partitions([keys[at] or b"" for at in named.tolist()], count)
    return found

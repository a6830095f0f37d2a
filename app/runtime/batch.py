"""Polled messages to batches.

Members of all messages are read column by column with C-level maps (0.4 µs a record for all of
them). Offsets have gaps: transaction markers and compacted records have offsets too.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, pairwise

import numpy as np
import numpy.typing as npt
from confluent_kafka import Message

from topology.records import Batch
from topology.topics import Partition

Ranges = dict[Partition, tuple[int, int]]
"""First and last offset of the records of each partition."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive records `[start, stop)` of one partition in a batch."""

    partition: int
    start: int
    stop: int


def runs(partitions: npt.NDArray[np.int32]) -> Iterator[Run]:
    """The runs of equal partition numbers, in order."""
    cuts = np.flatnonzero(partitions[1:] != partitions[:-1]) + 1
    bounds = [0, *cuts.tolist(), len(partitions)]
    for start, stop in pairwise(bounds):
        if stop > start:
            yield Run(int(partitions[start]), start, stop)


def build(messages: Sequence[Message], topics: Sequence[str], *, coalesce: bool) -> list[Batch]:
    """One batch a topic when coalescing, otherwise one a topic and partition.

    `topics` are those subscribed to. Messages must hold records, not errors.
    """
    if not messages:
        return []
    if len(topics) == 1:
        return _of_topic(topics[0], messages, coalesce=coalesce)
    by_topic: dict[str, list[Message]] = {}
    for message, topic in zip(messages, map(Message.topic, messages), strict=True):
        by_topic.setdefault(topic, []).append(message)
    return [
        batch
        for topic, own in by_topic.items()
        for batch in _of_topic(topic, own, coalesce=coalesce)
    ]


def _of_topic(topic: str, messages: Sequence[Message], *, coalesce: bool) -> list[Batch]:
    count = len(messages)
    stamps = [stamp for _, stamp in map(Message.timestamp, messages)]
    batch = Batch(
        topic,
        np.fromiter(map(Message.partition, messages), np.int32, count),
        np.fromiter(map(Message.offset, messages), np.int64, count),
        np.fromiter(stamps, np.int64, count),
        list(map(Message.key, messages)),
        list(map(Message.value, messages)),
    )
    return [batch] if coalesce else split(batch)


def split(batch: Batch) -> list[Batch]:
    """One batch a partition, each in offset order."""
    found: dict[int, list[Run]] = {}
    for run in runs(batch.partitions):
        found.setdefault(run.partition, []).append(run)
    if len(found) == 1:
        return [batch]
    return [_gather(batch, own) for own in found.values()]


def _gather(batch: Batch, own: Sequence[Run]) -> Batch:
    if len(own) == 1:
        return cut(batch, own[0].start, own[0].stop)
    rows = np.concatenate([np.arange(run.start, run.stop) for run in own])
    keys: list[bytes | None] = []
    values: list[bytes | None] = []
    for run in own:
        keys.extend(batch.keys[run.start : run.stop])
        values.extend(batch.values[run.start : run.stop])
    return Batch(
        batch.topic,
        batch.partitions[rows],
        batch.offsets[rows],
        batch.timestamps[rows],
        keys,
        values,
    )


def cut(batch: Batch, start: int, stop: int) -> Batch:
    """The records `[start, stop)` of a batch."""
    return Batch(
        batch.topic,
        batch.partitions[start:stop],
        batch.offsets[start:stop],
        batch.timestamps[start:stop],
        batch.keys[start:stop],
        batch.values[start:stop],
    )


def ranges(batch: Batch) -> Ranges:
    """What a batch holds of each partition."""
    found: Ranges = {}
    for run in runs(batch.partitions):
        where = (batch.topic, run.partition)
        first, last = int(batch.offsets[run.start]), int(batch.offsets[run.stop - 1])
        found[where] = (found[where][0] if where in found else first, last)
    return found


def latest(batch: Batch) -> dict[Partition, int]:
    """The time stamp of the last record of each partition, in ms."""
    return {
        (batch.topic, run.partition): int(batch.timestamps[run.stop - 1])
        for run in runs(batch.partitions)
    }


def union(many: Iterable[Ranges]) -> Ranges:
    """For each partition from the first offset of any to the last of any."""
    found: Ranges = {}
    for spans in many:
        for where, (first, last) in spans.items():
            known = found.get(where, (first, last))
            found[where] = (min(known[0], first), max(known[1], last))
    return found


def from_positions(batch: Batch, positions: Mapping[Partition, int]) -> Batch | None:
    """The batch without what was delivered before or belongs to others; None when that is all.

    A consumer may hand out records that it fetched before a rebalance.
    """
    spans = ranges(batch)
    if all(where in positions and span[0] >= positions[where] for where, span in spans.items()):
        return batch
    keep = np.zeros(len(batch), bool)
    for run in runs(batch.partitions):
        position = positions.get((batch.topic, run.partition))
        if position is not None:
            keep[run.start : run.stop] = batch.offsets[run.start : run.stop] >= position
    if not keep.any():
        return None
    return Batch(
        batch.topic,
        batch.partitions[keep],
        batch.offsets[keep],
        batch.timestamps[keep],
        list(compress(batch.keys, keep)),
        list(compress(batch.values, keep)),
    )

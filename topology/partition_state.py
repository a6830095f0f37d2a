"""What sub-topology 2 holds in memory of one partition of `matches`."""

from dataclasses import dataclass, field
from heapq import heapify
from itertools import islice
from typing import cast

from topology.aggregate.windows import Windows
from topology.asleep import Asleep
from topology.correlate.group import Group
from topology.kept_batches import KeptBatches
from topology.partition_lists import PartitionLists
from topology.progress import Progress
from topology.quiet import Quiet
from topology.records import Batch, KeyValueStore
from topology.rules import Correlation


@dataclass(slots=True)
class Live:
    """A group in memory. `queued`: since when."""

    group: Group
    correlation: Correlation
    topics: tuple[str, ...]
    queued: int | None = None


@dataclass(slots=True)
class PartitionState:
    """One partition of `matches`. `due`: for each set of raw topics, when groups are due."""

    store: KeyValueStore
    progress: Progress
    windows: Windows
    asleep: Asleep
    quiet: Quiet
    kept: KeptBatches
    groups: dict[bytes, Live] = field(default_factory=dict)
    changed: dict[bytes, Group] = field(default_factory=dict)
    due: dict[tuple[str, ...], list[tuple[int, bytes]]] = field(default_factory=dict)
    lists: PartitionLists | None = None
    """Where rules have lists."""
    told: dict[str, int] = field(default_factory=dict)
    """How far it has told the others that it has come with alerts that are counted."""

    def take_many(self, batch: Batch, start: int, stop: int) -> list[int]:
        """Take Partials in columns; the rows that are left to work on one by one."""
        keys = cast("list[bytes]", batch.keys[start:stop])
        values = cast("list[bytes]", batch.values[start:stop])
        if len(self.kept):
            for key in keys:
                self.kept.move(key)
        return [start + row for row in self.quiet.take_many(keys, values, self.groups)]

    def rest(self, keep: int) -> None:
        """Let groups sleep, the longest awake first, until so many are left; all are flushed."""
        resting = dict(islice(self.groups.items(), len(self.groups) - keep))
        by_topics: dict[tuple[str, ...], tuple[list[int], list[bytes]]] = {}
        for key, live in resting.items():
            times, keys = by_topics.setdefault(live.topics, ([], []))
            times.append(live.group.due())
            keys.append(key)
            for number in live.group.numbers():
                self.asleep.number(key, number)
            del self.groups[key]
        for topics, (times, keys) in by_topics.items():
            self.asleep.add(topics, times, keys)
            queue = [entry for entry in self.due.get(topics, []) if entry[1] in self.groups]
            heapify(queue)
            self.due[topics] = queue

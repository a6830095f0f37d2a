"""What sub-topology 2 holds in memory of the lists of one partition of `matches`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappush

from topology.correlate.list_key import ListKey
from topology.kept_steps import KeptSteps
from topology.progress import Progress
from topology.records import KeyValueStore


@dataclass(slots=True)
class PartitionLists:
    """One partition. `due`: for each set of topics that lists wait for, when keys are; `going`: the
    same for entries that end, by time."""

    store: KeyValueStore
    progress: Progress
    kept: KeptSteps
    live: dict[bytes, ListKey] = field(default_factory=dict)
    changed: dict[bytes, ListKey] = field(default_factory=dict)
    due: dict[tuple[str, ...], list[tuple[int, bytes]]] = field(default_factory=dict)
    going: dict[tuple[str, ...], dict[int, list[bytes]]] = field(default_factory=dict)
    times: dict[tuple[str, ...], list[int]] = field(default_factory=dict)

    def key(self, key: bytes) -> ListKey:
        """The state of a key, in memory from now on. Raises ValueError for an unknown version."""
        found = self.live.get(key)
        if found is None:
            found = ListKey(self.store, key)
            found.recall()
            self.live[key] = found
        return found

    def queue(self, topics: tuple[str, ...], key: bytes, live: ListKey) -> None:
        """See to it that a key is looked at when it is due."""
        due = live.due()
        if due is not None and (live.queued is None or due < live.queued):
            live.queued = due
            heappush(self.due.setdefault(topics, []), (due, key))

    def watch(self, topics: tuple[str, ...], time: int, keys: Sequence[bytes]) -> None:
        """See to it that entries go."""
        going = self.going.setdefault(topics, {})
        if time not in going:
            going[time] = []
            heappush(self.times.setdefault(topics, []), time)
        going[time] += keys

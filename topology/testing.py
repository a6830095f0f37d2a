"""TopologyTestDriver: the whole topology without a broker, for tests of ours and of users.

It keeps topics as lists of bytes, so every hop goes through the real codecs, and does what the
engine does: batches, one commit for outputs, state, offsets and metadata, take-over from what was
committed. Time is what the caller says. Several partitions and workers show a missing repartition;
`crash` shows output that was not part of a commit; `replay` shows a result that depends on when or
in which cuts records were read; `place` shows one that depends on which stages share a step.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from topology.partitioner import partitions
from topology.records import Batch, Outcome, Output, Position, SubTopology
from topology.topics import Partition


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a topic in the driver."""

    key: bytes | None
    value: bytes | None
    timestamp: int


NO_RECORD = Record(None, None, 0)


class MemoryStore:
    """KeyValueStore with the engine's overlay: changes become visible to others on commit."""

    def __init__(self, committed: Mapping[bytes, bytes] | None = None) -> None:
        self.committed: dict[bytes, bytes] = dict(committed or {})
        self._dirty: dict[bytes, bytes | None] = {}

    def get(self, key: bytes) -> bytes | None:
        if key in self._dirty:
            return self._dirty[key]
        return self.committed.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self._dirty[key] = value

    def delete(self, key: bytes) -> None:
        self._dirty[key] = None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        for key, value in {**self.committed, **self._dirty}.items():
            if value is not None:
                yield key, value

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def commit(self) -> None:
        """Make the changes the committed state."""
        for key, value in self._dirty.items():
            if value is None:
                self.committed.pop(key, None)
            else:
                self.committed[key] = value
        self._dirty.clear()

    def abort(self) -> None:
        """Forget the changes."""
        self._dirty.clear()


@dataclass(slots=True)
class _Task:
    """One sub-topology on one worker: the partitions it owns and where it stands."""

    sub_topology: SubTopology
    owned: list[Partition]
    stores: dict[tuple[str, int], MemoryStore]
    next: dict[Partition, int] = field(default_factory=dict)
    pending: list[Output] = field(default_factory=list)
    metadata: dict[Partition, str] = field(default_factory=dict)
    batches: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """A sub-topology of the topology under test: how to make one, and the topics it reads."""

    make: Callable[[], SubTopology]
    topics: Sequence[str]


class TopologyTestDriver:
    """Runs sub-topologies over in-memory topics until nothing is left to read.

    `partitions` gives the partition count of each topic (default 1). `workers` instances of each
    step share its partitions. `max_batch` cuts what is read; `commit_every` batches are one commit.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        *,
        partitions: Mapping[str, int] | None = None,
        workers: int = 1,
        max_batch: int = 1_000,
        commit_every: int = 1,
    ) -> None:
        self._steps = steps
        self._partitions = dict(partitions or {})
        self._workers = workers
        self._max_batch = max_batch
        self._commit_every = commit_every
        self._log: dict[str, list[list[Record]]] = {}
        self._forgotten: dict[Partition, int] = {}
        self._now = 0
        self.counts: Counter[str] = Counter()
        self._committed: dict[tuple[int, Partition], Position] = {}
        self._stores: dict[tuple[int, str, int], MemoryStore] = {}
        self._tasks: list[tuple[int, _Task]] = []
        self._start()

    # -- input ---------------------------------------------------------------------------------

    def pipe(
        self,
        topic: str,
        value: bytes | None,
        *,
        timestamp: int,
        key: bytes | None = None,
        partition: int | None = None,
    ) -> None:
        """Append one record as a producer would; the partition follows the key if not given."""
        self._now = max(self._now, timestamp)
        self._append(topic, Record(key, value, timestamp), partition)

    def advance_wall_clock(self, now: int) -> None:
        """Let time pass on quiet sources: a tick on each input partition that has a record."""
        self._now = max(self._now, now)
        for topic in self._steps[0].topics:
            for number, records in enumerate(self._topic(topic)):
                if records:
                    self._append(topic, Record(None, None, now), number)

    def run(self) -> None:
        """Process until every input is read and committed."""
        while True:
            moved = [self._poll(step, task) for step, task in self._tasks]
            for step, task in self._tasks:
                self._commit(step, task)
            if not any(moved):
                return

    # -- output --------------------------------------------------------------------------------

    def read(self, topic: str) -> list[Record]:
        """All committed records of a topic, partition by partition."""
        return [record for records in self._topic(topic) for record in records]

    def take(self, topic: str) -> list[Record]:
        """As `read`, and they are gone: for topics that no step reads, of very many records."""
        found = self.read(topic)
        self._log.pop(topic, None)
        return found

    def forget(self) -> None:
        """Let go of what every record was that is worked on and committed; `replay` would miss
        it."""
        reached: dict[Partition, int] = {}
        for (_, where), position in self._committed.items():
            reached[where] = min(reached.get(where, position.offset), position.offset)
        for (topic, number), end in reached.items():
            first = self._forgotten.get((topic, number), 0)
            self._topic(topic)[number][first:end] = [NO_RECORD] * (end - first)
            self._forgotten[topic, number] = end

    def store(self, name: str) -> dict[bytes, bytes]:
        """Committed content of a store over all its partitions."""
        out: dict[bytes, bytes] = {}
        for (_, store, _), content in self._stores.items():
            if store == name:
                out |= content.committed
        return out

    # -- faults --------------------------------------------------------------------------------

    def step_once(self) -> bool:
        """Process one batch on each worker without a commit; True if anything was read."""
        moved = [self._poll(step, task) for step, task in self._tasks]
        return any(moved)

    def crash(self) -> None:
        """Lose what was not committed, as kill -9 does, and take over from the last commit."""
        self._start()

    def restart(self, *, workers: int | None = None) -> None:
        """Commit, stop and start anew, with another number of workers if given."""
        for step, task in self._tasks:
            self._commit(step, task)
        self._workers = workers or self._workers
        self._start()

    def place(self, steps: Sequence[Step]) -> None:
        """Commit, stop and go on in another placement, on the same topics and state."""
        for step, task in self._tasks:
            self._commit(step, task)
        reader = {topic: number for number, step in enumerate(steps) for topic in step.topics}
        keeper = {name: number for number, step in enumerate(steps) for name in step.make().stores}
        self._committed = {
            (reader[where[0]], where): position
            for (_, where), position in self._committed.items()
            if where[0] in reader
        }
        self._stores = {
            (keeper[name], name, number): store for (_, name, number), store in self._stores.items()
        }
        self._steps = steps
        self._start()

    def replay(self, *, workers: int | None = None, max_batch: int | None = None) -> None:
        """Read the first step's topics again from the start, with empty state and outputs."""
        inputs = set(self._steps[0].topics)
        self._log = {topic: log for topic, log in self._log.items() if topic in inputs}
        self._committed.clear()
        self._stores.clear()
        self.counts.clear()
        self._workers = workers or self._workers
        self._max_batch = max_batch or self._max_batch
        self._start()

    # -- what the engine does ------------------------------------------------------------------

    def _topic(self, topic: str) -> list[list[Record]]:
        log = self._log.get(topic)
        if log is None:
            log = self._log[topic] = [[] for _ in range(self._partitions.get(topic, 1))]
        return log

    def _append(self, topic: str, record: Record, partition: int | None) -> None:
        log = self._topic(topic)
        if partition is None:
            partition = int(partitions([record.key or b""], len(log))[0]) if len(log) > 1 else 0
        log[partition].append(record)

    def _start(self) -> None:
        self._tasks = []
        for number, step in enumerate(self._steps):
            partitions = [
                (topic, count) for topic in step.topics for count in range(len(self._topic(topic)))
            ]
            for worker in range(self._workers):
                owned = partitions[worker :: self._workers]
                self._tasks.append((number, self._task(number, step, owned)))

    def _task(self, number: int, step: Step, owned: list[Partition]) -> _Task:
        sub_topology = step.make()
        stores: dict[tuple[str, int], MemoryStore] = {}
        inputs: Mapping[str, str] = getattr(sub_topology, "inputs", {})
        for name in sub_topology.stores:
            for topic, partition in owned:
                if inputs.get(name, topic) != topic:
                    continue
                at = (number, name, partition)
                store = self._stores.setdefault(at, MemoryStore())
                store.abort()
                stores[name, partition] = store
        positions = {item: self._committed.get((number, item), Position(0)) for item in owned}
        task = _Task(sub_topology, owned, stores)
        task.next = {item: position.offset for item, position in positions.items()}
        sub_topology.assign(positions, stores)
        return task

    def _poll(self, step: int, task: _Task) -> bool:
        moved = False
        for topic in self._steps[step].topics:
            batch = self._batch(task, topic)
            if batch is None:
                continue
            moved = True
            self._take(task, task.sub_topology.process(batch))
            task.batches += 1
            if task.batches % self._commit_every == 0:
                self._commit(step, task)
        return moved

    def _batch(self, task: _Task, topic: str) -> Batch | None:
        taken: list[tuple[int, int, Record]] = []
        for owned in task.owned:
            if owned[0] != topic:
                continue
            first = task.next[owned]
            records = self._topic(topic)[owned[1]][first : first + self._max_batch]
            taken += [(owned[1], first + at, record) for at, record in enumerate(records)]
            task.next[owned] = first + len(records)
        if not taken:
            return None
        return Batch(
            topic,
            np.array([number for number, _, _ in taken], dtype=np.int32),
            np.array([offset for _, offset, _ in taken], dtype=np.int64),
            np.array([record.timestamp for _, _, record in taken], dtype=np.int64),
            [record.key for _, _, record in taken],
            [record.value for _, _, record in taken],
        )

    def _take(self, task: _Task, outcome: Outcome) -> None:
        task.pending += outcome.outputs
        task.metadata |= outcome.metadata
        self.counts.update(outcome.counts)

    def _commit(self, step: int, task: _Task) -> None:
        announce = getattr(task.sub_topology, "announce", None)
        if announce is not None:
            topics = self._steps[0].topics  # what it names are raw partitions
            announce([(t, n) for t in topics for n, log in enumerate(self._topic(t)) if log])
        self._take(task, task.sub_topology.before_commit())
        for output in task.pending:
            count = len(output.values)
            keys = [None] * count if output.keys is None else list(output.keys)
            log = self._topic(output.topic)
            numbers: Iterable[int] = repeat(output.partition or 0, count)
            if output.partition is None and len(log) > 1:
                numbers = partitions([key or b"" for key in keys], len(log)).tolist()
            for key, value, number in zip(keys, output.values, numbers, strict=True):
                log[number].append(Record(key, value, self._now))
        task.pending.clear()
        for store in task.stores.values():
            store.commit()
        for partition, offset in task.next.items():
            metadata = task.metadata.get(partition, "")
            self._committed[step, partition] = Position(offset, metadata)

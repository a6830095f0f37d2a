"""The partitions that an engine owns: their positions, offset metadata and stores."""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from confluent_kafka import TopicPartition

from app.runtime.batch import Ranges, ranges
from app.runtime.changelog import Changelogs, Offsets
from app.runtime.clients import Clients
from app.runtime.errors import EngineError
from app.runtime.settings import EngineSettings
from app.runtime.stage import panics_told
from app.runtime.standby import Standby
from app.runtime.start_offsets import StartOffsets
from app.runtime.statistics import EngineStatistics
from app.runtime.store import Store
from app.runtime.stores import MAX_AGE, Moment, Stores
from app.runtime.watchdog import Pulse, Watchdog
from topology.records import Batch, Output, Position, SubTopology
from topology.topics import Partition

log = logging.getLogger("northbound.runtime")

METADATA_BYTES = 4096 - 32
"""The brokers' offset.metadata.max.bytes, without the stamp that is behind it."""
SLOWEST = 20_000
"""Entries a second that a sub-topology reads of its stores at least, on a busy disk."""
PLACE_S = 2.0
"""Seconds of commits that a restart reads again where the store is on disk."""


class Assignment:
    """Positions are the engine's own: last delivered offset + 1, never the consumer's position.

    The consumer's would count records that it handed out and the engine dropped.
    """

    def __init__(
        self,
        settings: EngineSettings,
        sub_topology: SubTopology | None,
        clients: Clients,
        watchdog: Watchdog,
        statistics: EngineStatistics,
    ) -> None:
        self._settings = settings
        self._sub_topology = sub_topology
        self._watchdog = watchdog
        self._statistics = statistics
        self._offsets = Offsets(settings, clients, watchdog)
        self._starts = StartOffsets(settings, self._offsets, watchdog, statistics)
        self._changelogs = Changelogs(settings, clients, self._offsets)
        self._opener = Stores(settings, clients, watchdog)
        self._placed = 0.0
        self._dropped = Moment.now()
        self.standby = Standby(settings, clients, watchdog, statistics)
        self._committed: dict[Partition, Position] = {}
        self._metadata: dict[Partition, str] = {}
        self._kept: dict[tuple[str, int], Store] = {}
        self.next: dict[Partition, int] = {}
        self.stores: dict[tuple[str, int], Store] = {}

    def take(
        self,
        consumer: Any,
        partitions: Sequence[Partition],
        pulse: Pulse,
        cut_off: Collection[Partition] = (),
    ) -> None:
        """Own exactly these partitions, from where the last committed transaction left them.

        `cut_off`: those that may have lost their end, although they reach further by now; the
        consumer goes on to look whether others have. What is committed is asked for first: that
        waits for the offsets of transactions that are being decided, so that nothing is read before
        its predecessor's end is known.
        """
        pulse.beat("reading committed offsets")
        positions = self._starts.positions(consumer, partitions, cut_off)
        epochs = _epochs(consumer, set(partitions) - set(cut_off)) if cut_off else {}
        wanted = self._wanted(partitions)
        if self._dropped.age > MAX_AGE:
            self._kept = {}  # deletions since then may have left the changelog
        known = self.standby.exchange(wanted, self._kept) | self._kept
        self.stores = {where: known[where] for where in wanted if where in known}
        self.stores |= self._opener.open([where for where in wanted if where not in self.stores])
        self._kept = dict(self.stores)
        if self.stores:
            self._count(self._changelogs.restore(self.stores, pulse))
        self._committed = positions
        self.next = {where: position.offset for where, position in positions.items()}
        with self._statistics.lock:
            self._statistics.positions = dict(self.next)
        self.seek(consumer, epochs)
        if self._sub_topology is not None and partitions:
            self._hand_over(self._sub_topology, positions, pulse)
        self._statistics.ready = True

    def exchange(self, sub_topology: SubTopology, pulse: Pulse) -> None:
        """Another sub-topology takes over what is owned, right after a commit."""
        if self._sub_topology is not None:
            self._sub_topology.revoke(list(self.next))
        self._sub_topology = sub_topology
        if self.next:
            self._hand_over(sub_topology, self._positions_now(), pulse)

    def _wanted(self, partitions: Sequence[Partition]) -> list[tuple[str, int]]:
        """The partitions of stores that go with these input partitions."""
        inputs = self._settings.inputs
        numbers = sorted({number for _, number in partitions})
        return [
            (name, number)
            for name, number in product(self._settings.changelogs, numbers)
            if name not in inputs or (inputs[name], number) in partitions
        ]

    def _hand_over(
        self, sub_topology: SubTopology, positions: Mapping[Partition, Position], pulse: Pulse
    ) -> None:
        entries = sum(store.approximate_num_entries() for store in self.stores.values())
        pulse.limit = self._settings.stall_timeout + entries / SLOWEST
        pulse.beat("handing over partitions")
        try:
            with panics_told():
                sub_topology.assign(positions, dict(self.stores))
        except EngineError:
            raise  # the disk's or Kafka's fault: the state is as good as it was
        except Exception as error:
            changelogs = ", ".join(sorted(self._settings.changelogs.values()))
            if not changelogs:
                raise
            raise EngineError(
                f"The state in {changelogs} cannot be taken over: {error}. Nothing was changed. "
                "Start the version of Northbound that wrote it; or, to give up what open windows "
                "have counted so far, stop all workers, delete the topic and create it again "
                "(`northbound topics delete`, `northbound topics create`)."
            ) from error
        pulse.limit = self._settings.stall_timeout

    def drop(self) -> list[Partition]:
        """Forget what was not committed and own nothing; returns what was owned.

        Committed entries of stores are kept for the case that their partitions come back; what is
        on disk is kept there, where other workers may find it.
        """
        dropped = list(self.next)
        if dropped and self._sub_topology is not None:
            self._sub_topology.revoke(dropped)
        for where, store in self.stores.items():
            store.rollback()
            if store.close():
                self._kept.pop(where, None)
        self._dropped = Moment.now()
        self.next, self.stores = {}, {}
        self._committed, self._metadata = {}, {}
        self._starts.clear()
        self._statistics.ready = False
        with self._statistics.lock:
            self._statistics.positions, self._statistics.ends = {}, {}
            self._statistics.watermarks = {}
        return dropped

    def seek(self, consumer: Any, epochs: Mapping[Partition, int] | None = None) -> None:
        """Fetch from the next positions on, whatever was fetched already. `epochs`: of the leaders
        whose records were read last; a log that has lost their end is told."""
        known = epochs or {}
        consumer.assign(
            [
                TopicPartition(*where, at, leader_epoch=known.get(where, -1))
                for where, at in self.next.items()
            ]
        )

    def advance(self, done: Batch, metadata: Mapping[Partition, str]) -> None:
        """These records are done; the metadata goes with the offset commit."""
        for where, (_, last) in ranges(done).items():
            self.next[where] = last + 1
        self._starts.note(done)
        self.annotate(metadata)

    def annotate(self, metadata: Mapping[Partition, str]) -> None:
        """Keep this text with the committed offset of an owned partition."""
        for where, text in metadata.items():
            if len(text.encode()) > METADATA_BYTES:
                raise EngineError(
                    f"Offset metadata of {where[0]} [{where[1]}] has {len(text.encode())} bytes, "
                    f"the brokers take {METADATA_BYTES}."
                )
            if where in self.next:
                self._metadata[where] = text

    def store(self, name: str, number: int) -> Store:
        """An owned partition of a store."""
        try:
            return self.stores[name, number]
        except KeyError:
            raise EngineError(
                f"Engine {self._settings.name} owns no partition {number} of a store {name!r}; "
                f"its stores: {', '.join(self._settings.changelogs) or 'none'}"
            ) from None

    @property
    def progress(self) -> bool:
        """Whether there are offsets or metadata to commit."""
        return bool(self._metadata or self._starts.cut) or any(
            at != self._committed[where].offset for where, at in self.next.items()
        )

    def uncommitted(self) -> Ranges:
        """What was done since the last commit."""
        return {
            where: (self._committed[where].offset, at - 1)
            for where, at in self.next.items()
            if at > self._committed[where].offset
        }

    def offsets(self, *, everything: bool = False) -> list[TopicPartition]:
        """What to commit: changed positions, or all of them, each with its metadata."""
        return [
            self._starts.to_commit(where, position)
            for where, position in self._positions_now().items()
            if everything or where in self._starts.cut or position != self._committed[where]
        ]

    def changes(self) -> Iterable[Output]:
        """The stores' changes, to the changelog partition that has the input's number."""
        for (name, number), store in self.stores.items():
            keys, values = store.changes()
            if keys:
                yield Output(self._settings.changelogs[name], values, keys, number)

    @property
    def place_due(self) -> bool:
        """Whether the position of stores on disk is so old that a restart would read much."""
        local = bool(self.stores) and self._settings.store == "disk"
        return local and time.monotonic() - self._placed > PLACE_S

    def ends(self) -> dict[tuple[str, int], int]:
        """Where the stores' changelogs end now."""
        names = {self._settings.changelogs[name]: name for name in self._settings.changelogs}
        bounds = self._offsets.bounds(
            [(self._settings.changelogs[name], number) for name, number in self.stores]
        )
        return {(names[topic], number): high for (topic, number), (_, high) in bounds.items()}

    def commit(self, ends: Mapping[tuple[str, int], int]) -> None:
        """The transaction was committed.

        `ends` are changelog ends read in the same transaction: up to there all is known.
        """
        self._committed, self._metadata = self._positions_now(), {}
        self._starts.cut.clear()
        for where, store in self.stores.items():
            store.commit(ends.get(where))
        if ends:
            self._placed = time.monotonic()
        with self._statistics.lock:
            self._statistics.positions = dict(self.next)

    def _positions_now(self) -> dict[Partition, Position]:
        return {
            where: Position(at, self._metadata.get(where, self._committed[where].metadata))
            for where, at in self.next.items()
        }

    def _count(self, report: Any) -> None:
        total = self._statistics.restore
        total.runs += report.runs
        total.keys += report.keys
        total.records += report.records
        total.seconds += report.seconds


def _epochs(consumer: Any, partitions: Iterable[Partition]) -> dict[Partition, int]:
    """The epochs of the leaders whose records a consumer has handed out last."""
    found = consumer.position([TopicPartition(*where) for where in partitions])
    return {
        (each.topic, each.partition): each.leader_epoch
        for each in found
        if each.offset >= 0 and each.leader_epoch is not None
    }

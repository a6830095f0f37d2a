"""What passes between the engine and a sub-topology: batches in, outcomes out, plain data only."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.topics import Partition


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one topic as the consumer delivered them; in offset order within each partition.

    All members have one entry per record. `timestamps` are the records' own, in milliseconds since
    the epoch. A value of None is a tick on a raw topic and a tombstone elsewhere.
    """

    topic: str
    partitions: npt.NDArray[np.int32]
    offsets: npt.NDArray[np.int64]
    timestamps: npt.NDArray[np.int64]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Output:
    """Records to write to one topic, in order. `partition` None means by the hash of the key.

    Columns (Binary) cost a third of lists of bytes.
    """

    topic: str
    values: Sequence[bytes | None] | pl.Series
    keys: Sequence[bytes | None] | pl.Series | None = None
    partition: int | None = None


@dataclass(slots=True)
class Outcome:
    """What one batch, or one commit, leads to.

    `metadata` goes into the committed offset of that input partition and comes back in
    `Position.metadata` after a take-over. `counts` are added to the ledger and the metrics.
    `watermarks` are those of raw partitions that moved, in ms since the epoch, for the metrics.
    """

    outputs: list[Output] = field(default_factory=list)
    metadata: dict[Partition, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    watermarks: dict[Partition, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Position:
    """Where work on an input partition goes on: the next offset and what was committed with it."""

    offset: int
    metadata: str = ""


class StoreError(RuntimeError):
    """A store cannot be read: the worker must end, nothing of the batch be committed."""


class KeyValueStore(Protocol):
    """One partition of a state store. Keys and values are bytes; changes commit with the batch.

    Its methods raise StoreError, which no stage may take for a fault of the data.
    """

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def items(self) -> Iterator[tuple[bytes, bytes]]: ...
    def __len__(self) -> int: ...


class SubTopology(Protocol):
    """A stretch of the topology between two topics; one engine, group and transaction each.

    The engine calls these from one thread at a time. After an aborted transaction it calls
    `revoke` and then `assign` with the last committed positions and stores, and delivers again.
    """

    name: str
    stores: Sequence[str]
    """Names of the state stores; each has as many partitions as the input topic."""

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        """Take over input partitions. `stores` holds every (store name, partition) owned now."""

    def revoke(self, partitions: Sequence[Partition]) -> None:
        """Forget everything held in memory for these partitions."""

    def process(self, batch: Batch) -> Outcome:
        """Work on one batch. Never raises for bad data: that becomes a dead letter."""

    def before_commit(self) -> Outcome:
        """Called once before each commit: watermarks, offset metadata and late state changes."""

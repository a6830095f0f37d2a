"""Event-time progress of raw partitions: which rows are late, and how far each partition is.

The watermark of a partition is the greatest event time so far, in offset order, minus the source's
lateness. An event time counts at most up to its record's time stamp, so that a wrong clock in the
future cannot close windows. A tick (a record without a value) counts with its time stamp. Where for
UNTOLD_MS no record told a time, which is where nothing but dead letters comes, records count with
their time stamps less that: nobody ticks on a partition that is not quiet. Nothing here depends on
how records were cut into batches.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from topology.topics import Partition

NOTHING = -(2**63)
"""No event time was seen yet."""
UNTOLD_MS: Final = 60_000
"""By the time stamps of records. As long as others tell a time, those that tell none say nothing of
it: what a sender has buffered is old, and would be late."""
VERSION = "t2"
OLDER = "t1"
"""Metadata without the time stamp up to which times were told."""


class Observed(NamedTuple):
    """Of each raw record: the time that it tells, in ms, or NOTHING; one that only says that time
    passes tells that, too. And the greatest time before it in its partition, or NOTHING."""

    times: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]


class Watermarks:
    """Greatest event time of each owned raw partition, and what changed since the last commit."""

    def __init__(self) -> None:
        self._greatest: dict[Partition, int] = {}
        self._told: dict[Partition, int] = {}
        self._changed: set[Partition] = set()

    def assign(self, partition: Partition, metadata: str) -> None:
        """Continue from the metadata of a committed offset; empty starts anew."""
        self._greatest[partition], self._told[partition] = _read(metadata)
        self._changed.add(partition)

    def revoke(self, partition: Partition) -> None:
        """Forget a partition that another worker continues."""
        self._greatest.pop(partition, None)
        self._told.pop(partition, None)
        self._changed.discard(partition)

    def observe_raw(
        self,
        topic: str,
        partitions: npt.NDArray[np.int32],
        times: npt.NDArray[np.int64],
        timestamps: npt.NDArray[np.int64],
    ) -> Observed:
        """As `observe`, of raw records. `timestamps` are theirs, in ms."""
        told = self._told_by(topic, partitions, times, timestamps)
        return Observed(told, self.observe(topic, partitions, told))

    def observe(
        self,
        topic: str,
        partitions: npt.NDArray[np.int32],
        times: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """Advance by one batch; the greatest time before each record in its partition, in ms.

        `times` has one entry per record: the event time capped at the record's time stamp, or
        NOTHING. The result is NOTHING where nothing came before.
        """
        before = np.empty(len(times), dtype=np.int64)
        for owner, rows in _rows(partitions):
            partition = (topic, owner)
            first = self._greatest.get(partition, NOTHING)
            running = np.maximum.accumulate(np.concatenate(([first], times[rows])))
            before[rows] = running[:-1]
            last = int(running[-1])
            if last != first:
                self._greatest[partition] = last
                self._changed.add(partition)
        return before

    def greatest(self, partition: Partition) -> int:
        """How far event time is on an owned partition, in ms, or NOTHING."""
        return self._greatest.get(partition, NOTHING)

    def changes(self) -> dict[Partition, int]:
        """Greatest event time of each partition that moved since the last call."""
        out = {partition: self._greatest[partition] for partition in sorted(self._changed)}
        self._changed.clear()
        return out

    def metadata(self, partition: Partition) -> str:
        """What goes into the committed offset, so that a take-over continues here."""
        greatest, told = self.greatest(partition), self._told.get(partition, NOTHING)
        if told == NOTHING:
            return f"{OLDER}:{greatest}"
        return f"{VERSION}:{greatest}:{told}"

    def _told_by(
        self,
        topic: str,
        partitions: npt.NDArray[np.int32],
        times: npt.NDArray[np.int64],
        timestamps: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.int64]:
        """`times` with those of records that only say that time passes."""
        telling = times != NOTHING
        every = bool(telling.all())
        found = times if every else times.copy()
        for owner, rows in _rows(partitions):
            partition, stamps = (topic, owner), timestamps[rows]
            first = self._told.get(partition, NOTHING)
            if first == NOTHING:
                first = int(stamps[0])
            if every:
                self._told[partition] = max(first, int(stamps.max()))
                continue
            own = np.where(telling[rows], stamps, NOTHING)
            running = np.maximum.accumulate(np.concatenate(([first], own)))
            self._told[partition] = int(running[-1])
            passed = ~telling[rows] & (stamps - running[:-1] > UNTOLD_MS)
            found[rows] = np.where(passed, stamps - UNTOLD_MS, times[rows])
        return found


def _rows(
    partitions: npt.NDArray[np.int32],
) -> Iterator[tuple[int, slice | npt.NDArray[np.int64]]]:
    """Each partition of a batch, and its rows."""
    owners = np.unique(partitions).tolist()
    for owner in owners:
        yield owner, slice(None) if len(owners) == 1 else np.flatnonzero(partitions == owner)


def _read(metadata: str) -> tuple[int, int]:
    """The greatest event time, and the time stamp up to which times were told."""
    version, *values = metadata.split(":")
    if version not in (VERSION, OLDER):
        return NOTHING, NOTHING
    greatest, *told = map(int, values)
    return greatest, told[0] if told else NOTHING

"""Event-time progress of raw partitions: which rows are late, and how far each partition is.

The watermark of a partition is the greatest event time so far, in offset order, minus the source's
lateness. An event time counts at most up to its record's time stamp, so that a wrong clock in the
future cannot close windows. A tick (a record without a value) counts with its time stamp. Nothing
here depends on how records were cut into batches.
"""

import numpy as np
import numpy.typing as npt

from topology.topics import Partition

NOTHING = -(2**63)
"""No event time was seen yet."""
VERSION = "t1"


class Watermarks:
    """Greatest event time of each owned raw partition, and what changed since the last commit."""

    def __init__(self) -> None:
        self._greatest: dict[Partition, int] = {}
        self._changed: set[Partition] = set()

    def assign(self, partition: Partition, metadata: str) -> None:
        """Continue from the metadata of a committed offset; empty starts anew."""
        self._greatest[partition] = _read(metadata)
        self._changed.add(partition)

    def revoke(self, partition: Partition) -> None:
        """Forget a partition that another worker continues."""
        self._greatest.pop(partition, None)
        self._changed.discard(partition)

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
        owners = np.unique(partitions)
        for owner in owners:
            rows = slice(None) if len(owners) == 1 else np.flatnonzero(partitions == owner)
            partition = (topic, int(owner))
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
        return f"{VERSION}:{self._greatest.get(partition, NOTHING)}"


def _read(metadata: str) -> int:
    version, _, value = metadata.partition(":")
    return int(value) if version == VERSION else NOTHING

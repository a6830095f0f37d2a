"""Remembers, beyond the end of the process, which records were in work when it ended.

A record can end a process without raising (out of memory, a crash in native code, a hang that the
watchdog ends). The mark is written into a mapped file, 10 µs a batch and no system call, and
survives any end of the process. Records that were in work at the second end in a row come in small
batches, at the third one by one; a record that was alone each time up to the fifth is rejected.
"""

import json
import math
import mmap
import os
import struct
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.runtime.batch import Ranges, cut, runs
from app.runtime.errors import EngineError
from topology.records import Batch
from topology.topics import Partition

HALF = 1 << 16
LENGTH = struct.Struct("<I")
SMALL, SINGLE, REJECT = 2, 3, 5


@dataclass(frozen=True, slots=True)
class Suspect:
    """Records `first` to `last` of a partition, in work at `ends` ends of a process in a row."""

    first: int
    last: int
    ends: int

    @property
    def limit(self) -> int | None:
        """How many of them may be in work at once; None sets no limit."""
        if self.ends < SMALL:
            return None
        return math.isqrt(self.last - self.first) + 1 if self.ends < SINGLE else 1

    @property
    def rejected(self) -> bool:
        """Whether this is one record that does not get another chance."""
        return self.first == self.last and self.ends >= REJECT


class InFlight:
    """The mark file of one engine, for one process at a time. Without a file nothing outlives.

    Raises EngineError when there is no room for the file.
    """

    def __init__(self, file: Path | None) -> None:
        if file is None:
            self._map = mmap.mmap(-1, 2 * HALF)
        else:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("a+b") as opened:
                    # All blocks now: a write into a hole of the map would be SIGBUS on a full disk.
                    os.posix_fallocate(opened.fileno(), 0, 2 * HALF)
                    self._map = mmap.mmap(opened.fileno(), 2 * HALF)
            except OSError as error:
                raise EngineError(
                    f"Cannot keep the worker's state in {file.parent}: {error.strerror or error}. "
                    "Free some space, or set workers.state in northbound.yaml to another directory."
                ) from error
        self.suspects = _merge(self._read(HALF), self._read(0))
        self._write(HALF, self.suspects)
        self.end()

    def begin(self, work: Ranges) -> None:
        """These records are in work from now on."""
        self._write(0, {where: Suspect(first, last, 1) for where, (first, last) in work.items()})

    def end(self) -> None:
        """Nothing is in work."""
        LENGTH.pack_into(self._map, 0, 0)

    def suspects_among(self, partitions: Container[Partition]) -> bool:
        """Whether records of these are suspect. Others are for their owners to find out about."""
        return any(where in partitions for where in self.suspects)

    def settle(self, positions: Mapping[Partition, int]) -> None:
        """What lies before these committed positions is beyond suspicion."""
        if not self.suspects:
            return
        for where, position in positions.items():
            suspect = self.suspects.get(where)
            if suspect is not None and suspect.last < position:
                del self.suspects[where]
                self._write(HALF, self.suspects)

    def pieces(self, batch: Batch) -> Iterator[tuple[Batch, bool]]:
        """The batch in parts that may be in work at once, and whether a part is rejected."""
        limits = self._limits(batch)
        if limits is None:
            yield batch, False
            return
        start = 0
        while start < len(batch):
            limit = int(limits[start])
            end = start + 1
            while end < len(batch) and limits[end] == limit and (not limit or end - start < limit):
                end += 1
            part = cut(batch, start, end)
            yield part, limit == 1 and self._rejected(part)
            start = end

    def _rejected(self, part: Batch) -> bool:
        suspect = self.suspects.get((part.topic, int(part.partitions[0])))
        return suspect is not None and suspect.rejected and suspect.first == part.offsets[0]

    def _limits(self, batch: Batch) -> npt.NDArray[np.int64] | None:
        """For each row the size of its part, 0 for no limit; None when no row has one."""
        if not self.suspects:
            return None
        limits = np.zeros(len(batch), np.int64)
        for run in runs(batch.partitions):
            suspect = self.suspects.get((batch.topic, run.partition))
            if suspect is not None and suspect.limit is not None:
                offsets = batch.offsets[run.start : run.stop]
                inside = (offsets >= suspect.first) & (offsets <= suspect.last)
                limits[run.start : run.stop][inside] = suspect.limit
        return limits if limits.any() else None

    def _write(self, place: int, entries: Mapping[Partition, Suspect]) -> None:
        text = json.dumps(
            [(topic, part, s.first, s.last, s.ends) for (topic, part), s in entries.items()]
        ).encode()
        if len(text) > HALF - LENGTH.size:
            text = b"[]"  # some thousand partitions in one batch: no mark is better than half of it
        LENGTH.pack_into(self._map, place, 0)
        start = place + LENGTH.size
        self._map[start : start + len(text)] = text
        # The length comes last, so that a mark is either whole or not there.
        LENGTH.pack_into(self._map, place, len(text))

    def _read(self, place: int) -> dict[Partition, Suspect]:
        (length,) = LENGTH.unpack_from(self._map, place)
        start = place + LENGTH.size
        try:
            rows = json.loads(self._map[start : start + length]) if length else []
            return {(topic, part): Suspect(*numbers) for topic, part, *numbers in rows}
        except (ValueError, TypeError):
            return {}


def _merge(
    before: Mapping[Partition, Suspect], last: Mapping[Partition, Suspect]
) -> dict[Partition, Suspect]:
    """Suspects after another end: those that were in work again are narrowed to what overlaps."""
    merged = dict(before)
    for where, work in last.items():
        known = before.get(where)
        if known is not None and work.first <= known.last and known.first <= work.last:
            first, end = max(work.first, known.first), min(work.last, known.last)
            merged[where] = Suspect(first, end, known.ends + 1)
        else:
            merged[where] = work
    return merged

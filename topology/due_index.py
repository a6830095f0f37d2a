"""When groups that are not in memory are due: about 12 bytes a group beside its key.

Sorted runs, each of times and of keys packed into one bytes object; a run goes when it is used up.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(slots=True)
class _Run:
    """`ends[i]`: where key i ends in `keys`; `taken`: how many were given out."""

    times: npt.NDArray[np.int64]
    ends: npt.NDArray[np.uint32]
    keys: bytes
    taken: int = 0

    def take(self, stop: int) -> list[bytes]:
        start, self.taken = self.taken, stop
        ends = self.ends[start:stop].tolist()
        at = int(self.ends[start - 1]) if start else 0
        found = []
        for end in ends:
            found.append(self.keys[at:end])
            at = end
        return found


class DueIndex:
    """Keys by due time. A key may be in it more than once."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []

    def __len__(self) -> int:
        return sum(len(run.times) - run.taken for run in self._runs)

    def add(self, times: Sequence[int], keys: Sequence[bytes]) -> None:
        """Add keys with their due times (ms); together less than 4 GiB of keys."""
        if not keys:
            return
        moments = np.array(times, dtype=np.int64)
        order = np.argsort(moments, kind="stable")
        ordered = [keys[place] for place in order.tolist()]
        lengths = np.fromiter(map(len, ordered), np.uint32, len(ordered))
        ends = np.cumsum(lengths, dtype=np.uint32)
        self._runs.append(_Run(moments[order], ends, b"".join(ordered)))

    def take(self, watermark: int, limit: int) -> list[bytes]:
        """Remove and return about `limit` keys that are due before the watermark, early ones first.

        Empty when there are no more.
        """
        found: list[bytes] = []
        for run in self._runs:
            stop = int(np.searchsorted(run.times, watermark))
            if run.taken < stop:
                found += run.take(min(stop, run.taken + limit))
        self._runs = [run for run in self._runs if run.taken < len(run.times)]
        return found

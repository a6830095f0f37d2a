"""Partials of many groups in one record: where the parts of each are in it."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from schemas import packed, packed_columns
from topology.keys import group_of

Numbers = npt.NDArray[np.int64]


class PartialBatch(NamedTuple):
    """A decoded PartialBatch: Partials of one rule of one tenant, with the places of their parts.

    `counts` are matches. `endings`, `times`, `uids` and `values` are where the parts begin and how
    long they are, in `content`; those of `times` in bytes.
    """

    tenant: str
    rule: str
    source: str
    content: bytes
    counts: Numbers
    endings: tuple[Numbers, Numbers]
    times: tuple[Numbers, Numbers]
    uids: tuple[Numbers, Numbers]
    values: tuple[Numbers, Numbers]

    def keys(self) -> list[bytes]:
        """The keys of all groups."""
        content, (starts, sizes) = self.content, self.endings
        beginning = f"{self.tenant}\0{self.rule}".encode()
        places = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        return [beginning + content[first:end] for first, end in places]

    def members(self, row: int) -> tuple[bytes, bytes, bytes]:
        """Times, uids and values of a Partial."""
        times, uids, values = (
            self.content[int(starts[row]) : int(starts[row] + sizes[row])]
            for starts, sizes in (self.times, self.uids, self.values)
        )
        return times, uids, values

    def alone(self, row: int) -> bytes:
        """A Partial as a record of its own."""
        (starts, sizes), source = self.endings, packed.text(self.source)
        ending = self.content[int(starts[row]) : int(starts[row] + sizes[row])]
        group = group_of(f"{self.tenant}\0{self.rule}".encode() + ending)[2]
        head = packed.head("Partial", self.tenant, self.rule, group)
        return packed.partial(head, (*self.members(row), b""), source)

    def only(self, rows: Numbers) -> "PartialBatch":
        """A PartialBatch of some of the Partials."""
        columns = (self.endings, self.times, self.uids, self.values)
        endings, times, uids, values = (
            packed_columns.slices(self.content, starts[rows], sizes[rows]).to_list()
            for starts, sizes in columns
        )
        numbers = (self.endings[1], self.counts, self.uids[1], self.values[1])
        sizes = np.stack([column[rows] for column in numbers], 1).astype("<u4")
        members = (
            sizes.tobytes(),
            b"".join(endings),
            b"".join(times),
            b"\n".join(uids),
            b"".join(values),
        )
        source = packed.text(self.source)
        return read(packed.partial_batch(self.tenant, self.rule, source, members))

    def spans(self) -> tuple[Numbers, Numbers]:
        """The first and the last time (ms) of each Partial."""
        starts, sizes = self.times
        size = int(sizes.sum())
        times = np.frombuffer(self.content, "<i8", size // 8, int(starts[0])).astype(np.int64)
        ends = np.cumsum(self.counts)
        return times[ends - self.counts], times[ends - 1]


def read(value: bytes) -> PartialBatch:
    """Decode a PartialBatch. Raises ValueError or IndexError when it is not whole."""
    tenant, rule, source, spans = packed.read_partial_batch(value)
    (first, end), groups, times, uids, values = spans
    sizes = np.frombuffer(value[first:end], "<u4").reshape(-1, 4).astype(np.int64)
    places = []
    for (start, stop), column, gap in (
        (groups, sizes[:, 0], 0),
        (times, sizes[:, 1] * 8, 0),
        (uids, sizes[:, 2], 1),
        (values, sizes[:, 3], 0),
    ):
        ends = start + np.cumsum(column + gap)
        if not len(column) or ends[-1] - gap != stop:
            raise ValueError("the sizes of a PartialBatch are not those of what it holds")
        places.append((ends - column - gap, column))
    if not sizes[:, 1].all():
        raise ValueError("a PartialBatch has a group without matches")
    return PartialBatch(tenant, rule, source, value, sizes[:, 1], *places)

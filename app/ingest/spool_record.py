"""A record of a spool's segment: a batch of one sender, as header, key, lengths and lines.

A CRC covers all but the header's first field, so that what is torn or damaged is known.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import BinaryIO, Final, NamedTuple

import numpy as np

from app.ingest.batch import Batch, KeyBy

HEADER: Final = struct.Struct("<IIIHBxQ")
"""CRC-32, bytes after the header, messages, bytes of the key, place in KEYS, reception in ms."""
KEYS: Final[tuple[KeyBy, ...]] = ("peer", "host", "spread")
"""What records are keyed by; a number here never changes."""


class Record(NamedTuple):
    """`batch` is None where it is damaged; then `messages` are lost. `end`: offset behind it."""

    batch: Batch | None
    messages: int
    end: int


def records(file: BinaryIO, offset: int, size: int) -> Iterator[Record]:
    """Those of a segment of `size` bytes from an offset on, up to its end or to where it is torn.

    A damaged one that others follow is passed over, so that it takes none of them with it.
    """
    found = _record(file, offset, size)
    while found is not None:
        following = _record(file, found.end, size)
        if found.batch is None and (following is None or following.batch is None):
            return
        yield found
        found = following


def _record(file: BinaryIO, offset: int, size: int) -> Record | None:
    """None where there is not all of one: it is torn, or its length is none."""
    file.seek(offset)
    head = file.read(HEADER.size)
    if len(head) < HEADER.size:
        return None
    crc, length, count, key_size, by, timestamp = HEADER.unpack(head)
    end = offset + HEADER.size + length
    if end > size:
        return None
    body = file.read(length)
    if zlib.crc32(body, zlib.crc32(head[4:])) != crc:
        return Record(None, count if key_size + 4 * count <= length else 1, end)
    start = key_size + 4 * count
    lengths = np.frombuffer(body, np.uint32, count, key_size).tolist()
    edges = accumulate(lengths, initial=start)
    lines = [body[first:last] for first, last in pairwise(edges)]
    return Record(Batch(lines, body[:key_size] or None, KEYS[by], None, timestamp), count, end)


def packed(batch: Batch) -> bytes:
    """A batch as a record."""
    key = b"" if batch.key is None or batch.by == "spread" else batch.key
    lines: Sequence[bytes] = batch.lines
    lengths = np.fromiter(map(len, lines), np.uint32, len(lines)).tobytes()
    body = b"".join((key, lengths, *lines))
    by = KEYS.index(batch.by)
    head = HEADER.pack(0, len(body), len(lines), len(key), by, batch.timestamp)
    return struct.pack("<I", zlib.crc32(body, zlib.crc32(head[4:]))) + head[4:] + body

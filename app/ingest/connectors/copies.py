"""Whether a file is a copy of one that is followed, as copytruncate makes it. Blocks; no Kafka."""

import os
from contextlib import suppress
from pathlib import Path

from app.ingest.connectors.tail import HEAD, Tail


def copies(fd: int, path: str, tail: Tail) -> bool:
    """Whether a file has what a followed one has, or the beginning of it, and no more."""
    if tail.fd is None:
        return False
    size = os.fstat(fd).st_size
    if not tail.place.offset and size < HEAD and not named_like(path, tail.path):
        return False  # it may be a header, and nothing is read of either
    same = size > 0 and size <= _size(tail.fd, tail.path, size)
    same = same and all(
        os.pread(fd, HEAD, at)[: size - at] == os.pread(tail.fd, HEAD, at)[: size - at]
        for at in (0, max(0, size - HEAD))
    )
    # Emptied this moment: the next look compares with what was read of it.
    return same or not tail.intact()


def named_like(path: str, original: str) -> bool:
    """Whether a name is that of a copy, as rotation gives it."""
    return Path(path).name.startswith(Path(original).stem)


def _size(fd: int, path: str, least: int) -> int:
    """The size of a file. An NFS client may know an old one; it asks when the file is opened."""
    size = os.fstat(fd).st_size
    if size < least:
        with suppress(OSError):
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        size = os.fstat(fd).st_size
    return size

"""The content of one file that is followed: where it has been read to, and whether it is still it.

A file's name and inode both change owners: rotation renames, copytruncate copies and empties, and a
file system gives the inode of a removed file to the next one. So a place in a content is recognized
by the bytes before it and by the first bytes of the file, and looked for where inode or name say.
"""

import os
import time
from collections import deque
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from app.ingest.connectors.cutting import Cut, cut
from app.ingest.framing import Oversize

if TYPE_CHECKING:
    from app.ingest.batch import Receipt

BLOCK: Final = 1 << 20
HEAD: Final = 1024
"""First bytes of a file that tell it from others."""
BEFORE: Final = 64
"""Bytes before a place that are remembered with it."""
EMPTY: Final = (0, blake2b(b"", digest_size=16).hexdigest())
"""The head of a file of which nothing is known."""

Identity: TypeAlias = tuple[int, int]
"""Device and inode."""


class Place(NamedTuple):
    """A place in a content. `inside`: within a line above the limit; `before`: the bytes there."""

    offset: int = 0
    inside: bool = False
    before: bytes = b""


class Changed(Exception):  # noqa: N818  # no error: a file was emptied, or replaced in place
    """The file no longer has what was read of it."""


class Tail:
    """One content. `fd` is None while its file is not there or not found.

    `place` is where it has been read to, `acked` where Kafka has all lines to.
    """

    __slots__ = (
        "acked",
        "fd",
        "head",
        "identity",
        "idle",
        "key",
        "named",
        "path",
        "pending",
        "place",
        "quiet_since",
        "seen",
    )

    def __init__(self, path: str) -> None:
        self.path = path
        self.key = path.encode(errors="surrogateescape")
        self.fd: int | None = None
        self.identity: Identity = (0, 0)
        self.place = self.acked = Place()
        self.head = EMPTY
        self.pending: deque[tuple[Receipt | None, Place]] = deque()
        self.idle = (-1, 0)  # size and time of change when last there was nothing to read
        self.named = True
        self.quiet_since = time.monotonic()
        self.seen = time.time()

    def attach(self, fd: int, identity: Identity, path: str) -> None:
        """The content is in this file."""
        self.fd, self.identity, self.path = fd, identity, path
        self.idle = (-1, 0)

    def detach(self) -> None:
        """The content is no longer in its file."""
        fd, self.fd = self.fd, None  # whatever closing it says, its number is another file's next
        if fd is not None:
            with suppress(OSError):
                os.close(fd)

    def intact(self) -> bool:
        """Whether its file still has what was read."""
        return self.fd is not None and has(self.fd, self.place)

    def read(self, limit: int, oversize: Oversize, *, ended: bool = False) -> Cut | None:
        """The next lines, None if there are none yet. `ended`: nobody writes any more, so that the
        end of the file ends its last line. Raises Changed, OSError."""
        assert self.fd is not None  # noqa: S101  # asked of attached ones only
        status = os.fstat(self.fd)
        now = (status.st_size, status.st_mtime_ns)
        if now == self.idle and not ended:
            return None
        offset, inside, before = self.place
        most = max(BLOCK, limit + 1)
        block = os.pread(self.fd, len(before) + most, offset - len(before))
        if status.st_size < offset or not block.startswith(before):
            raise Changed
        block = block[len(before) :]
        found = cut(block, limit, oversize, inside=inside)
        if ended and block and not found.used:
            found = cut(block + b"\n", limit, oversize, inside=inside)._replace(used=len(block))
        if not found.used:
            self.idle = now
            return None
        read = before + block[: found.used] if found.used < BEFORE else block[: found.used]
        place = Place(offset + found.used, found.inside, read[-BEFORE:])
        if self.head[0] < HEAD:
            self.head = head(self.fd, min(place.offset, HEAD))
        self.place = place  # last: where the file cannot be read, nothing was
        self.quiet_since = time.monotonic()
        return found

    def rewind(self) -> None:
        """What was read and not handed over is read again."""
        self.place = self.pending[-1][1] if self.pending else self.acked
        self.idle = (-1, 0)

    def settle(self) -> None:
        """Some receipt is done: move `acked` on as far as all before it are done."""
        pending = self.pending
        while pending and (pending[0][0] is None or pending[0][0].done):
            self.acked = pending.popleft()[1]

    def as_dict(self) -> dict[str, Any]:
        """For the checkpoint: where to go on after a kill."""
        device, inode = self.identity
        return {
            "path": self.path,
            "device": device,
            "inode": inode,
            "offset": self.acked.offset,
            "inside": self.acked.inside,
            "before": self.acked.before.hex(),
            "head_bytes": self.head[0],
            "head": self.head[1],
            "key": self.key.hex(),
            "seen": self.seen,
        }

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> "Tail":
        """Out of a checkpoint. Raises KeyError, ValueError, TypeError."""
        tail = cls(str(saved["path"]))
        before = bytes.fromhex(saved["before"])
        tail.place = tail.acked = Place(int(saved["offset"]), bool(saved["inside"]), before)
        tail.identity = int(saved["device"]), int(saved["inode"])
        tail.head = int(saved["head_bytes"]), str(saved["head"])
        tail.key = bytes.fromhex(saved["key"])
        tail.seen = float(saved["seen"])
        return tail


def has(fd: int, place: Place) -> bool:
    """Whether a file has the bytes before a place."""
    size = len(place.before)
    return os.pread(fd, size, place.offset - size) == place.before


def head(fd: int, size: int) -> tuple[int, str]:
    """What tells a file from others: a size, and a digest of so many first bytes."""
    data = os.pread(fd, size, 0)
    return len(data), blake2b(data, digest_size=16).hexdigest()

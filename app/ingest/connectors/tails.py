"""All files of a file connector: found, recognized, read in turn. Blocks; no Kafka.

In this order at every look, because copytruncate first copies a file and then empties it:
contents that are no longer in their files are let go, then new files are looked at, then files are
read. A new file is

- a content that is known, by its inode, by what it begins with and by the bytes before the place:
  it goes on from there, whatever it is called now;
- a copy of a file that is followed: it waits, until it differs (then it is a file of its own) or
  the original is emptied (then it goes on where that had been read to);
- or else a new content.
"""

import glob
import logging
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from app.ingest.connectors.copies import copies, named_like
from app.ingest.connectors.cutting import Cut
from app.ingest.connectors.tail import (
    BEFORE,
    BLOCK,
    HEAD,
    Changed,
    Identity,
    Place,
    Tail,
    has,
    head,
)
from app.ingest.framing import Oversize

log = logging.getLogger(__name__)

COMPRESSED: Final = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".Z", ".zip")
ROTATED_S: Final = 60.0
"""A file that the paths no longer name, or that was removed, is followed until it is quiet for so
long: its writer may not have noticed."""
FORGET_S: Final = 30 * 86_400.0
"""A content is remembered for so long after it was last seen."""
LISTED: Final = 5
"""Times that a folder is listed again, at most, while files in it are renamed."""
LOOK_BYTES: Final = 8 << 20
"""Read at one look, so that a checkpoint and a stop need not wait for a large backlog."""


class Piece(NamedTuple):
    """Lines of one content; `place` is behind them."""

    tail: Tail
    cut: Cut
    place: Place


class Found(NamedTuple):
    """A file that is there. `changed`: when, in ns since the epoch."""

    changed: int
    path: str
    identity: Identity

    @classmethod
    def of(cls, path: str, status: os.stat_result) -> "Found":
        """What stat says of it."""
        return cls(status.st_mtime_ns, path, (status.st_dev, status.st_ino))


class Tails:
    """`look` finds and reads. `tails` are followed now, `away` are known but not there."""

    def __init__(
        self,
        paths: Sequence[str],
        limit: int,
        oversize: Oversize,
        *,
        known: Sequence[Tail] = (),
        begin_at_end: bool = False,
        rotated_s: float = ROTATED_S,
    ) -> None:
        self.tails: dict[Identity, Tail] = {}
        self.away: list[Tail] = list(known)
        self.more = False
        """Whether there was more to read than one look takes."""
        self.truncated = 0
        """Times that a file was emptied."""
        self._paths = paths
        self._limit = limit
        self._oversize: Oversize = oversize
        self._at_end = begin_at_end
        self._rotated_s = rotated_s
        self._said: set[str] = set()

    @property
    def contents(self) -> list[Tail]:
        """All that are to be remembered."""
        return [*self.tails.values(), *self.away]

    def look(self) -> list[Piece]:
        """What there is to read now, in order for each content, old files first."""
        for tail in list(self.tails.values()):
            self._check(tail)
        self._find()
        return self._read()

    def close(self) -> None:
        """Let go of all files."""
        for tail in self.tails.values():
            tail.detach()

    def _check(self, tail: Tail) -> None:
        """Let go of a content that its file does not have any more."""
        try:
            if tail.intact():
                return
        except OSError as error:  # ESTALE: removed on an NFS server, or the mount is gone
            self._say(tail.path, f"cannot be read: {error.strerror}")
            self._let_go(tail)
            return
        self.truncated += 1
        log.info("A file was emptied, and is read from its beginning. path=%s", tail.path)
        self._let_go(tail)

    def _let_go(self, tail: Tail) -> None:
        tail.detach()
        tail.quiet_since = time.monotonic()
        self.tails.pop(tail.identity, None)
        if tail.place.offset:
            self.away.append(tail)

    def _find(self) -> None:
        files = self._there()
        if any(each.identity not in self.tails for each in files):
            files = self._settled(files)
        named = {each.identity for each in files}
        if self.away:  # a file may have got a name that no path of ours matches
            files += [each for each in self._beside() if each.identity not in named]
        fresh = []
        for _, path, identity in sorted(files):  # the longest unchanged first
            tail = self.tails.get(identity)
            if tail is None:
                fresh.append((identity, path))
            else:
                tail.path = path
                tail.seen = time.time()
        known = {tail.identity[1] for tail in self.away}
        fresh.sort(key=lambda each: each[0][1] not in known)
        for identity, path in fresh:
            found = self._open(identity, path, named=identity in named)
            if found is not None:
                self.tails[identity] = found
        for identity, tail in self.tails.items():
            self.tails[identity] = self._remembered(tail)
            self.tails[identity].named = identity in named
        self._at_end = False
        oldest = time.time() - FORGET_S
        self.away = [tail for tail in self.away if tail.seen > oldest]

    def _settled(self, files: list[Found]) -> list[Found]:
        """The files once two looks at their names are alike. A file that is renamed while its
        folder is listed is not in the list; its successor is, and would be read before it."""
        for _ in range(LISTED):
            before, files = files, self._there()
            if {each[1:] for each in before} == {each[1:] for each in files}:
                break
        return files

    def _there(self) -> list[Found]:
        """Files that the paths name now."""
        found = []
        for pattern in self._paths:
            for path in glob.iglob(pattern, recursive=True):  # noqa: PTH207  # the pattern is absolute
                try:
                    status = os.stat(path)  # noqa: PTH116  # in a loop
                except OSError:
                    continue  # gone in between
                if not stat.S_ISREG(status.st_mode):
                    continue
                if path.endswith(COMPRESSED):
                    self._say(path, "is compressed and left out")
                    continue
                found.append(Found.of(path, status))
        return found

    def _beside(self) -> list[Found]:
        """Regular files in the folders of files that went away lately."""
        lately = time.monotonic() - self._rotated_s
        found = []
        folders = {str(Path(tail.path).parent) for tail in self.away if tail.quiet_since > lately}
        for folder in folders:
            try:
                with os.scandir(folder) as entries:
                    found += [
                        Found.of(entry.path, entry.stat())
                        for entry in entries
                        if entry.is_file() and not entry.name.endswith(COMPRESSED)
                    ]
            except OSError:
                continue
        return found

    def _open(self, identity: Identity, path: str, *, named: bool) -> Tail | None:
        """The content of a file that is not followed yet; None for none of ours, or not yet."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                tail = None
                if _is(fd, identity):  # else it was renamed meanwhile: the next look knows more
                    tail = self._recognize(fd, identity, path, named=named)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            if named:
                self._say(path, f"cannot be read: {error.strerror}")
            return None
        if tail is None:
            os.close(fd)
            return None
        tail.attach(fd, identity, path)
        if not tail.place.offset and self._at_end:
            tail.place = tail.acked = _end(fd)
            tail.head = head(fd, min(tail.place.offset, HEAD))
        tail.seen = time.time()
        self._said.discard(path)
        return tail

    def _recognize(self, fd: int, identity: Identity, path: str, *, named: bool) -> Tail | None:
        known = self._known(fd, identity, path)
        if known is not None:
            return known
        if not named or any(copies(fd, path, tail) for tail in self.tails.values()):
            return None
        return Tail(path)

    def _remembered(self, tail: Tail) -> Tail:
        """What a followed file of which nothing has been read holds now: it may be a copy that was
        there before its first byte, of a file that has been emptied since."""
        known = None
        if tail.fd is not None and not tail.place.offset:
            with suppress(OSError):  # the next look says what it is
                known = self._known(tail.fd, tail.identity, tail.path)
        if tail.fd is None or known is None:
            return tail
        known.attach(tail.fd, tail.identity, tail.path)
        known.seen = tail.seen
        return known

    def _known(self, fd: int, identity: Identity, path: str) -> Tail | None:
        """The content that went away and is in this file; no longer away then."""
        candidates = sorted(self.away, key=lambda tail: tail.identity[1] != identity[1])
        for tail in candidates:
            if self._may_be(tail, identity, path) and _fits(fd, tail):
                self.away.remove(tail)
                return tail
        return None

    def _waits(self, tail: Tail) -> bool:
        """Whether a file of which nothing has been read is a copy by now; it was empty before."""
        if tail.fd is None or tail.place.offset:
            return False
        sure = os.fstat(tail.fd).st_size >= HEAD
        return any(
            copies(tail.fd, tail.path, other)
            for other in self.tails.values()
            if other.place.offset and (sure or named_like(tail.path, other.path))
        )

    def _may_be(self, tail: Tail, identity: Identity, path: str) -> bool:
        """Whether what the file begins with can say that it is a content that went away.

        In another inode it must be more than a header that files of the same kind begin with, or
        the file be named like a copy of one that has been emptied.
        """
        if tail.identity[1] == identity[1] or tail.place.offset >= HEAD:
            return True
        emptied = self.tails.get(tail.identity)
        return emptied is not None and named_like(path, emptied.path)

    def _read(self) -> list[Piece]:
        pieces: list[Piece] = []
        left = LOOK_BYTES
        self.more = False
        for identity, tail in list(self.tails.items()):
            while left > 0:
                try:
                    found = None if self._waits(tail) else self._next(tail)
                except (Changed, OSError):
                    break  # the next look says what it is
                if found is None:
                    break
                left -= found.used
                pieces.append(Piece(tail, found, tail.place))
            else:
                self.more = True
                break
            if self._left(tail) and not tail.pending and tail.fd is not None:
                if _linked(tail.fd):
                    self.away.append(tail)  # an NFS server may show it again
                tail.detach()
                del self.tails[identity]
        return pieces

    def _next(self, tail: Tail) -> Cut | None:
        """Its next lines; its last one, too, that has no end, once nobody writes it any more."""
        found = tail.read(self._limit, self._oversize)
        if found is None and self._left(tail):
            found = tail.read(self._limit, self._oversize, ended=True)
        return found

    def _left(self, tail: Tail) -> bool:
        """Whether its writer has gone over to another file."""
        return not tail.named and time.monotonic() - tail.quiet_since > self._rotated_s

    def _say(self, path: str, what: str) -> None:
        """Once for each file."""
        if path not in self._said:
            self._said.add(path)
            log.warning("A file %s. path=%s", what, path)


def _is(fd: int, identity: Identity) -> bool:
    """Whether a file is the one that had its name when it was listed."""
    status = os.fstat(fd)
    return (status.st_dev, status.st_ino) == identity


def _linked(fd: int) -> bool:
    """Whether a file has a name somewhere; one of an NFS server that knows it no more has none."""
    try:
        return os.fstat(fd).st_nlink > 0
    except OSError:
        return False


def _fits(fd: int, tail: Tail) -> bool:
    """Whether a file has the content of `tail`."""
    size, _ = tail.head
    return head(fd, size) == tail.head and has(fd, tail.place)


def _end(fd: int) -> Place:
    """The place behind the last line of a file."""
    begin = os.fstat(fd).st_size
    while begin > 0:
        size = min(begin, BLOCK)
        begin -= size
        if found := os.pread(fd, size, begin).rfind(b"\n") + 1:
            offset = begin + found
            size = min(offset, BEFORE)
            return Place(offset, before=os.pread(fd, size, offset - size))
    return Place()

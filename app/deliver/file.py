"""Files with a record a line: a record is delivered once its file is synced to disk.

The newest file has the name given; a full one becomes NAME.1, what was NAME.1 becomes NAME.2, and
so on; the oldest are removed. A line that a crash has cut is taken out when the file is opened.
"""

import fcntl
import glob
import os
import re
import time
from bisect import bisect_right
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from confluent_kafka import Message

from app.deliver.destination import Destination, Feed, UnreachableError, Waiting
from app.deliver.syslog_messages import Parts, lines

if TYPE_CHECKING:
    from app.config import Config
    from app.config.deliveries import Delivery, FileDelivery

ROOM: Final = 1000
SYNC_S: Final = 1.0
BLOCK: Final = 1 << 16
NUMBER: Final = re.compile("[1-9][0-9]{0,4}")
"""Of a full file; FileDelivery allows 10,000."""


@dataclass(frozen=True, kw_only=True)
class FileSettings:
    """`octets` of a file, `count` of full files that are kept, `total` octets of all of them."""

    octets: int
    count: int
    total: int
    mode: int


class FileDestination(Destination):
    """One file at a time."""

    def __init__(self, settings: FileSettings, _waiting: Waiting) -> None:
        self._settings = settings
        self._path = Path()
        self._file = self._lock = -1
        self._size = 0
        self._written = self._synced = 0
        self._synced_at = 0.0

    def open(self, address: str) -> None:
        """Lock and open; two processes never write one file."""
        self._path = Path(address)
        self._written = self._synced = 0
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lock = self._path.with_name(f".{self._path.name}.lock")
            self._lock = os.open(lock, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UnreachableError(f"{address}: another process writes it") from None
            self._begin()
        except OSError as error:
            raise self._failed(error) from None

    def room(self) -> int:
        """Always some."""
        return ROOM

    def write(self, messages: Sequence[Message]) -> None:
        """To the kernel; into as many files as it takes."""
        values = list(map(Message.value, messages))
        try:
            while values:
                ends = list(accumulate(len(value) + 1 for value in values))
                fit = bisect_right(ends, self._settings.octets - self._size)
                if not fit and self._size:
                    self._rotate()
                    continue
                if not fit:  # a record that is larger than a file may be has one of its own
                    self._make_room(ends[0])
                    fit = 1
                self._append(lines(Parts([b""] * fit, values[:fit])))
                values = values[fit:]
        except OSError as error:
            raise self._failed(error) from None
        self._written += len(messages)

    @property
    def acknowledged(self) -> int:
        """Those that were synced."""
        return self._synced

    def settle(self, _seconds: float) -> int:
        """Those that are on disk."""
        if self._written > self._synced and time.monotonic() - self._synced_at >= SYNC_S:
            self._sync()
        return self._synced

    def finish(self, _seconds: float) -> int:
        """All of them."""
        self._sync()
        return self._synced

    def close(self) -> None:
        """Let go of the file."""
        for opened in (self._file, self._lock):
            if opened >= 0:
                with suppress(OSError):  # what it says of the file, a sync has said
                    os.close(opened)
        self._file = self._lock = -1

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
        self._size += len(data)

    def _sync(self) -> None:
        try:
            os.fdatasync(self._file)
            self._synced, self._synced_at = self._written, time.monotonic()
            if not self._is_ours():  # moved away by someone else
                self._let_go()
                self._begin()
        except OSError as error:
            raise self._failed(error) from None

    def _let_go(self) -> None:
        """Whatever closing it says, its number may be another file's by then."""
        file, self._file = self._file, -1
        os.close(file)

    def _is_ours(self) -> bool:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._file)
        return (found.st_dev, found.st_ino) == (ours.st_dev, ours.st_ino)

    def _begin(self) -> None:
        """Go on with the file of the name given, or begin it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._file = os.open(self._path, flags, self._settings.mode)
        whole = _whole(self._file)
        os.ftruncate(self._file, whole)
        self._size = whole
        self._make_room(max(self._settings.octets, whole))
        self._sync_folder()

    def _rotate(self) -> None:
        """The full file gets out of the way, and the oldest go."""
        os.fdatasync(self._file)
        self._let_go()
        for number, file in sorted(self._full(), reverse=True):
            if number >= self._settings.count:
                file.unlink()
            else:
                file.rename(self._named(number + 1))
        self._path.rename(self._named(1))
        self._begin()

    def _make_room(self, octets: int) -> None:
        """The oldest go, so that with a file of so many octets all stay below the total."""
        left = self._settings.total - octets
        for _, file in sorted(self._full()):
            left -= file.stat().st_size
            if left < 0:
                file.unlink()

    def _full(self) -> list[tuple[int, Path]]:
        """Numbers and files. Other names, such as acme.log.20261127, are somebody else's."""
        start = len(self._path.name) + 1
        found = self._path.parent.glob(f"{glob.escape(self._path.name)}.[0-9]*")
        numbered = [(each.name[start:], each) for each in found]
        return [(int(text), each) for text, each in numbered if NUMBER.fullmatch(text)]

    def _named(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _failed(self, error: OSError) -> UnreachableError:
        return UnreachableError(f"{self._path}: {error.strerror}")


def _whole(file: int) -> int:
    """Octets up to the end of the last whole line."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def settings(
    _config: "Config", _delivery: "Delivery", to: "FileDelivery", _feeds: tuple[Feed, ...]
) -> FileSettings:
    """Keys of northbound.yaml as the destination is told them."""
    return FileSettings(
        octets=to.size,
        count=to.count,
        total=to.total if to.total is not None else to.size * (to.count + 1),
        mode=int(to.permissions, 8),
    )

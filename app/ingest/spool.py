"""A bounded queue of messages on disk that outlives the process and the machine.

A folder holds segments, `<number>.spool`, of records (spool_record.py), and `position`, which says
up to where the queue has been drained. What has been written survives the end of the process at
once, and that of the machine after `sync`.
"""

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from app.ingest.batch import Batch
from app.ingest.complaints import Seldom
from app.ingest.spool_record import Record, packed, records

log = logging.getLogger(__name__)

SEGMENT_BYTES: Final = 32 << 20


class Position(NamedTuple):
    """A place in the queue."""

    segment: int
    offset: int


class _Held:
    """A folder that is nobody else's, for as long as this lives. Raises OSError."""

    def __init__(self, folder: Path) -> None:
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise OSError(
                error.errno, f"{folder} is in use by another agent; stop that one first"
            ) from None

    def release(self) -> None:
        """Let another have it. More than once is no error."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    __del__ = release


class Spool:
    """One queue with one writer and one reader, in the same thread. `limit`: bytes on disk.

    `depth` messages in `size` bytes are in it; `recovered` were there when it was opened; `dropped`
    did not fit, could not be written, or were damaged when it was opened. Raises OSError for a
    folder that another agent has, which would take what that one is writing for a torn end.
    """

    def __init__(self, folder: Path, limit: int, segment_bytes: int = SEGMENT_BYTES) -> None:
        self.folder = folder
        self.limit = limit
        self.depth = 0
        self.size = 0
        self.dropped = 0
        self.dirty = False
        self._segment_bytes = segment_bytes
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = _Held(folder)
        self._seldom = Seldom()
        self._sizes: dict[int, int] = {}
        self._position = self._read_position()
        self._recover()
        self.recovered = self.depth + self.dropped
        self._last = max(self._sizes, default=self._position.segment)
        self._writing: int | None = None  # file descriptor of the last segment
        self._complained = False

    def append(self, batch: Batch) -> bool:
        """Take a batch at the end; False, and it is dropped and counted, if there is no room."""
        record = packed(batch)
        if self.size + len(record) > self.limit or not self._write(record):
            self.dropped += len(batch.lines)
            if not self._complained:
                self._complained = True
                log.error("The spool is full; messages are lost. folder=%s", self.folder)
            return False
        self.depth += len(batch.lines)
        self.size += len(record)
        self.dirty = True
        return True

    def read(self, messages: int) -> tuple[list[Batch], Position]:
        """Batches from the front, of about so many messages in all, and where they end."""
        found: list[Batch] = []
        position = self._position
        while messages > 0 and position.segment <= self._last:
            for batch, end in self._batches(position):
                found.append(batch)
                messages -= len(batch.lines)
                position = Position(position.segment, end)
                if messages <= 0:
                    break
            else:
                if position.segment == self._last:
                    break  # more may be written behind it
                position = Position(position.segment + 1, 0)
        return found, position

    def commit(self, position: Position, messages: int) -> None:
        """Forget what is before `position`: `messages` messages, which are safe elsewhere."""
        self.depth -= messages
        self._complained = False
        if self.depth == 0:
            self._close()
            position = Position(self._last + 1, 0)
            self._last += 1
        for number in sorted(self._sizes):
            if number < position.segment:
                self._path(number).unlink(missing_ok=True)
                del self._sizes[number]
        self._position = position
        self._write_position()
        self.size = sum(self._sizes.values()) - (position.offset if self._sizes else 0)

    def give_up(self) -> None:
        """What should be there cannot be read: count it as lost and begin anew."""
        log.error("The spool cannot be read. folder=%s messages=%d", self.folder, self.depth)
        self.dropped += self.depth
        self.commit(self._position, self.depth)

    def sync(self) -> None:
        """Make what was written survive the machine's end, if the disk can. Blocks; any thread."""
        self.dirty = False
        try:
            for path in (self._path(self._last), self.folder):  # a new file is in none without it
                descriptor = os.open(path, os.O_RDONLY)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
        except FileNotFoundError:
            return
        except OSError as error:
            self._failed(error)

    def close(self) -> None:
        """Write no more, and let another agent have it."""
        if self.depth:
            self.sync()
        self._close()
        self._held.release()

    def _write(self, record: bytes) -> bool:
        if self._writing is not None and self._sizes[self._last] >= self._segment_bytes:
            self._next_segment()
        before = self._sizes.get(self._last, 0)
        try:
            if self._writing is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
                self._writing = os.open(self._path(self._last), flags, 0o600)
                self._sizes.setdefault(self._last, before)
            written = os.write(self._writing, record)
        except OSError as error:
            self._failed(error)
            return False
        if written < len(record):  # the disk is full
            self._cut_off(before)
            return False
        self._sizes[self._last] = before + written
        return True

    def _cut_off(self, size: int) -> None:
        """Leave no torn record in the middle: nothing behind one in its segment can be read."""
        assert self._writing is not None  # noqa: S101  # something was just written
        try:
            os.ftruncate(self._writing, size)
        except OSError as error:
            self._failed(error)
            self._next_segment()

    def _next_segment(self) -> None:
        """The last one is on disk, if that is possible, and is written no more."""
        assert self._writing is not None  # noqa: S101  # there is one
        try:
            os.fdatasync(self._writing)
        except OSError as error:
            self._failed(error)
        self._close()
        self._last += 1

    def _failed(self, error: OSError) -> None:
        """What is written then is lost and counted; what the disk does not keep, if the machine
        ends now, too."""
        if self._seldom.due(error.errno or 0):
            log.error("The spool cannot be written. folder=%s error=%s", self.folder, error)

    def _close(self) -> None:
        if self._writing is not None:
            os.close(self._writing)
            self._writing = None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:020d}.spool"

    def _batches(self, position: Position) -> Iterator[tuple[Batch, int]]:
        """Good records of a segment from an offset on, each with the offset of its end."""
        for record in self._records(position):
            if record.batch is not None:
                yield record.batch, record.end

    def _records(self, position: Position) -> Iterator[Record]:
        try:
            file = self._path(position.segment).open("rb")
        except FileNotFoundError:
            return
        with file:
            yield from records(file, position.offset, os.fstat(file.fileno()).st_size)

    def _recover(self) -> None:
        """Count what is there and what is damaged of it, and cut off a torn end."""
        for path in sorted(self.folder.glob("*.spool")):
            number = int(path.stem)
            if number < self._position.segment:
                path.unlink()
                continue
            first = self._position.offset if number == self._position.segment else 0
            end = first
            for record in self._records(Position(number, first)):
                end = record.end
                if record.batch is not None:
                    self.depth += record.messages
                    continue
                self.dropped += record.messages
                log.error(
                    "Messages in a spool are damaged, and lost. file=%s messages=%d",
                    path,
                    record.messages,
                )
            if (there := path.stat().st_size) < first:
                path.unlink()  # a machine that ended had not written all that was drained of it
                continue
            if there > end:
                log.warning("A torn end is cut off. file=%s bytes=%d", path, there - end)
                os.truncate(path, end)
            self._sizes[number] = end
            self.size += end - first
        if self._position.offset and self._position.segment not in self._sizes:
            # All of it was drained. One that is written anew must not begin in its middle.
            self._position = Position(self._position.segment + 1, 0)

    def _read_position(self) -> Position:
        try:
            segment, offset = json.loads((self.folder / "position").read_text())
            return Position(int(segment), int(offset))
        except (OSError, ValueError):
            return Position(1, 0)

    def _write_position(self) -> None:
        fresh = self.folder / "position.new"
        try:
            fresh.write_text(json.dumps(list(self._position)))
            fresh.replace(self.folder / "position")
        except OSError as error:
            # The older one stays: what is drained since then comes twice if the process is killed.
            log.error("The spool's position is not saved. folder=%s error=%s", self.folder, error)  # noqa: TRY400

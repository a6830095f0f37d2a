"""One partition of a state store on disk (RocksDB): committed entries there, changes in memory.

The open transaction's changes stay in memory until Kafka has committed them, so an aborted one
leaves no trace on disk. A commit is one write batch; a changelog position is in the batch of the
entries that it stands for. A process that is killed in between finds an older position, and reads
the changelog from there again.
"""

import contextlib
import fcntl
import json
import os
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from app.runtime.errors import EngineError
from app.runtime.store import Store
from topology.records import StoreError

FORMAT = 1
ENTRY, IDENTITY, POSITION = b"e", b"i", b"p"
"""First bytes of keys: an entry, whose partition this is, how far it is known to be complete."""
PLACE = struct.Struct("<qd")
"""Changelog offset, and when it was reached (Unix seconds)."""
CACHE = Cache(64 << 20)
"""Blocks that all stores of the process have read."""
BUFFER = 16 << 20
"""Bytes of recent writes that a partition gathers before it writes a sorted file."""
CLOCK_STEP = 60.0
"""Seconds that a clock may have been set back."""


class HeldError(Exception):
    """Another process, or another store of this one, has the folder open."""


class DiskError(EngineError, StoreError):
    """The disk refuses; the message says what to do."""


class DiskStore(Store):
    """A `Store` in a folder that one process at a time has open.

    Use `open`. `begun` says why the folder was begun anew, None when its content was kept.
    """

    __slots__ = ("_db", "_folder", "_identity", "_lock", "_position", "_unlogged", "begun")

    def __init__(self, folder: Path, identity: dict[str, Any], lock: int) -> None:
        self._folder = folder
        self._identity = {"format": FORMAT, **identity}
        self._lock = lock
        self._db: Any = None
        self._unlogged = False
        self.begun: str | None = None
        super().__init__()

    @classmethod
    def open(cls, folder: Path, identity: dict[str, Any], max_age: float) -> Self:
        """Open or create a folder's store.

        What it holds is kept only when it was written for the same `identity` (JSON types) and its
        position is at most `max_age` seconds old: tombstones that it has not read are still in the
        changelog then. Raises HeldError when somebody has it, EngineError when the disk refuses.
        """
        try:
            folder.parent.mkdir(0o700, parents=True, exist_ok=True)
            lock = os.open(folder.with_name(f"{folder.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise _refused(folder, error.strerror or str(error)) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise HeldError(str(folder)) from error
        store = cls(folder, identity, lock)
        try:
            reason = store._connect(max_age)
            if reason is not None:
                store.begun = reason
                store.clear()
        except Exception as error:
            store.close()
            raise _refused(folder, str(error)) from error
        return store

    # -- entries -------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        try:
            return self._changes[key]
        except KeyError:
            return self._read(key)

    def delete(self, key: bytes) -> None:
        if self._read(key) is not None:
            self._changes[key] = None
        else:
            self._changes.pop(key, None)

    def __len__(self) -> int:
        """Counts them all; `approximate_num_entries` does not."""
        return sum(1 for _ in self.items())

    def approximate_num_entries(self) -> int:
        return max(0, (self._db.property_int_value("rocksdb.estimate-num-keys") or 0) - 2)

    def _read(self, key: bytes) -> bytes | None:
        try:
            found: bytes | None = self._db.get(ENTRY + key)
        except Exception as error:
            raise _refused(self._folder, str(error)) from error
        return found

    def _committed(self) -> Iterator[tuple[bytes, bytes]]:
        try:
            for key, value in self._db.items(from_key=ENTRY, read_opt=_scan()):
                if key[:1] != ENTRY:
                    return
                yield key[1:], value
        except Exception as error:
            raise _refused(self._folder, str(error)) from error

    # -- transactions and restore ----------------------------------------------------------------

    @property
    def position(self) -> int:
        return self._position

    @position.setter
    def position(self, offset: int) -> None:
        self._position = offset
        if self._db is not None:
            self._write(WriteBatch(raw_mode=True), offset)

    def commit(self, position: int | None = None) -> None:
        if not self._changes and position is None:
            return
        self._write(_batch(list(self._changes), list(self._changes.values())), position)
        self._changes = {}
        if position is not None:
            self._position = position

    def load(self, keys: Sequence[bytes], values: Sequence[bytes | None]) -> None:
        # Without a log: the position moves only after these were written to files.
        try:
            self._db.write(_batch(keys, values), _unlogged())
        except Exception as error:
            raise _refused(self._folder, str(error)) from error
        self._unlogged = True

    def _write(self, batch: WriteBatch, position: int | None) -> None:
        try:
            if position is not None:
                if self._unlogged:
                    self._db.flush()
                    self._unlogged = False
                batch.put(POSITION, PLACE.pack(position, time.time()))
            self._db.write(batch)
        except Exception as error:
            raise _refused(self._folder, str(error)) from error

    def clear(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._folder.exists():
            shutil.rmtree(self._folder)
        self._unlogged = False
        self._changes = {}
        self._db = Rdict(str(self._folder), _options())
        self._db.put(IDENTITY, json.dumps(self._identity).encode())
        self.position = 0

    def close(self) -> bool:
        """Give the folder to others; changes that were not committed are gone."""
        self._changes = {}
        if self._db is not None:
            self._db.close()
            self._db = None
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        return True

    # -- opening -------------------------------------------------------------------------------

    def _connect(self, max_age: float) -> str | None:
        """Open what is there; the reason why it cannot be used, None when it can."""
        if not self._folder.exists():
            return "it is new"
        try:
            self._db = Rdict(str(self._folder), _options())
            kept, place = self._db.get(IDENTITY), self._db.get(POSITION)
        except Exception as error:
            return f"it cannot be read ({error})"
        if kept is None or place is None:
            return "it was not completed"
        identity: Any = None
        with contextlib.suppress(ValueError):
            identity = json.loads(kept)
        if not isinstance(identity, dict) or identity.get("format") != FORMAT:
            return f"it has an unknown format: saw {kept[:80]!r}, expected format {FORMAT}"
        for name, expected in self._identity.items():
            if identity.get(name) != expected:
                return f"it is of another {name}: saw {identity.get(name)!r}, expected {expected!r}"
        position, reached = PLACE.unpack(place)
        age = time.time() - reached
        if not -CLOCK_STEP <= age <= max_age:
            return (
                f"its position is {age:.0f} s old, and deletions are in the changelog for "
                f"{max_age:.0f} s only"
            )
        self._position = position
        return None


def _batch(keys: Sequence[bytes], values: Sequence[bytes | None]) -> WriteBatch:
    batch = WriteBatch(raw_mode=True)
    put = batch.put
    for key, value in zip(keys, values, strict=True):
        if value is None:
            batch.delete(ENTRY + key)
        else:
            put(ENTRY + key, value)
    return batch


def _unlogged() -> WriteOptions:
    options = WriteOptions()
    options.disable_wal = True  # type: ignore[method-assign, assignment]  # its stub is wrong
    return options


def _scan() -> ReadOptions:
    """Reading everything once leaves the cache to what is read again."""
    options = ReadOptions()
    options.fill_cache(False)  # type: ignore[call-arg]  # its stub is wrong
    options.set_readahead_size(1 << 20)
    return options


def _options() -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(CACHE)
    table.set_bloom_filter(10, False)  # a key that is not there costs no read of the disk
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.lz4())
    options.set_write_buffer_size(BUFFER)
    options.set_max_write_buffer_number(3)
    options.set_max_open_files(256)  # the usual limit of a process is 1,024
    options.set_max_log_file_size(1 << 20)
    options.set_keep_log_file_num(2)
    return options


def _refused(folder: Path, reason: str) -> DiskError:
    return DiskError(
        f"Cannot keep a state store in {folder}: {reason}. Free some space or make it writable, or "
        "set workers.state in northbound.yaml to another directory. Nothing committed is lost."
    )

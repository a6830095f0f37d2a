"""Numbered places for worker processes, so that each start gets the same names as the last one.

The names are a member's static name in its consumer group and its transactional id. They must stay
over a restart (the partitions stay too, and a dead predecessor's transaction is aborted at once),
and no two live processes may share them (the older one is fenced off and ends). So a slot is a lock
in the state directory, and the directory has a random identity of its own.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from app.runtime.errors import EngineError

SLOTS = 1024
_AT_EMPTY_PATH = 0x1000
_STATX_BTIME = 0x800


@dataclass(frozen=True, slots=True)
class Slot:
    """A held slot; it is free again when the process ends or `release` is called."""

    identity: str
    number: int
    descriptor: int

    def instance(self, group: str) -> str:
        """The member's name in `group` and its transactional id."""
        return f"{group}-{self.identity}-{self.number}"

    def release(self) -> None:
        """Give the slot back."""
        os.close(self.descriptor)


def take_slot(state: Path) -> Slot:
    """Lock the first free slot of a state directory, which is created where missing.

    Raises EngineError when the directory cannot be written or all slots are taken.
    """
    folder = state / "slots"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        identity = _identity(folder)
        for number in range(SLOTS):
            descriptor = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
            else:
                return Slot(identity, number, descriptor)
    except OSError as error:
        raise EngineError(
            f"Cannot keep the worker's state in {state}: {error.strerror or error}. Make it "
            "writable for this user, or set workers.state in northbound.yaml to another directory."
        ) from error
    raise EngineError(f"All {SLOTS} worker slots of {state} are taken; use another directory.")


def _identity(folder: Path) -> str:
    """The directory's random identity, made anew when the directory was copied or moved.

    A copy on another host, under another path or as another file is another worker's directory.
    """
    file, guard = folder / "identity", folder / "identity.lock"
    lock = os.open(guard, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        place = _place(file, lock)
        identity = secrets.token_hex(5)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(file.read_bytes())
            if kept["place"] == place:
                return str(kept["identity"])
        with file.open("w", encoding="ascii") as opened:
            json.dump({"identity": identity, "place": place}, opened)
            opened.flush()
            os.fsync(opened.fileno())
        return identity
    finally:
        os.close(lock)


def _place(file: Path, guard: int) -> list[str]:
    """Where an identity was made: the host, the path, and which file its lock is.

    File systems give the inode of a removed file to the next one, so a backup that is put back may
    get it; no copy gets the time of birth.
    """
    which = f"{os.fstat(guard).st_ino} {_birth(guard)}"
    return [socket.gethostname(), str(file.resolve()), which]


def _birth(descriptor: int) -> str:
    """When a file came to be, by statx(2), which `os` lacks; empty where nobody keeps it."""
    answer = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(descriptor, b"", _AT_EMPTY_PATH, _STATX_BTIME, answer)
    except AttributeError:  # a C library of before 2018
        return ""
    (mask,) = struct.unpack_from("=I", answer)
    if failed or not mask & _STATX_BTIME:
        return ""
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 80)
    return f"{seconds}.{nanoseconds:09}"

"""The lock of a state directory, which `northbound up` holds, apart from all that `up` loads."""

import fcntl
from pathlib import Path
from typing import IO, Final

LOCK: Final = "up.lock"


def owner(state: Path) -> int | None:
    """The process that is up with this state directory; None when there is none."""
    try:
        with (state / LOCK).open("rb") as lock:
            return None if try_lock(lock) else int(lock.read() or 0)
    except OSError:
        return None


def try_lock(file: IO[bytes]) -> bool:
    """Whether nobody else has it, so that it is held now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

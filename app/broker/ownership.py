"""Who runs the brokers of a data folder: one parent at a time, and what a killed one has left."""

import fcntl
import json
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from app.broker.cluster import read_json
from app.broker.errors import BrokerError
from app.broker.private_file import write_private

STOP_S = 20.0
POLL_S = 0.05


def started_at(pid: int) -> str | None:
    """Start time of a process (clock ticks since boot); None when it is gone or a zombie.

    With the pid it names a process for good, so that a pid used again is not taken for it.
    """
    with suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        after_name = stat.rpartition(")")[2].split()
        if after_name[0] != "Z":
            return after_name[19]
    return None


@dataclass(frozen=True, slots=True)
class Running:
    """Broker processes found alive in a data folder, whoever started them."""

    pids: list[int]
    owner: int | None
    """The parent that watches them; None when it was killed."""
    internal: str
    northbound: str


def running(data: Path) -> Running | None:
    """The brokers that run in `data`; None when none does."""
    state = read_json(data / "running.json")
    nodes = state.get("nodes")
    pids = [
        int(node["pid"])
        for node in (nodes if isinstance(nodes, list) else [])
        if started_at(int(node["pid"])) == node["started"]
    ]
    if not pids:
        return None
    owner = state.get("owner")
    alive = isinstance(owner, int) and started_at(owner) == state.get("since")
    return Running(
        pids,
        owner if isinstance(owner, int) and alive else None,
        str(state.get("internal")),
        str(state.get("northbound")),
    )


class Ownership:
    """The right to run the brokers of a data folder; the kernel takes it back from a dead owner."""

    def __init__(self, data: Path) -> None:
        """Take it, or raise BrokerError when another process has it."""
        self._data = data
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (data / "lock").open("a", encoding="ascii")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            owner = read_json(data / "running.json").get("owner", "unknown")
            raise BrokerError(
                f"Northbound already runs in {data} (process {owner}). Use it (`northbound "
                "status`), stop it (`northbound down`) or choose another kafka.embedded.data."
            ) from None
        self._lock: IO[str] = lock

    def stop_orphans(self) -> list[int]:
        """Stop brokers whose parent was killed: nobody watches them, and they hold the ports."""
        found = running(self._data)
        pids = found.pids if found else []
        deadline = time.monotonic() + STOP_S
        since = {pid: started_at(pid) for pid in pids}
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        for pid in pids:
            while since[pid] is not None and started_at(pid) == since[pid]:
                if time.monotonic() > deadline:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(POLL_S)
        return pids

    def remember(self, pids: list[int], internal: str, northbound: str) -> None:
        """Write down what runs, for `running` and the next start."""
        own = os.getpid()
        state = {
            "owner": own,
            "since": started_at(own),
            "nodes": [{"pid": pid, "started": started_at(pid)} for pid in pids],
            "internal": internal,
            "northbound": northbound,
        }
        write_private(self._data / "running.json", json.dumps(state).encode())

    def release(self) -> None:
        """Give it back when nothing runs any more."""
        (self._data / "running.json").unlink(missing_ok=True)
        self._lock.close()

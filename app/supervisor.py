"""Starts Northbound's processes, restarts those that end, stops them in order.

Every process runs in a session of its own, so that Ctrl-C reaches only the supervisor, which stops
the others in the order in which data flows. A process that ends by itself is started again after a
pause that doubles from half a second to ten seconds; ending is a normal means of recovery (a fenced
or stalled worker ends so that its work moves), so it is reported and not treated as a failure.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

PR_SET_PDEATHSIG = 1  # linux/prctl.h
SUPERVISED = "NORTHBOUND_SUPERVISED"
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
GRACE = 30.0
"""Seconds that a process has to end: more than an ingest agent that waits for Kafka as long as it
may. One that is killed before that says nothing of the lines that it still has."""
STEADY = 30.0
"""Seconds after which a process counts as running well and its pause starts anew."""
LAST_BYTES = 65_536
"""Bytes of the end of a log that are looked at."""


def end_with_parent() -> None:
    """Ask the kernel for SIGTERM when the supervisor dies, so that kill -9 leaves nothing behind.

    Does nothing for a process that was started by hand, or where the system has no prctl.
    """
    parent = os.environ.get(SUPERVISED)
    if parent is None:
        return
    try:
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    except (OSError, AttributeError):
        return
    if os.getppid() != int(parent):  # it died before the call
        os.kill(os.getpid(), signal.SIGTERM)


@dataclass(slots=True)
class Child:
    """One process to keep running. Output goes to `log`; no secret belongs in `argv`."""

    name: str
    argv: Sequence[str]
    log: Path
    env: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = FIRST_PAUSE
    due: float = 0.0
    restarts: int = 0

    def start(self) -> None:
        """Start the process now."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **self.env, SUPERVISED: str(os.getpid())},
            )
        self.started = time.monotonic()

    def last_lines(self, count: int = 5) -> str:
        """The end of the log, for a message about why the process ended."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
                lines = log.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join([line for line in lines if line.strip()][-count:])


class Supervisor:
    """Keeps children running until `stop`; `report` receives one line for each thing of note."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self.children: list[Child] = []
        self._report = report

    def add(self, child: Child) -> None:
        """Start a child and keep it running."""
        child.start()
        self.children.append(child)

    def ended(self) -> bool:
        """Whether a child has ended since the last check."""
        return any(
            child.process is not None and child.process.poll() is not None
            for child in self.children
        )

    def check(self) -> None:
        """Restart what has ended and is due. Call this about once a second."""
        now = time.monotonic()
        for child in self.children:
            if child.process is None:
                if now >= child.due:
                    self._start_again(child)
                continue
            status = child.process.poll()
            if status is None:
                continue
            if now - child.started > STEADY:
                child.pause = FIRST_PAUSE
            child.process = None
            self._report(
                f"{child.name} ended with {_status(status)}; starting it again in "
                f"{child.pause:.1f} s. Last lines of {child.log}:\n{child.last_lines()}"
            )
            self._pause(child, now)

    def _start_again(self, child: Child) -> None:
        child.restarts += 1
        try:
            child.start()
        except OSError as error:  # no log can be opened, say: the others go on, and so does this
            self._report(
                f"{child.name} cannot be started: {error}; trying again in {child.pause:.1f} s"
            )
            self._pause(child, time.monotonic())

    def _pause(self, child: Child, now: float) -> None:
        child.due = now + child.pause
        child.pause = min(child.pause * 2, LONGEST_PAUSE)

    def stop(self, grace: float = GRACE) -> None:
        """SIGTERM each child in the order of `add`, wait for it; SIGKILL after `grace` s."""
        for child in self.children:
            process, child.process = child.process, None
            if process is None or process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(grace)
            except subprocess.TimeoutExpired:
                self._report(f"{child.name} did not stop within {grace:.0f} s; ending it")
                process.kill()
                process.wait()
        self.children.clear()


def _status(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"

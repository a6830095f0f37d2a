"""Processes that an experiment kills, stops and starts again, as a supervisor would."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from app.broker import ports

HERE = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parents[1]
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
"""Seconds before a process that has ended is started again; doubled each time it ends by itself."""


class Process:
    """One process with a log; `supervise` starts it again when it has ended by itself."""

    def __init__(
        self, name: str, argv: Sequence[str], log: Path, env: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        self.statuses: list[int] = []
        """Exit statuses of the incarnations that ended."""
        self.wanted = False
        self.env = env or {}
        self.argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.RLock()
        self._ended = False
        self._pause, self._due = FIRST_PAUSE, 0.0

    def start(self) -> None:
        """Start it, and keep it running from now on."""
        with self._lock, self.log.open("ab") as log:
            self.wanted, self._ended = True, False
            self._process = subprocess.Popen(
                self.argv,
                cwd=ROOT,
                env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def signal(self, number: int) -> None:
        """Send a signal; nothing happens when it has just ended."""
        with self._lock, suppress(ProcessLookupError):
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def kill(self, *, again: bool = True) -> None:
        """SIGKILL; started again by the next `supervise` if `again`."""
        with self._lock:
            self.wanted = again
            self.signal(signal.SIGKILL)
            if self._process is not None:
                self._process.wait()

    def stop(self, timeout: float = 30.0) -> int | None:
        """SIGTERM and wait; its exit status, -9 when it had to be killed."""
        with self._lock:
            self.wanted = False
            process = self._process
            if process is None:
                return None
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        with self._lock:
            self._process = None
        self.statuses.append(status)
        return status

    def supervise(self) -> bool:
        """Start it again if it has ended; True when it had."""
        with self._lock:
            if not self.wanted or self._process is None or self._process.poll() is None:
                return False
            if not self._ended:
                self._ended = True
                self.statuses.append(self._process.returncode)
                if self._process.returncode == -signal.SIGKILL:
                    self._pause = FIRST_PAUSE
                self._due = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            if time.monotonic() < self._due:
                return False
            self.start()
            return True

    def end(self) -> None:
        """Whatever it does, it is gone after this."""
        with self._lock:
            self.wanted = False
            self.signal(signal.SIGKILL)
            if self._process is not None:
                self._process.wait()


class Worker(Process):
    """`faust worker` of a generated northbound.yaml, with a web port of its own."""

    def __init__(self, name: str, config: Path, log: Path, module: str = "app.worker") -> None:
        self.port = ports.free("127.0.0.1")
        argv = [str(HERE / "faust"), "-A", module, "worker", "--loglevel", "info"]
        argv += ["--web-port", str(self.port), "--web-bind", "127.0.0.1"]
        super().__init__(name, argv, log, {"NORTHBOUND_CONFIG": str(config)})

    def get(self, path: str) -> Any:
        """JSON of a web view, or None while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=2) as got:
                return orjson.loads(got.read())
        except (OSError, urllib.error.URLError, ValueError):
            return None

    def ready(self) -> bool:
        """Whether every engine has its partitions and stores."""
        answer = self.get("/ready")
        return bool(answer and answer["ready"])

    def engine(self, name: str) -> dict[str, Any]:
        """Statistics of one engine; empty while there are none."""
        answer = self.get("/stats") or {"engines": []}
        return next((each for each in answer["engines"] if each["name"] == name), {})

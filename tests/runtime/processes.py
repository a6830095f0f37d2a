"""Worker processes that tests kill, stop and start again, as a supervisor would."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from app.broker.ports import free

ROOT = Path(__file__).resolve().parents[2]


def wait_for(condition: Callable[[], Any], what: str, timeout: float = 120.0) -> Any:
    """The condition's first true value, or an AssertionError after the time-out."""
    deadline = time.monotonic() + timeout
    while True:
        began = time.monotonic()
        value = condition()
        if value:
            return value
        now = time.monotonic()
        assert now < deadline, f"not within {timeout:g} s: {what}"
        # What is costly to look at, such as a whole topic, leaves time to what is waited for.
        time.sleep(min(1.0, max(0.02, 2 * (now - began))))


class WorkerProcess:
    """`faust worker` on the verification app."""

    def __init__(self, config: dict[str, Any], folder: Path, name: str, **env: str) -> None:
        self.port = free("127.0.0.1")
        self.log = folder / f"{name}.log"
        self._env = {**os.environ, **env, "VERIFY": json.dumps(config)}
        self.process: subprocess.Popen[bytes] | None = None
        self.statuses: list[int] = []
        """Exit statuses of all incarnations."""

    def start(self, **changes: Any) -> "WorkerProcess":
        """Start it; `changes` of the configuration last."""
        if changes:
            self._env["VERIFY"] = json.dumps({**json.loads(self._env["VERIFY"]), **changes})
        arguments = ["-A", "tests.runtime.worker", "worker", "-p", str(self.port), "-l", "info"]
        arguments += ["-b", "127.0.0.1"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "faust", *arguments],
                cwd=ROOT,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self

    def get(self, path: str) -> Any:
        """JSON of a web view, or None while there is none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as got:
                return json.load(got)
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def stats(self) -> dict[str, Any]:
        """Statistics of its engine; empty while there are none."""
        answer = self.get("/stats")
        return answer["engines"][0] if answer and answer["engines"] else {}

    def told(self) -> dict[str, Any]:
        """Statistics of its engine, waited for: a busy machine may leave one request unanswered."""
        found: dict[str, Any] = wait_for(self.stats, f"{self.log}: statistics")
        return found

    def ready(self) -> bool:
        answer = self.get("/ready")
        return bool(answer and answer["ready"])

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self, timeout: float = 120.0) -> int:
        """Its exit status."""
        assert self.process is not None
        status = self.process.wait(timeout)
        self.statuses.append(status)
        return status

    def supervise(self) -> bool:
        """Start it again if it has ended by itself; True when it had."""
        if self.process is None or self.process.poll() is None:
            return False
        self.wait()
        self.start()
        return True

    def end(self) -> None:
        """Whatever it does, it is gone after this."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()


def start_faust(config: Path, port: int, log: Path, **env: str) -> subprocess.Popen[bytes]:
    """A worker of a northbound.yaml, with its web views on `port`."""
    with log.open("ab") as file:
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "faust", "-A", "app.worker", "worker", "-l", "warn"),
                *("--web-port", str(port)),
            ],
            cwd=ROOT,
            env={**os.environ, **env, "NORTHBOUND_CONFIG": str(config)},
            stdout=file,
            stderr=file,
            start_new_session=True,
        )


def end(process: subprocess.Popen[bytes]) -> None:
    """kill -9, unless it has ended."""
    if process.poll() is None:
        process.kill()
        process.wait()

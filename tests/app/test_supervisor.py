"""The supervisor keeps processes running, and leaves none behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.supervisor import Child, Supervisor

SLEEPER = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); "
DEADLINE_S = 60.0


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """A process that says it is there and waits."""
    code = SLEEPER + "print('here', flush=True); time.sleep(600)"
    return Child("sleeper", [sys.executable, "-c", code], tmp_path / "log" / "sleeper.log")


def test_a_killed_child_comes_back_and_the_log_end_is_reported(child: Child) -> None:
    """kill -9 of a worker costs a moment, not an operator's night."""
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.add(child)
    assert child.process is not None
    first = child.process.pid
    _until(lambda: "here" in child.log.read_text())
    os.kill(first, signal.SIGKILL)

    def back() -> bool:
        supervisor.check()
        return child.process is not None and child.process.pid != first

    try:
        _until(back)
        assert child.restarts == 1
        assert any("SIGKILL" in line and "here" in line for line in said)
    finally:
        supervisor.stop()


def test_stop_ends_every_child(child: Child) -> None:
    """Nothing is left running after Ctrl-C."""
    supervisor = Supervisor(print)
    supervisor.add(child)
    assert child.process is not None
    pid = child.process.pid
    _until(lambda: "here" in child.log.read_text())
    supervisor.stop()
    assert not _alive(pid)


def test_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """kill -9 of `northbound up` leaves no worker that nobody watches."""
    inner = (
        "import os, time; from app.supervisor import end_with_parent; end_with_parent();"
        "print(os.getpid(), flush=True); time.sleep(600)"
    )
    outer = (
        "import sys, time; from pathlib import Path; from app.supervisor import Child, Supervisor;"
        f"s = Supervisor(print); s.add(Child('x', [sys.executable, '-c', {inner!r}],"
        f" Path({str(tmp_path / 'x.log')!r}))); time.sleep(600)"
    )
    log = tmp_path / "x.log"
    with subprocess.Popen([sys.executable, "-c", outer]) as parent:
        try:
            _until(lambda: log.exists() and log.read_text().endswith("\n"))
            pid = int(log.read_text())
        finally:
            parent.kill()
    _until(lambda: not _alive(pid))


def test_a_child_that_cannot_be_started_takes_no_other_with_it(child: Child) -> None:
    """A disk that takes no more files, or a host without a process to spare, is told and tried
    again; Kafka and the agent of the same `northbound up` go on."""
    said: list[str] = []
    supervisor = Supervisor(said.append)
    supervisor.add(child)
    assert child.process is not None
    first = child.process.pid
    _until(lambda: "here" in child.log.read_text())
    child.log.unlink()
    child.log.parent.rmdir()
    child.log.parent.write_text("no folder")
    os.kill(first, signal.SIGKILL)

    def told() -> bool:
        supervisor.check()
        return any("sleeper cannot be started: " in line for line in said)

    def back() -> bool:
        supervisor.check()
        return child.process is not None and child.process.pid != first

    try:
        _until(told)
        child.log.parent.unlink()
        _until(back)
    finally:
        supervisor.stop()


def test_of_a_long_log_the_end_is_read(child: Child) -> None:
    """A worker that ends over and over writes a log of gigabytes."""
    child.log.parent.mkdir()
    child.log.write_text("ä" * 1_000_000 + "\nsecond\n\nlast\n", encoding="utf-8")
    assert child.last_lines(2) == "second\nlast"
    assert len(child.last_lines(3)) < 100_000

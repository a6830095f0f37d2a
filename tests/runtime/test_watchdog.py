"""The watchdog ends the process when something does not come back, and only then."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from app.runtime.watchdog import STALLED, Watchdog


def watched(
    program: str, *, pause: float = 0.0, hard_limit: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a program with `watchdog` (a look every 0.05 s) in a process."""
    head = (
        "import sys, time, re, threading\n"
        "from app.runtime.watchdog import Watchdog\n"
        f"watchdog = Watchdog(interval=0.05, hard_limit={hard_limit}); watchdog.start()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", head + program + "\nprint('done')"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            if pause:
                assert process.stdout is not None
                process.stdout.readline()
                os.kill(process.pid, signal.SIGSTOP)
                time.sleep(pause)
                os.kill(process.pid, signal.SIGCONT)
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()  # one that is stopped would be waited for without end
        return subprocess.CompletedProcess([], process.returncode, out, err)


def test_a_call_that_does_not_return_ends_the_process() -> None:
    """Status 75, a line that names the call, and every thread's stack."""
    ended = watched("with watchdog.guard('commit_transaction', 0.5): time.sleep(100)")
    assert ended.returncode == STALLED
    assert "commit_transaction showed no progress for 0.5 s" in ended.stderr
    assert "Thread" in ended.stderr
    assert ended.stdout == ""


def test_a_loop_that_stands_still_ends_the_process() -> None:
    """The line says what it was doing."""
    ended = watched("watchdog.watch('engine x', 0.5).beat('polling'); time.sleep(100)")
    assert ended.returncode == STALLED
    assert "engine x showed no progress for 0.5 s (polling)" in ended.stderr


def test_a_blocked_interpreter_ends_the_process() -> None:
    """Native code that never gives the interpreter back is ended by the hard limit."""
    ended = watched(
        "watchdog.watch('engine x', 50)\ntime.sleep(0.2)\nre.match('(a|aa)+$', 'a' * 60 + 'b')",
        hard_limit=1.5,
    )
    assert ended.returncode == 1
    assert "Timeout" in ended.stderr


def test_progress_and_returns_go_on() -> None:
    """Beats and returns within the limit never end anything."""
    ended = watched(
        "pulse = watchdog.watch('engine x', 1.5)\n"
        "for _ in range(9):\n"
        "    pulse.beat('working')\n"
        "    with watchdog.guard('call', 1.5): time.sleep(0.2)\n"
        "pulse.end(); time.sleep(1.8)"
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_a_stopped_process_is_not_ended_when_it_wakes_up() -> None:
    """SIGSTOP is no stall: the process first learns from the brokers that it was fenced."""
    ended = watched(
        "pulse = watchdog.watch('engine x', 1.5)\nprint('running', flush=True)\n"
        "for _ in range(15):\n    pulse.beat('working'); time.sleep(0.1)",
        pause=2.0,
    )
    assert (ended.returncode, ended.stdout) == (0, "done\n"), ended.stderr


def test_each_end_is_told_once() -> None:
    """With an end of its own, a test sees which pulse was late."""
    told = threading.Event()
    reasons: list[str] = []

    def end(reason: str) -> None:
        reasons.append(reason)
        told.set()

    watchdog = Watchdog(end, interval=0.02)
    watchdog.watch("late", 0.1)
    in_time = watchdog.watch("in time", 60.0)
    watchdog.start()
    assert told.wait(60)
    watchdog.stop()
    in_time.end()
    assert "late showed no progress" in reasons[0]
    assert not any("in time" in reason for reason in reasons)


@pytest.mark.parametrize("reader", ["takes nothing", "takes one line", "is gone"])
def test_who_reads_the_reason_keeps_no_process(reader: str) -> None:
    """A log driver that hangs holds up all who write to stderr. That is a stall like any other: the
    process ends, although nobody can be told of it."""
    program = (
        "import os, threading, time\n"
        "from app.runtime.watchdog import Watchdog\n"
        "for _ in range(50):\n"
        "    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
        "os.set_blocking(2, False)\n"
        "try:\n    while True: os.write(2, b'x' * 4096)\n"
        "except BlockingIOError: print('full', flush=True)\n"
        "os.set_blocking(2, True)\n"
        "sys.stdin.read()\n"
        "watchdog = Watchdog(interval=0.05); watchdog.start()\n"
        "watchdog.watch('engine x', 0.2); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", f"import sys\n{program}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == b"full\n"
            if reader == "takes one line":
                assert len(os.read(process.stderr.fileno(), 4096)) == 4096
            elif reader == "is gone":
                process.stderr.close()
            process.stdin.close()
            assert process.wait(120) == STALLED
        finally:
            process.kill()

"""Real syslog software from Debian as peers of the agent: installed with apt where root may.

A machine without apt or root skips these tests with that reason; continuous integration fails.
"""

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PACKAGES = {
    "rsyslogd": ["rsyslog", "rsyslog-relp", "rsyslog-kafka", "rsyslog-gnutls"],
    "syslog-ng": ["syslog-ng-core"],
    "haproxy": ["haproxy"],
    "logger": ["bsdutils"],
    "kcat": ["kcat"],
    "nats-server": ["nats-server"],
    "aiosmtpd": ["python3-aiosmtpd"],
}
APT = ["apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]


def need(*programs: str) -> None:
    """Have these programs, or skip; fail where CI is set."""
    missing = absent(*programs)
    if missing:
        reason = f"{', '.join(missing)} not there and apt-get as root cannot install it"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


def absent(*programs: str) -> list[str]:
    """Which of these programs are not there, after what can be installed was."""
    missing = _missing(programs)
    if missing and shutil.which("apt-get") and os.geteuid() == 0:
        # Two sessions beside each other: an update that meets another one fails at once, and what
        # is installed meanwhile is looked for in half the lists.
        with (Path(tempfile.gettempdir()) / "northbound-tests-apt.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if missing := _missing(programs):
                _install([package for each in missing for package in PACKAGES[each]])
        missing = _missing(programs)
    return missing


def _missing(programs: Iterable[str]) -> list[str]:
    return [each for each in programs if _find(each) is None]


def _install(packages: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for argv in ([*APT, "update"], [*APT, "install", "--no-install-recommends", *packages]):
        subprocess.run(argv, env=environment, check=False, capture_output=True, timeout=300)


def _find(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@contextmanager
def running(argv: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a peer, ended with the block."""
    found = _find(argv[0])
    assert found is not None
    with log.open("ab") as out:
        process = subprocess.Popen([found, *argv[1:]], stdout=out, stderr=out)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def rsyslog(folder: Path, action: str, more: str = "") -> Iterator[Callable[[list[bytes]], None]]:
    """An rsyslog that forwards; the function given sends lines through it.

    `action`: parameters of its omfwd or omrelp action. Lines go in by a Unix socket of datagrams,
    unaltered.
    """
    need("rsyslogd")
    folder.mkdir(parents=True, exist_ok=True)
    intake = folder / "in.log"
    intake.touch()
    conf = folder / "rsyslog.conf"
    conf.write_text(
        f"""
global(workDirectory="{folder}" maxMessageSize="256k")
module(load="imfile" PollingInterval="1")
module(load="omrelp")
{more}
template(name="raw" type="string" string="%rawmsg%")
input(type="imfile" file="{intake}" tag="" ruleset="out" readMode="0" addMetadata="off")
template(name="msg" type="string" string="%msg%")
ruleset(name="out" queue.type="LinkedList" queue.size="500000" queue.timeoutEnqueue="600000"
        queue.timeoutShutdown="20000") {{
  action({action} template="msg" action.resumeRetryCount="-1" action.resumeInterval="1"
         queue.type="Direct")
}}
"""
    )
    argv = ["rsyslogd", "-n", "-f", str(conf), "-i", str(folder / "rsyslog.pid")]
    with running(argv, folder / "rsyslog.out"):

        def send(lines: list[bytes]) -> None:
            with intake.open("ab") as out:
                out.write(b"\n".join(lines) + b"\n")

        yield send


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], object], what: str, seconds: float = 120.0) -> None:
    """Wait in a thread of its own kind; fail with `what`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.02)

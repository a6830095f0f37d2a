"""A program for each alert: its JSON on standard input, its key in the environment.

Status 0: done. 75 (EX_TEMPFAIL of sysexits.h), a signal, too long: once more, so many times. Any
other: refused. There is no shell, and the environment has nothing but NORTHBOUND_*.
"""

import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from app.config.connection import ConfigError
from app.deliver.destination import UnreachableError, Waiting
from app.deliver.http_exchange import excerpt
from app.deliver.settings import Place
from app.respond.action import Action, AgainError, RefusedError
from app.respond.notification import Notification

if TYPE_CHECKING:
    from app.config import Config
    from app.config.responses import CommandResponse

TEMPFAIL: Final = 75
STEP_S: Final = 0.2
SAID: Final = 4096
"""Octets of standard error that are read for the reason; the rest is thrown away."""
VALUE_MAX: Final = 1000
NAMES: Final[Mapping[str, str]] = {
    "NORTHBOUND_RESPONSE": "response.name",
    "NORTHBOUND_KEY": "response.key",
    "NORTHBOUND_TRIGGER": "response.trigger",
    "NORTHBOUND_TENANT": "metadata.tenant_uid",
    "NORTHBOUND_UID": "finding_info.uid",
    "NORTHBOUND_RULE": "unmapped.rule.id",
    "NORTHBOUND_TITLE": "finding_info.title",
    "NORTHBOUND_SEVERITY": "severity",
}
"""Variables and the attributes that they hold."""


@dataclass(frozen=True, kw_only=True)
class CommandSettings:
    """`argv`: its first is an absolute path. `folder`: where it runs."""

    argv: Sequence[str]
    folder: Path
    timeout_s: float


class Command(Action):
    """One process at a time."""

    def __init__(self, settings: CommandSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting

    def open(self, address: str) -> None:
        """Look whether it can be run."""
        if not os.access(address, os.X_OK):
            raise UnreachableError(f"{address}: is no program that can be run")

    def act(self, alert: Notification) -> None:
        """Run it to its end."""
        program = self._settings.argv[0]
        with _file(alert.value) as standard_input:
            try:
                process = subprocess.Popen(
                    self._settings.argv,
                    stdin=standard_input,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    cwd=self._settings.folder,
                    env=environment(alert),
                    start_new_session=True,
                )
            except OSError as error:
                raise UnreachableError(f"{program}: {error.strerror}") from None
        with process:
            try:
                said = self._watch(process)
            finally:
                if process.poll() is None:
                    _end(process)
        status = process.returncode
        if status == 0:
            return
        text = f"{program}: {_status(status)} {excerpt(said)}".rstrip()
        if status < 0 or status == TEMPFAIL:
            raise AgainError(text)
        raise RefusedError(text)

    def close(self) -> None:
        """Nothing is open."""

    def _watch(self, process: "subprocess.Popen[bytes]") -> bytes:
        """Until it has ended or its time is over; the beginning of what it said."""
        assert process.stderr is not None  # noqa: S101  # it is a pipe
        pipe = process.stderr.fileno()
        os.set_blocking(pipe, False)
        until = time.monotonic() + self._settings.timeout_s
        said, ended = b"", False
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while process.poll() is None:
            left = until - time.monotonic()
            if left <= 0:
                _end(process)
                program, seconds = self._settings.argv[0], self._settings.timeout_s
                text = f"{program}: ran for {seconds:.0f} s and was ended {excerpt(said)}"
                raise AgainError(text.rstrip())
            if ended:  # it has closed its end, and goes on
                with suppress(subprocess.TimeoutExpired):
                    process.wait(min(left, STEP_S))
            elif poll.poll(min(left, STEP_S) * 1000):
                said, ended = _more(pipe, said)
            self._waiting()
        while not ended and poll.poll(0):
            said, ended = _more(pipe, said)
        return said


def environment(alert: Notification) -> dict[str, str]:
    """Of the program: what it may want to know without reading JSON."""
    found = {name: alert.attributes.get(path, "") for name, path in NAMES.items()}
    return {name: str(value).replace("\0", "")[:VALUE_MAX] for name, value in found.items()}


def _file(value: bytes) -> IO[bytes]:
    """In memory, at its beginning: a program that reads nothing stalls nobody."""
    file = os.fdopen(os.memfd_create("alert"), "w+b")
    file.write(value)
    file.seek(0)
    return file


def _more(pipe: int, said: bytes) -> tuple[bytes, bool]:
    """What it said, and whether it has closed its end."""
    try:
        found = os.read(pipe, SAID)
    except BlockingIOError:
        return said, False
    return (said + found)[:SAID], not found


def _end(process: "subprocess.Popen[bytes]") -> None:
    """It and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _status(status: int) -> str:
    return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def settings(config: "Config", at: Place, to: "CommandResponse") -> CommandSettings:
    """Keys of northbound.yaml as the action is told them. Raises ConfigError."""
    program = config.path(Path(to.argv[0]))
    if not program.is_file() or not os.access(program, os.X_OK):
        text = f"saw {to.argv[0]!r}, expected a program that can be run; {program} is none"
        raise ConfigError([config.problem((*at, "argv", 0), text)])
    return CommandSettings(
        argv=(str(program), *to.argv[1:]), folder=config.home, timeout_s=to.timeout / 1000
    )


def addresses(config: "Config", to: "CommandResponse") -> list[str]:
    """The program."""
    return [str(config.path(Path(to.argv[0])))]

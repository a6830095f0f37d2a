"""Commands: real programs, told apart by how they end."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from app.deliver.destination import StoppedError, UnreachableError
from app.respond.action import AgainError, RefusedError
from app.respond.command import Command, CommandSettings
from app.respond.notification import read
from tests.ingest.peers import wait_for
from tests.respond.findings import RULE, alert, finding


def program(folder: Path, text: str) -> str:
    """A shell script."""
    file = folder / "respond"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o700)
    return str(file)


def command(
    folder: Path,
    text: str,
    *arguments: str,
    seconds: float = 60.0,
    waiting: Callable[[], None] = lambda: None,
) -> Command:
    argv = (program(folder, text), *arguments)
    made = Command(CommandSettings(argv=argv, folder=folder, timeout_s=seconds), waiting)
    made.open(argv[0])
    return made


def test_what_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The alert on standard input, arguments as they are, and an environment of NORTHBOUND_* that
    has nothing of ours; a script cannot be made to do anything by what an alert says."""
    monkeypatch.setenv("NORTHBOUND_PASSWORD", "s3cret")
    title = "$(touch harm) `touch harm`; touch harm\0\n"
    value = finding(3, rule=replace(RULE, title=title))
    script = '/usr/bin/env > environment; /bin/cat > alert; printf "%s\\n" "$@" > arguments'
    command(tmp_path, script, "a b", "$HOME;*").act(read(value, "page"))
    assert (tmp_path / "alert").read_bytes() == value
    assert (tmp_path / "arguments").read_text() == "a b\n$HOME;*\n"
    text = (tmp_path / "environment").read_text()
    assert "s3cret" not in text
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    assert {name for name in found if name not in {"PWD", "_", "SHLVL"}} == {
        "NORTHBOUND_RESPONSE",
        "NORTHBOUND_KEY",
        "NORTHBOUND_TRIGGER",
        "NORTHBOUND_TENANT",
        "NORTHBOUND_UID",
        "NORTHBOUND_RULE",
        "NORTHBOUND_TITLE",
        "NORTHBOUND_SEVERITY",
    }
    assert found["NORTHBOUND_KEY"] == "uid-3.page.first"
    assert found["NORTHBOUND_TENANT"] == "acme"
    assert found["NORTHBOUND_TITLE"].startswith("$(touch harm)")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("script", "kind", "expected"),
    [
        ("echo not now >&2; exit 75", AgainError, "ended with status 75 not now"),
        ("echo no >&2; exit 1", RefusedError, "ended with status 1 no"),
        ("exit 127", RefusedError, "ended with status 127"),
        ("kill -9 $$", AgainError, "was ended by signal 9"),
        ("exec 2>&-; /bin/cat > /dev/null; exit 3", RefusedError, "ended with status 3"),
    ],
)
def test_how_it_ends(script: str, kind: type[Exception], expected: str, tmp_path: Path) -> None:
    """75 and signals: again; anything else but 0: refused, with what it said."""
    with pytest.raises(kind, match=expected):
        command(tmp_path, script).act(alert())


def test_it_may_say_and_read_what_it_likes(tmp_path: Path) -> None:
    """A program that reads nothing, or writes megabytes, stalls nobody."""
    value = read(finding(uids=tuple(f"{number:030}" for number in range(1000))), "page")
    command(tmp_path, "exit 0").act(value)
    noise = "/usr/bin/head -c 5000000 /dev/zero >&2; /usr/bin/head -c 5000000 /dev/zero"
    command(tmp_path, noise).act(value)


def running(file: Path) -> bool:
    """Whether the process whose number is in a file is there and no corpse."""
    try:
        state = Path(f"/proc/{int(file.read_text())}/stat").read_text().rpartition(")")[2]
    except (OSError, ValueError):
        return False
    return state.split()[0] not in {"Z", "X"}


def test_too_long(tmp_path: Path) -> None:
    """One that does not end is ended with what it has started, and tried again."""
    script = "/bin/sleep 600 & echo $! > child; wait"
    begun = time.monotonic()
    with pytest.raises(AgainError, match="ran for 1 s and was ended"):
        command(tmp_path, script, seconds=1.0).act(alert())
    assert time.monotonic() - begun < 60
    wait_for(lambda: not running(tmp_path / "child"), "the child's end")


def test_stopped_meanwhile(tmp_path: Path) -> None:
    """When the lane is to end, so is the program; its alert is not done."""

    def stop() -> None:
        if (tmp_path / "child").exists():
            raise StoppedError

    script = "/bin/sleep 600 & echo $! > child; wait"
    with pytest.raises(StoppedError):
        command(tmp_path, script, waiting=stop).act(alert())
    wait_for(lambda: not running(tmp_path / "child"), "the child's end")


def test_no_program(tmp_path: Path) -> None:
    """One that is gone, or may not be run, is waited for."""
    made = command(tmp_path, "exit 0")
    (tmp_path / "respond").chmod(0o600)
    with pytest.raises(UnreachableError, match="Permission denied"):
        made.act(alert())
    (tmp_path / "respond").unlink()
    with pytest.raises(UnreachableError, match="No such file"):
        made.act(alert())
    with pytest.raises(UnreachableError, match="is no program"):
        made.open(str(tmp_path / "respond"))


def test_not_in_the_process_list(tmp_path: Path) -> None:
    """Nothing of an alert is an argument, which every user of the host may read."""
    made = command(tmp_path, "/bin/cat /proc/$$/cmdline > shown", "given")
    made.act(alert())
    shown = (tmp_path / "shown").read_bytes().split(b"\0")
    assert shown == [b"/bin/sh", str(tmp_path / "respond").encode(), b"given", b""]


def test_signals_are_its_own(tmp_path: Path) -> None:
    """It begins with signals as any program does, in a session of its own."""
    script = "/usr/bin/env -i /bin/ps -o sid= -p $$ > session; kill -TERM $$; exit 1"
    with pytest.raises(AgainError, match=f"was ended by signal {int(signal.SIGTERM)}"):
        command(tmp_path, script).act(alert())
    assert int((tmp_path / "session").read_text()) != os.getsid(0)

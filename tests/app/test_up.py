"""`northbound up` on an existing cluster under a prefix: kill -9, a clean stop and a resume."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.broker import ports
from app.broker.server import EmbeddedKafka
from app.reading import read
from app.status import WORKER_FILE, read_status
from tests.broker.own_user import security
from tests.runtime.processes import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]

REPOSITORY = Path(__file__).parents[2]
NORTHBOUND = str(Path(sys.executable).parent / "northbound")
DEADLINE_S = 120.0


def _until(condition: Callable[[], bool], what: str) -> None:
    wait_for(condition, what, DEADLINE_S)


@contextmanager
def _up(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    log = (folder / "up.log").open("ab")
    process = subprocess.Popen([NORTHBOUND, "up"], cwd=folder, stderr=log, start_new_session=True)
    try:
        seen = (folder / "up.log").stat().st_size
        _until(lambda: b"Up." in (folder / "up.log").read_bytes()[seen:], "Up.")
        yield process
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)


def _configure(folder: Path, kafka: EmbeddedKafka, prefix: str, *, secured: bool = False) -> int:
    port = ports.free("127.0.0.1")
    external: dict[str, Any] = {"bootstrap": kafka.bootstrap, "replication": 1}
    if secured:
        external["bootstrap"] = kafka.northbound
        external["security"] = security(kafka, prefix, folder)
    (folder / "northbound.yaml").write_text(
        f"""\
version: 1
kafka:
  external: {json.dumps(external)}
  topic_prefix: {prefix}
sources:
  qumulo: {{format: qumulo, partitions: 4, tick: 2s, key: spread}}
listeners:
  - {{protocol: tcp, listen: 127.0.0.1:{port}, source: qumulo}}
rules: [{REPOSITORY / "rules" / "qumulo"}]
tenants:
  acme: {{sources: [qumulo]}}
workers: {{count: 2}}
deliveries:
  - {{name: archive, tenant: acme, feeds: [events], to: {{type: file, path: archive.log}}}}
""",
        encoding="utf-8",
    )
    return port


def _send(port: int, first: int, count: int) -> None:
    lines = (
        f"<14>1 2026-01-27T14:12:23.{number:06}Z nas-1 qumulo - - - 10.0.0.7,"
        f'"AD\\\\u{number % 50}",smb2,fs_read_data,ok,{number},"/data/{number}",""\n'
        for number in range(first, first + count)
    )
    with socket.create_connection(("127.0.0.1", port)) as opened:
        opened.sendall("".join(lines).encode())


def _files(kafka: EmbeddedKafka, topic: str) -> Counter[str]:
    events = read({"bootstrap.servers": kafka.bootstrap}, [topic])
    return Counter(orjson.loads(each.value())["file"]["uid"] for each in events)


def _delivered(folder: Path) -> set[str]:
    """What the delivery has put into its file."""
    try:
        lines = (folder / "archive.log").read_bytes().split(b"\n")[:-1]
    except OSError:
        return set()
    return {orjson.loads(line)["file"]["uid"] for line in lines}


def _workers(folder: Path) -> list[dict[str, Any]]:
    found = read_status(folder / "state")  # workers exchange their files while they are read
    return [status for name, status in found.items() if name.startswith(WORKER_FILE)]


def _replaced(folder: Path, victim: int) -> bool:
    """Two workers say that they are there, and the victim is neither."""
    pids = {each["pid"] for each in _workers(folder)}
    return len(pids) == 2 and victim not in pids


def test_events_come_out_once_through_kill_stop_and_resume(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """An operator kills a worker, stops everything, starts it again: each line is one event."""
    prefix = f"{unique('up')}."
    port = _configure(tmp_path, kafka, prefix)
    topic = f"{prefix}northbound.acme.events"
    with _up(tmp_path):
        _send(port, 0, 6_000)
        _until(lambda: sum(_files(kafka, topic).values()) > 0, "a first event")
        victim = wait_for(lambda: _workers(tmp_path), "a worker's status")[0]["pid"]
        _send(port, 6_000, 6_000)
        os.kill(victim, signal.SIGKILL)
        _send(port, 12_000, 6_000)
        _until(lambda: len(_files(kafka, topic)) == 18_000, "an event for each of 18,000 lines")
        _until(lambda: _replaced(tmp_path, victim), "a new worker")
    with _up(tmp_path):
        _send(port, 18_000, 2_000)
        _until(lambda: len(_files(kafka, topic)) == 20_000, "the lines after the restart")
        _until(lambda: len(_delivered(tmp_path)) == 20_000, "each event in the delivery's file")
    assert set(_files(kafka, topic).values()) == {1}


def test_a_secured_cluster_is_enough(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """SASL_SSL and the rights of docs/existing-cluster.md, no more: each line is one event."""
    prefix = f"{unique('up')}."
    port = _configure(tmp_path, kafka, prefix, secured=True)
    topic = f"{prefix}northbound.acme.events"
    with _up(tmp_path):
        _send(port, 0, 2_000)
        _until(lambda: len(_files(kafka, topic)) == 2_000, "an event for each of 2,000 lines")
        _until(lambda: len(_delivered(tmp_path)) == 2_000, "each event in the delivery's file")

        def shown() -> bytes:
            argv = [NORTHBOUND, "status"]
            return subprocess.run(
                argv, cwd=tmp_path, capture_output=True, timeout=120, check=False
            ).stdout

        # Status files are a second late.
        wait_for(lambda: b"archive \xe2\x86\x92 " in shown(), "the delivery in the status")
    assert set(_files(kafka, topic).values()) == {1}
    assert "Secret1Secret2" not in (tmp_path / "up.log").read_text()


def test_a_port_in_use_and_a_second_up_are_one_message(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """Nobody has to read a stack trace to learn that the port is taken."""
    port = _configure(tmp_path, kafka, f"{unique('up')}.")
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        done = subprocess.run(
            [NORTHBOUND, "up"], cwd=tmp_path, capture_output=True, timeout=120, check=False
        )
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()

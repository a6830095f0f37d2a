"""What people see at a terminal, and what they see when nothing runs."""

import os
import pty
import signal
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.broker.cluster_error import ClusterError, cluster_error
from app.commands.topics import ANSWER_HERE_S

NORTHBOUND = str(Path(sys.executable).parent / "northbound")
WIDE = {**os.environ, "COLUMNS": "120", "TERM": "dumb"}
ROOT = Path(__file__).parents[2]


def terminal(folder: Path, *command: str) -> str:
    """What a command writes to a terminal."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=WIDE, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        written = b""
        while True:
            try:
                part = os.read(ours, 65_536)
            except OSError:  # the terminal's other end is closed
                break
            if not part:
                break
            written += part
        assert process.wait(120) in (0, 1)
    finally:
        os.close(ours)
    return written.decode().replace("\r\n", "\n")


def test_cells_are_written_as_people_do() -> None:
    """No Python names of values: a list is its items, None is nothing, True is yes."""
    row: dict[str, Any] = {"a": ["x", "y"], "b": None, "c": True, "d": "[red]", "e": 7}
    code = f"from app.output import rows; rows([{row}], list('abcde'), json=False, title='T')"
    (line,) = [
        line
        for line in terminal(ROOT, sys.executable, "-c", code).splitlines()
        if "x" in line and "7" in line
    ]
    assert [cell.strip() for cell in line.strip("│ ").split("│")] == [
        "x, y",
        "",
        "yes",
        "[red]",
        "7",
    ]


def test_an_empty_table_is_a_sentence() -> None:
    """A head without rows looks like a fault."""
    code = "from app.output import rows; rows([], ['a'], json=False, title='Dead letters')"
    assert terminal(ROOT, sys.executable, "-c", code).strip() == "Dead letters: none"


def test_no_hit_is_said(tmp_path: Path) -> None:
    """At a terminal; a pipe gets nothing, and both end with 0."""
    (tmp_path / "rule.yml").write_text(
        "title: T\nid: 5f4b7b0c-2f0f-4b39-a1f5-000000000001\nstatus: test\nlevel: low\n"
        "logsource: {product: qumulo}\ndetection: {a: {name: x}, condition: a}\n"
    )
    (tmp_path / "events.ndjson").write_text('{"name": "y"}\n')
    command = [NORTHBOUND, "match", "--rules", "rule.yml", "events.ndjson"]
    assert terminal(tmp_path, *command).strip() == "No rule matched."
    piped = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    assert piped.stdout == b""
    assert piped.stderr == b""


def test_status_when_nothing_runs(tmp_path: Path) -> None:
    """The next step: nobody asks a Kafka that this host would have to start."""
    (tmp_path / "northbound.yaml").write_text(
        "version: 1\n"
        "kafka: {embedded: {data: ./data, northbound: {listen: 127.0.0.1:0, advertise: x:1}}}\n"
        "sources: {qumulo: {format: qumulo}}\n"
    )
    done = subprocess.run(
        [NORTHBOUND, "status"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stderr.strip() == "Nothing runs here; start it with `northbound up`."


@pytest.mark.parametrize("command", [("tenants", "list"), ("topics", "list")])
def test_without_kafka_the_next_step_is_said_soon(tmp_path: Path, command: tuple[str, ...]) -> None:
    """It took 30 s to say that nobody answers."""
    (tmp_path / "northbound.yaml").write_text(
        "version: 1\n"
        "kafka: {embedded: {internal: '127.0.0.1:1', northbound: {advertise: x:1}}}\n"
        "sources: {qumulo: {format: qumulo}}\n"
        "tenants: {acme: {sources: [qumulo]}}\n"
    )
    done = subprocess.run(
        [NORTHBOUND, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(
        f"Kafka at 127.0.0.1:1 does not answer within {ANSWER_HERE_S:.0f} s"
    ), done.stderr
    assert "Start it with `northbound up`" in done.stderr


@pytest.mark.parametrize("command", [("rules", "list", str(ROOT / "rules")), ("parse",)])
def test_a_reader_that_has_seen_enough(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Piped into `head`, a command ends as `cat` would: by SIGPIPE and without a word."""
    ours, theirs = os.pipe()
    os.close(ours)
    try:
        done = subprocess.run(
            [NORTHBOUND, *command],
            cwd=tmp_path,
            input=b"<14>1 2026-11-27T00:00:00Z nas app - - - text\n",
            stdout=theirs,
            stderr=subprocess.PIPE,
            check=False,
            timeout=120,
        )
    finally:
        os.close(theirs)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


@pytest.mark.parametrize("code", [KafkaError._TRANSPORT, KafkaError._TIMED_OUT])
def test_a_cluster_that_does_not_answer(code: int) -> None:
    """One sentence with the next step."""
    with pytest.raises(ClusterError, match="is Kafka up"), cluster_error("list topics"):
        raise KafkaException(KafkaError(code))


def test_a_cluster_that_never_answers() -> None:
    """`tenants list` gave a stack trace when its request was never done."""
    expected = pytest.raises(ClusterError, match="Cannot list users: No answer in time")
    with expected, cluster_error("list users"):
        Future[None]().result(0.01)

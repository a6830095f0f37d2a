"""`northbound ingest` as a process, and `northbound replay`."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
import yaml
from typer.testing import CliRunner

from app.broker.server import EmbeddedKafka
from app.cli import app
from app.commands.ingest import agent_settings
from app.config import load
from tests.ingest.peers import wait_for
from tests.ingest.rig import read_topic, values

LINE = b"<14>1 2026-01-27T14:12:23.9558Z nas-%d qumulo - - - line %d"


@pytest.fixture
def config(
    kafka: EmbeddedKafka, create_topic: Callable[..., str], tmp_path: Path
) -> tuple[Path, str]:
    """northbound.yaml with a source that has a topic, and the source's name."""
    source = create_topic("raw.command", partitions=4).removeprefix("raw.")
    file = tmp_path / "northbound.yaml"
    content = {
        "version": 1,
        "kafka": {"external": {"bootstrap": kafka.bootstrap, "replication": 1}},
        "sources": {source: {"format": "qumulo", "partitions": 4, "tick": "7m", "key": "spread"}},
        "listeners": [
            {
                "protocol": "tcp",
                "listen": "127.0.0.1:0",
                "source": source,
                "framing": "lf",
                "max_line": 9_000,
                "oversize": "split",
            }
        ],
    }
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return file, source


@pytest.mark.broker
def test_settings_follow_the_configuration(config: tuple[Path, str]) -> None:
    """Every key of a listener and its source reaches the agent."""
    file, source = config
    settings = agent_settings(load(file))
    each = settings.listeners[0]
    assert (each.source, each.host, each.port, each.protocol) == (source, "127.0.0.1", 0, "tcp")
    assert (each.framing, each.limit, each.oversize, each.key) == ("lf", 9_000, "split", "spread")
    assert settings.ticks == {source: 420.0}
    assert settings.status_file == file.parent / "state" / "ingest.json"


@pytest.mark.broker
def test_ingest_runs_until_sigterm(config: tuple[Path, str], kafka: EmbeddedKafka) -> None:
    """The process listens, publishes, writes its status file and ends with 0 on SIGTERM."""
    file, source = config
    status = file.parent / "state" / "ingest.json"
    process = subprocess.Popen(
        [sys.executable, "-c", "from app.cli import main; main()", "ingest", "--config", str(file)],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )

    def written() -> bool:
        assert process.poll() is None
        return status.exists()

    try:
        wait_for(written, "the status file")
        address = orjson.loads(status.read_bytes())["listeners"][0]["address"]
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"<13>one\n<13>two\n<13>three")
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait()
    told = orjson.loads(status.read_bytes())
    assert told["listeners"][0]["published"] == 3
    found = values(read_topic(kafka.bootstrap, f"raw.{source}", 3))
    assert sorted([b"<13>one", b"<13>two", b"<13>three"]) == sorted(found)


@pytest.mark.broker
@pytest.mark.parametrize("framing", ["lf", "octet"])
def test_replay_publishes_a_file(
    config: tuple[Path, str], kafka: EmbeddedKafka, tmp_path: Path, framing: str
) -> None:
    """A file's lines are in the raw topic, exact, each host's in order; counts are printed."""
    file, source = config
    lines = [LINE % (n % 3, n) for n in range(3_000)]
    log = tmp_path / "audit.log"
    if framing == "lf":
        log.write_bytes(b"\n".join(lines) + b"\n\n")
    else:
        log.write_bytes(b"".join(b"%d %b" % (len(line), line) for line in lines))
    argv = ["replay", str(log), "--source", source, "--framing", framing, "--config", str(file)]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 0, result.output
    told = orjson.loads(result.stdout)
    assert (told["published"], told["refused"]) == (3_000, 0)
    assert told["empty"] == (1 if framing == "lf" else 0)
    found = read_topic(kafka.bootstrap, f"raw.{source}", 3_000)
    for host in (b"nas-0", b"nas-1", b"nas-2"):
        mine = [message.value() for message in found if message.key() == host]
        assert mine == [line for line in lines if b" %b " % host in line]


@pytest.mark.broker
def test_replay_keeps_to_a_rate(config: tuple[Path, str], tmp_path: Path) -> None:
    """With --rate no more lines a second are published."""
    file, source = config
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(b"<13>line %d\n" % n for n in range(300)))
    started = time.monotonic()
    argv = ["replay", str(log), "--source", source, "--rate", "400", "--config", str(file)]
    assert CliRunner().invoke(app, argv).exit_code == 0
    assert time.monotonic() - started >= 300 / 400 - 0.06


@pytest.mark.broker
@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["--source", "nobody"], 2, "no source 'nobody'; expected one of"),
        (["--framing", "xml"], 2, "no framing 'xml'; expected one of auto, lf, octet, nul"),
        (["--framing", "octet"], 1, "Is --framing octet right?"),
    ],
)
def test_replay_says_what_is_wrong(
    config: tuple[Path, str], tmp_path: Path, argv: list[str], status: int, message: str
) -> None:
    """A mistake ends with a message that says what to do."""
    file, source = config
    log = tmp_path / "audit.log"
    log.write_bytes(b"<13>line\n")
    base = ["replay", str(log), "--config", str(file)]
    base += [] if "--source" in argv else ["--source", source]
    result = CliRunner().invoke(app, [*base, *argv])
    assert result.exit_code == status
    assert message in result.stderr.replace("\n", " ")


@pytest.mark.broker
def test_replay_of_no_file(config: tuple[Path, str], tmp_path: Path) -> None:
    """A file that is not there is named."""
    file, source = config
    missing = tmp_path / "none.log"
    argv = ["replay", str(missing), "--source", source, "--config", str(file)]
    result = CliRunner().invoke(app, argv)
    assert result.exit_code == 1
    assert "cannot read" in result.stderr

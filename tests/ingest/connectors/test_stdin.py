"""`northbound ingest --stdin`: to the end of the input, all of it acknowledged, or a status."""

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from app.broker.server import EmbeddedKafka
from tests.ingest.connectors.rig import Agent
from tests.ingest.rig import read_topic, values

pytestmark = pytest.mark.broker


@pytest.fixture
def agent(kafka: EmbeddedKafka, create_topic: Callable[..., str], tmp_path: Path) -> Agent:
    """A northbound.yaml with a source whose raw topic has one partition."""
    source = create_topic("raw.stdin").removeprefix("raw.")
    return Agent(tmp_path, kafka.bootstrap, source)


def test_a_file_and_a_pipe(agent: Agent, kafka: EmbeddedKafka, tmp_path: Path) -> None:
    """All lines, exact and in order, the last one too; the ledger on standard output; status 0."""
    lines = [b"line %d \xff" % n for n in range(50_000)]
    argv = [*agent.argv, "--stdin", "--source", agent.source]
    file = tmp_path / "lines"
    file.write_bytes(b"\r\n\n".join(lines))
    with file.open("rb") as data:
        ended = subprocess.run(argv, stdin=data, env=agent.env, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    ledger = orjson.loads(ended.stdout)
    assert (ledger["received"], ledger["published"], ledger["empty"]) == (50_000, 50_000, 49_999)
    assert ledger["balanced"]
    ended = subprocess.run(
        [*argv, "--framing", "octet"],
        input=b"5 a\nb\nc3 def",
        env=agent.env,
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = values(read_topic(kafka.bootstrap, f"raw.{agent.source}", 50_002))
    assert found == [*lines, b"a\nb\nc", b"def"]


def test_what_ends_it_early(agent: Agent, kafka: EmbeddedKafka) -> None:
    """SIGTERM, a fault of framing and a wrong source end with a status and a reason; what was
    read before is in the topic."""
    argv = [*agent.argv, "--stdin", "--source", agent.source]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=agent.env
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"one\ntwo\nthr")
        process.stdin.flush()
        read_topic(kafka.bootstrap, f"raw.{agent.source}", 2)
        process.send_signal(signal.SIGTERM)
        process.wait(120)  # before `communicate` closes the pipe, which would be the end of it
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert orjson.loads(out)["published"] == 2
    assert b"stopped before the end of standard input" in errors
    for more, status, reason in (
        (["--framing", "octet"], 1, b"What follows was not published"),
        (["--framing", "xml"], 2, b"expected one of auto, lf, octet, nul"),
        (["--source", "nobody"], 2, b"saw 'nobody', expected one of"),
    ):
        ended = subprocess.run(
            [*argv, *more], input=b"3 abc!", env=agent.env, capture_output=True, check=False
        )
        assert (ended.returncode, reason in ended.stderr) == (status, True), ended.stderr
    found = values(read_topic(kafka.bootstrap, f"raw.{agent.source}", 3))
    assert found == [b"one", b"two", b"abc"]

"""Which agents a worker runs: a name that the placement does not have stops it with the others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.cli import app

ROOT = Path(__file__).parents[2]
FUSED = """\
version: 1
kafka:
  embedded: {data: ./data}
sources:
  q: {format: qumulo}
"""


def _faust(folder: Path, agents: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "faust", "-A", "app.worker", "worker"],
        cwd=ROOT,
        env={
            **os.environ,
            "NORTHBOUND_CONFIG": str(folder / "northbound.yaml"),
            "NORTHBOUND_AGENTS": agents,
        },
        capture_output=True,
        timeout=150,
        check=False,
        text=True,
    )


@pytest.mark.parametrize(
    ("expose", "known"),
    [("", "events or alerts"), ("expose: [normalized]\n", "normalize or events or alerts")],
)
def test_an_agent_that_is_not_there_is_named(tmp_path: Path, expose: str, known: str) -> None:
    """`northbound worker` and `faust worker` say which agents this configuration has."""
    (tmp_path / "northbound.yaml").write_text(FUSED + expose, encoding="utf-8")
    wrong = "nonsense" if expose else "normalize"
    options = ("--agent", wrong, "--config", str(tmp_path / "northbound.yaml"))
    refused = CliRunner().invoke(app, ["worker", *options])
    assert refused.exit_code == 2
    assert f"no agent {wrong}; expected {known}" in " ".join(refused.stderr.split())
    done = _faust(tmp_path, f"events,{wrong}")
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert (
        f"NORTHBOUND_AGENTS: saw '{wrong}', expected one of {known.replace(' or ', ', ')}" in text
    )


@pytest.mark.parametrize(
    ("given", "bound"), [("", "127.0.0.1"), ("workers: {web_host: 0.0.0.0}\n", "0.0.0.0")]
)
def test_what_a_worker_shows_is_for_this_host_unless_others_are_let_in(
    tmp_path: Path, given: str, bound: str
) -> None:
    """Faust's web server is on all addresses by itself, and asks no password."""
    file = tmp_path / "northbound.yaml"
    file.write_text(FUSED + given, encoding="utf-8")
    code = "from app.worker import app; print(app.conf.web_bind)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "NORTHBOUND_CONFIG": str(file)},
        capture_output=True,
        timeout=150,
        check=True,
        text=True,
    )
    assert done.stdout.strip() == bound

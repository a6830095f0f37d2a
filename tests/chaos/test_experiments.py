"""A short experiment of `make chaos` on real processes, and what it leaves for others to check."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from app.config import Config, load
from app.reading import read
from chaos.__main__ import run
from chaos.experiments.kill import FEW_KILLS
from chaos.table import Result
from tests.runtime.processes import wait_for

pytestmark = [pytest.mark.broker, pytest.mark.kill]

ROOT = Path(__file__).parents[2]
NORTHBOUND = str(Path(sys.executable).parent / "northbound")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "run"


@pytest.fixture(scope="module")
def kept(folder: Path, seed: int) -> Result:
    """Senders, agent, two workers, three kill -9; topics and input stay, as KEEP_TOPICS=1 does."""
    return run("few-kills", FEW_KILLS, seed, folder, keep=True)


@pytest.fixture
def started(kept: Result, folder: Path) -> Iterator[Config]:
    """The broker of the run again, as docs/guarantees.md says."""
    assert kept.kept
    arguments = ["up", "--no-ingest", "--no-workers", "--config", str(folder / "northbound.yaml")]
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen([NORTHBOUND, *arguments], stdout=log, stderr=log)
    try:
        wait_for(lambda: "stop " in (folder / "up.log").read_text(), "up is up", 120)
        yield load(folder / "northbound.yaml")
    finally:
        process.terminate()
        process.wait(120)


def check(config: Config, folder: Path) -> subprocess.CompletedProcess[str]:
    """The program that docs/guarantees.md prints, run as it says."""
    text = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (folder / "check.py").write_text(program, encoding="utf-8")
    command = [sys.executable, folder / "check.py", config.client()["bootstrap.servers"], folder]
    return subprocess.run(
        [*command, ROOT / "schemas" / "avro" / "dead_letter.v1.avsc"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_kills_of_workers(kept: Result) -> None:
    """The books of the short experiment balance."""
    print(kept)
    assert kept.good, kept


def test_a_kept_run_is_checked_from_outside(kept: Result, started: Config, folder: Path) -> None:
    """The documented program comes to the same figures, and sees a record too many."""
    done = check(started, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    row = kept.row
    expected = f"{row.sent} raw records: {row.events} events, {row.dead_letters} dead letters"
    assert expected in done.stdout
    events = started.names.events("acme")
    producer = Producer(started.client())
    producer.produce(events, next(read(started.client(), [events])).value())
    assert producer.flush(60) == 0
    done = check(started, folder)
    assert done.returncode == 1
    assert "'doubled': 1" in done.stdout, done.stdout + done.stderr

"""The README's first command, with fewer lines: it has to balance with any seed."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import confluent_kafka
import pytest

from tests.ingest.peers import absent

pytestmark = [pytest.mark.broker]

NORTHBOUND = str(Path(sys.executable).parent / "northbound")
LAST = "Ctrl-C ends it."


def test_the_demo_balances(tmp_path: Path, seed: int) -> None:
    """Every raw record has one outcome, each incident one final; what --keep prints works.

    Its commands are run as they are printed, kcat where it can be had.
    """
    kcat = not absent("kcat")
    assert kcat or not os.environ.get("CI"), "apt-get cannot install kcat"
    options = ["--seed", str(seed + 1), "--lines", "15000", "--folder", str(tmp_path / "demo")]
    log = tmp_path / "demo.log"
    with (
        log.open("w") as out,
        subprocess.Popen([NORTHBOUND, "demo", "--keep", *options], stdout=out, stderr=out) as demo,
    ):
        try:
            until(lambda: LAST in log.read_text() or demo.poll() is not None, "the demo's end")
            text = log.read_text()
            assert "Every row balances." in text, text[-6000:]
            printed = [line.strip() for line in text.splitlines() if line.startswith("  ")]
            (folder,) = [line for line in printed if line.startswith("cd ")]
            for line in printed:
                if "consumer.py" in line or (line.startswith("kcat -F") and kcat):
                    found = first_line(f"{folder} && exec {line}", current_librdkafka(tmp_path))
                    assert found.startswith(b"{"), line
                if "status" in line:
                    done = subprocess.run(
                        line.split(), capture_output=True, timeout=120, check=False
                    )
                    assert done.returncode == 0, done.stderr
            demo.send_signal(signal.SIGINT)
            assert demo.wait(120) == 0, log.read_text()[-3000:]
        finally:
            demo.kill()


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail with `what` when it does not come."""
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline, f"waited 300 s for {what}"
        time.sleep(0.1)


def current_librdkafka(folder: Path) -> dict[str, str]:
    """An environment in which kcat runs on confluent-kafka's librdkafka: Debian 12's is too old."""
    libraries = Path(confluent_kafka.__file__).parent.with_name("confluent_kafka.libs")
    link = folder / "librdkafka.so.1"
    if not link.exists():
        link.symlink_to(next(libraries.glob("librdkafka-*")))
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}


def first_line(command: str, environment: dict[str, str]) -> bytes:
    """What a command that goes on prints first."""
    argv = ["/bin/sh", "-c", command]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=environment) as process:
        stop = threading.Timer(120, process.kill)
        stop.start()
        assert process.stdout is not None
        line = process.stdout.readline()
        stop.cancel()
        process.kill()
        return line

"""A deployment on the session's broker, and a worker of it, for tests of what workers do."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.broker import admin, ports
from app.config import Config, load
from app.planning import build_plan, declared
from tests.runtime.processes import ROOT


def deploy(folder: Path, text: str) -> Config:
    """northbound.yaml in a folder, with its topics."""
    file = folder / "northbound.yaml"
    file.write_text(text, encoding="utf-8")
    config = load(file)
    topics = declared(config, build_plan(config, origins={}))
    admin.ensure(admin.connect(config.client()), topics, 1)
    return config


@contextmanager
def working(config: Config, level: str = "warn", app: str = "app.worker") -> Iterator[Path]:
    """A worker for the block, ended in order behind it; its log."""
    log = config.home / "worker.log"
    web = str(ports.free("127.0.0.1"))
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-m", "faust", "-A", app, "worker", "-l", level, "--web-port", web],
            cwd=ROOT,
            env={**os.environ, "NORTHBOUND_CONFIG": str(config.home / "northbound.yaml")},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield log
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(120) == 0
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()

"""A Kafka that ends under `northbound up` is started again, however often that fails."""

from pathlib import Path
from typing import Any

import pytest

from app import deployment
from app.broker.errors import BrokerError
from app.config import load
from app.deployment import Deployment

CONFIG = """\
version: 1
kafka: {embedded: {data: ./data, northbound: {listen: '127.0.0.1:1', advertise: '127.0.0.1:1'}}}
sources: {q: {format: qumulo}}
"""


class Broker:
    """Comes up at the third try."""

    def __init__(self) -> None:
        self.tries = 0

    def failure(self) -> str | None:
        return None if self.tries > 2 else "it was killed"

    def relaunch(self) -> None:
        self.tries += 1
        if self.tries == 1:
            raise BrokerError("No room.")

    def renew(self) -> bool:
        return False


def test_a_broker_that_does_not_come_up_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The agent goes on to take lines into its spools, other brokers lead what this one led, and
    an operator who makes room has to do no more."""
    monkeypatch.setattr(deployment, "FIRST_PAUSE", 0.0)
    file = tmp_path / "northbound.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    said: list[str] = []
    broker: Any = Broker()
    running = Deployment(file, load(file), said.append, kafka=broker)
    for _ in range(5):
        running.check()
    assert broker.tries == 3
    ended = "Kafka ended (it was killed); starting it again"
    failed = "Kafka cannot be started: No room. Trying again in 0.0 s."
    assert said == [ended, failed, ended, ended]


def test_tries_are_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong with it is not told a thousand times."""
    monkeypatch.setattr(deployment, "FIRST_PAUSE", 3_600.0)
    file = tmp_path / "northbound.yaml"
    file.write_text(CONFIG, encoding="utf-8")
    broker: Any = Broker()
    running = Deployment(file, load(file), print, kafka=broker)
    for _ in range(3):
        running.check()
    assert broker.tries == 1

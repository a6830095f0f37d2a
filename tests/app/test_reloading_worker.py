"""A worker on a real broker takes up a table that changes while records come in."""

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer

from app.broker.server import EmbeddedKafka
from app.config import Config
from app.reading import read
from tests.app.deployed import deploy, working
from tests.runtime.processes import wait_for
from tests.topology.deployment import line

pytestmark = [pytest.mark.broker]


@pytest.fixture
def config(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Config:
    """A deployment with a table of users, and its topics."""
    _exchange(tmp_path, "user,team\neve,red\n")
    return deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("reloading")}.
  matches_partitions: 1
sources:
  q: {{format: qumulo, partitions: 2}}
enrich:
  - {{dictionary: users.csv, key: user, field: actor.user.name, as: person}}
tenants:
  acme: {{sources: [q]}}
""",
    )


def _exchange(folder: Path, text: str) -> None:
    new = folder / "users.new"
    new.write_text(text, encoding="utf-8")
    new.rename(folder / "users.csv")


def _elements(config: Config) -> list[tuple[str, dict[str, Any]]]:
    """Path and enrichment of each event."""
    events = [
        orjson.loads(each.value()) for each in read(config.client(), [config.names.events("acme")])
    ]
    return [(event["file"]["path"], event["enrichments"][0]) for event in events]


def test_a_worker_takes_up_a_changed_table(config: Config) -> None:
    """Every line is one event, of one of the two versions; the wrong table between is not used."""
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    sent = 0

    def team() -> str:
        """What the next line is enriched with."""
        nonlocal sent
        stamp = int(time.time() * 1000)
        path = f"/data/{sent}.txt"
        producer.produce(config.names.raw("q"), line(stamp, "eve", path=path), partition=sent % 2)
        assert producer.flush(60) == 0
        sent += 1
        found = wait_for(lambda: dict(_elements(config)).get(path), "the line as an event")
        return str(found["data"]["team"])

    with working(config) as log:
        assert team() == "red"
        _exchange(config.home, "user,team\neve\n")
        told = f"{config.home / 'users.csv'}:2: saw 1 values, expected 2"
        wait_for(lambda: told in log.read_text(encoding="utf-8"), "the mistake in the log")
        assert team() == "red"
        _exchange(config.home, "user,team\neve,blue\n")
        wait_for(lambda: team() == "blue", "the changed table")
    elements = _elements(config)
    assert Counter(path for path, _ in elements) == {f"/data/{n}.txt": 1 for n in range(sent)}
    versions = {(element["data"]["team"], element["provider"]) for _, element in elements}
    assert len(versions) == len({team for team, _ in versions}) == 2

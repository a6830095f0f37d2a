"""`northbound backtest` on a real broker: the finals of live workers, from the raw topics alone."""

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from app.broker.server import EmbeddedKafka
from app.cli import app
from app.config import Config
from app.reading import read
from tests.app.deployed import deploy, working
from tests.runtime.processes import wait_for
from tests.topology.deployment import START, line

pytestmark = pytest.mark.broker

RULES = """
title: Deleted
id: 11111111-1111-4111-8111-111111111111
name: deleted
logsource: {product: qumulo, service: audit}
detection: {sel: {metadata.event_code: fs_delete}, condition: sel}
northbound:
  lists: [{add: deleters, key: [actor.user.name]}]
---
title: Read after a deletion
id: 44444444-4444-4444-8444-444444444444
logsource: {product: qumulo, service: audit}
detection: {sel: {metadata.event_code: fs_read_data}, condition: sel}
northbound:
  lists: [{in: deleters, key: [actor.user.name]}]
---
title: Many again
id: 55555555-5555-4555-8555-555555555555
correlation:
  type: event_count
  rules: [many]
  group-by: [actor.user.name]
  timespan: 30s
  condition: {gte: 1}
  generate: true
---
title: Many by one user
id: 22222222-2222-4222-8222-222222222222
name: many
correlation:
  type: event_count
  rules: [deleted]
  group-by: [actor.user.name]
  timespan: 20s
  condition: {gte: COUNT}
---
title: Several paths
id: 33333333-3333-4333-8333-333333333333
correlation:
  type: value_count
  rules: [deleted]
  group-by: [actor.user.name]
  timespan: 10s
  condition: {field: file.path, gte: 4}
"""
LINES, STEP_MS, PARTITIONS = 1_200, 400, 2
END = START + LINES * STEP_MS


@pytest.fixture
def config(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str], seed: int) -> Config:
    """A deployment with raw lines of eight minutes, and ticks that close all windows.

    Kafka looks every five minutes for what is beyond its retention, which START is by default.
    """
    (tmp_path / "rules.yml").write_text(RULES.replace("COUNT", "6"), encoding="utf-8")
    config = deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("backtest")}.
sources: {{q: {{format: qumulo, partitions: {PARTITIONS}, lateness: 5s, retention: 3650d}}}}
rules: [rules.yml]
lists: {{deleters: {{key: [user], ttl: 3s}}}}
tenants: {{acme: {{sources: [q]}}}}
""",
    )
    draw = random.Random(seed)
    producer = Producer(config.client())
    raw = config.names.raw("q")
    for number in range(LINES):
        now = START + number * STEP_MS
        text = line(
            now - draw.randrange(3_000),
            f"user{draw.randrange(8)}",
            draw.choice(["fs_delete", "fs_read_data"]),
            f"/data/{draw.randrange(6)}",
        )
        producer.produce(raw, text, partition=draw.randrange(PARTITIONS), timestamp=now)
    for number in range(PARTITIONS):
        producer.produce(raw, None, partition=number, timestamp=END + 120_000)
    assert producer.flush(60) == 0
    return config


def _backtest(config: Config, *arguments: str) -> list[dict[str, Any]]:
    path = str(config.home / "northbound.yaml")
    result = CliRunner().invoke(app, ["backtest", *arguments, "--config", path])
    assert result.exit_code == 0, result.stderr
    return [json.loads(each) for each in result.stdout.splitlines()]


def _title(found: dict[str, Any]) -> str:
    return str(found["alert"]["finding_info"]["title"])


def _replayed(config: Config, time: int) -> str:
    """What `northbound replay` says of a file with a line of this time."""
    file = config.home / "replayed.log"
    file.write_bytes(line(time, "late") + b"\n")
    path = str(config.home / "northbound.yaml")
    arguments = ["replay", str(file), "--source", "q", "--config", path]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.stderr
    return result.stderr


def _moment(millis: int) -> str:
    return datetime.fromtimestamp(millis / 1000, UTC).isoformat()


def _live(config: Config) -> list[bytes]:
    """Final alerts that were written."""
    found = [each.value() for each in read(config.client(), [config.names.alerts("acme")])]
    return sorted(each for each in found if b'"state":"final"' in each)


def _run_worker(config: Config, finals: int) -> None:
    with working(config):
        wait_for(lambda: len(_live(config)) >= finals, "the finals")


def test_the_finals_are_those_of_live_workers(config: Config) -> None:
    """Byte for byte; from a time on the same ones, as counts reach back before it; other rules give
    others; and what is open at the end is told so. A line that is replayed behind all that is told
    to count no more."""
    everything = _backtest(config, "--from", _moment(START), "--to", _moment(END + 300_000))
    assert not any(each["open"] for each in everything)
    titles = set(map(_title, everything))
    listed = {"Several paths", "Read after a deletion"}
    assert titles == {"Many by one user", "Many again", *listed}
    finals = sorted(orjson.dumps(each["alert"]) for each in everything)
    _run_worker(config, len(finals))
    assert [orjson.dumps(orjson.loads(each)) for each in _live(config)] == finals
    middle = START + LINES * STEP_MS // 2
    later = _backtest(config, "--from", _moment(middle), "--to", _moment(END + 300_000))
    wanted = [each for each in everything if each["alert"]["time"] >= middle]
    assert len(wanted) < len(everything)
    assert sorted(orjson.dumps(each) for each in later) == sorted(map(orjson.dumps, wanted))
    stricter = config.home / "stricter.yml"
    stricter.write_text(RULES.replace("COUNT", "500"), encoding="utf-8")
    span = ["--from", _moment(START), "--to", _moment(END + 300_000)]
    found = _backtest(config, *span, "--rules", str(stricter))
    assert set(map(_title, found)) == listed
    alone = config.home / "alone.yml"
    alone.write_text(RULES.rpartition("---")[2], encoding="utf-8")
    found = _backtest(config, *span, "--rules", str(alone))  # its base is in rules.yml
    wanted = [each for each in everything if _title(each) == "Several paths"]
    assert sorted(orjson.dumps(each) for each in found) == sorted(map(orjson.dumps, wanted))
    assert _backtest(config, "--from", _moment(START - 7_200_000), "--to", _moment(START - 1)) == []
    cut = _backtest(config, "--from", _moment(START), "--to", _moment(END - 1_000))
    assert any(each["open"] for each in cut)
    wait_for(  # what Kafka does not say in time is not told
        lambda: "no correlation counts them" in _replayed(config, START), "a late line is told"
    )


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--from", "yesterday"], "--from: saw 'yesterday', expected a time such as"),
        (["--from", "2026-01-01T00:00:00"], "write 2026-01-01T00:00:00Z, or +01:00"),
        (["--from", "2026-01-01"], "has no zone; write 2026-01-01T00:00:00Z"),
        (["--from", "1h", "--to", "2h"], "is not before --to"),
        (["--from", "1h", "--tenant", "other"], "no tenant other; expected one of acme"),
    ],
)
def test_what_is_asked_for_wrongly(tmp_path: Path, arguments: list[str], problem: str) -> None:
    """Said at once, without Kafka."""
    file = tmp_path / "northbound.yaml"
    file.write_text(
        "version: 1\nkafka: {external: {bootstrap: '127.0.0.1:1'}}\n"
        "sources: {q: {format: qumulo}}\ntenants: {acme: {sources: [q]}}\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(app, ["backtest", *arguments, "--config", str(file)])
    assert (result.exit_code, problem in result.stderr) == (2, True), result.stderr

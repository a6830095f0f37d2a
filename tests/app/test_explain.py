"""`northbound explain` on a real broker: from an alert to the exact raw lines."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from app.broker.server import EmbeddedKafka
from app.cli import app
from app.config import Config
from app.lineage import place_of
from app.reading import ReadingError, read
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
---
title: Three by one user
id: 22222222-2222-4222-8222-222222222222
level: high
correlation:
  type: event_count
  rules: [deleted]
  group-by: [actor.user.name]
  timespan: 1h
  condition: {gte: 3}
"""
LINES = [
    line(START, "eve", path="/data/a, b.txt"),
    line(START + 1, "bob"),
    line(START + 2, "eve", path="/data/ü.txt"),
    line(START + 3, "eve", path="/data/c.txt"),
]


@pytest.fixture
def config(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Config:
    """A deployment whose worker has made an alert of three of LINES."""
    (tmp_path / "rules.yml").write_text(RULES, encoding="utf-8")
    config = deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("explain")}.
sources: {{q: {{format: qumulo, partitions: 2}}}}
rules: [rules.yml]
tenants: {{acme: {{sources: [q]}}}}
""",
    )
    producer = Producer(config.client())
    for number, text in enumerate(LINES):
        producer.produce(config.names.raw("q"), text, partition=number % 2)
    assert producer.flush(60) == 0
    with working(config):
        wait_for(lambda: _alert(config), "the alert")
    return config


def _alert(config: Config) -> dict[str, Any] | None:
    found = read(config.client(), [config.names.alerts("acme")])
    return next((orjson.loads(each.value()) for each in found), None)


def _run(config: Config, *arguments: str) -> Any:
    path = str(config.home / "northbound.yaml")
    return CliRunner().invoke(app, ["explain", *arguments, "--config", path])


def test_from_the_alert_to_its_lines(config: Config) -> None:
    """All its events with their lines, byte for byte; then one event with what is made of it; what
    nobody knows is said. A uid that begins with a dash is no option. Without its source an alert is
    shown without its lines."""
    alert = _alert(config)
    assert alert is not None
    result = _run(config, alert["metadata"]["uid"])
    assert result.exit_code == 0, result.stderr
    first, *events = [json.loads(each) for each in result.stdout.splitlines()]
    assert first["alert"]["metadata"]["uid"] == alert["metadata"]["uid"]
    wanted = {LINES[0].decode(), LINES[2].decode(), LINES[3].decode()}
    assert {each["line"] for each in events} == wanted
    assert len(events) == 3
    one = next(each for each in events if "ü" in each["line"])
    assert one["offset"] == 1
    result = _run(config, one["uid"])
    assert result.exit_code == 0, result.stderr
    event = json.loads(result.stdout)
    assert event["line"] == LINES[2].decode()
    assert event["events"][0]["metadata"]["uid"] == one["uid"]
    assert event["events"][0]["file"]["path"] == "/data/ü.txt"
    stem = one["uid"][:11]
    for uid, problem in {
        f"{stem}-0-99": "at 99 is not kept any more",
        f"{stem}-9-0": "at 0 is not kept any more, or was never written",
        f"{stem}-0-{9**30}": "is not kept any more, or was never written",
        f"{stem}-{9**20}-0": "is not kept any more, or was never written",
        "AAAAAAAAAAA-0-1": "no raw topic here gives uids that begin with AAAAAAAAAAA",
        "-AAAAAAAAAA-0-1": "no raw topic here gives uids that begin with -AAAAAAAAAA",
        "none": "no alert with this uid is kept in",
        "-" + 21 * "c": "no alert with this uid is kept in",
        "-" + 21 * "c" + "-final": "no alert with this uid is kept in",
    }.items():
        result = _run(config, uid)
        assert (result.exit_code, problem in result.stderr) == (1, True), result.stderr
    file = config.home / "northbound.yaml"  # from here on without the source
    text = file.read_text(encoding="utf-8").replace("{q: {", "{r: {").replace("[q]", "[r]")
    file.write_text(text, encoding="utf-8")
    result = _run(config, alert["metadata"]["uid"])
    assert result.exit_code == 0, result.stderr
    _, *events = [json.loads(each) for each in result.stdout.splitlines()]
    assert [each["line"] for each in events] == [None] * 3


def test_without_kafka(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Said as what it is, for the uid of an event, too."""
    monkeypatch.setattr("app.broker.admin.TIMEOUT_S", 1)
    file = tmp_path / "northbound.yaml"
    file.write_text(
        "version: 1\nkafka: {external: {bootstrap: '127.0.0.1:1'}}\n"
        "sources: {q: {format: qumulo}}\ntenants: {acme: {sources: [q]}}\n",
        encoding="utf-8",
    )
    result = CliRunner().invoke(app, ["explain", "AAAAAAAAAAA-0-1", "--config", str(file)])
    assert (result.exit_code, "is Kafka up" in result.stderr) == (1, True), result.output


def test_uids() -> None:
    """A stem may have hyphens of its own; an alert's uid is no place."""
    place = place_of("a-b-c-d-e_f-3-17-2", {"raw.q": "a-b-c-d-e_f"})
    assert place is not None
    assert (place.topic, place.partition, place.offset, place.number) == ("raw.q", 3, 17, 2)
    first = place_of("a-b-c-d-e_f-3-17-2-aggregated", {"raw.q": "a-b-c-d-e_f"})
    assert first == place
    assert place_of("3o3R2mXTk6cO3bH0pJ5Zgg", {}) is None
    with pytest.raises(ReadingError, match="begin with a-b-c-d-e_f"):
        place_of("a-b-c-d-e_f-3-17", {})


@pytest.mark.parametrize(
    "uid",
    [
        "-" + 21 * "c",
        *(f"-{21 * 'c'}-{state}" for state in ("provisional", "final", "superseded")),
        "-AAAAAAAAAA-0-1",
        "-AAAAAAAAAA-0-1-2",
        "-AAAAAAAAAA-0-1-aggregated",
    ],
)
def test_a_uid_that_begins_with_a_dash_is_no_option(tmp_path: Path, uid: str) -> None:
    """One in 64 does. It is read as a uid, so that what is missing here is the configuration."""
    result = CliRunner().invoke(app, ["explain", uid, "--config", str(tmp_path / "none.yaml")])
    assert (result.exit_code, "no such file" in result.stderr) == (1, True), result.stderr

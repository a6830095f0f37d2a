"""`northbound tap` on a real broker: each stage shows what it makes of raw records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from app.broker import admin
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.config import load
from app.planning import build_plan, declared
from tests.topology.deployment import START, line

pytestmark = pytest.mark.broker
ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Path:
    """A deployment with a mutation, a filter and a dictionary, and raw lines that nobody read."""
    file = tmp_path / "northbound.yaml"
    (tmp_path / "assets.csv").write_text("ip,owner\n10.0.0.7,ops\n", encoding="utf-8")
    file.write_text(
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("tap")}.
sources:
  q:
    format: qumulo
    partitions: 2
    mutate: [{{field: actor.user.name, lower: true}}]
    filters: [{{name: scratch, drop: {{it: {{file.path|startswith: /scratch/}}}}}}]
  other: {{format: plain, partitions: 1}}
enrich: [{{dictionary: assets.csv, key: ip, field: src_endpoint.ip, as: asset}}]
rules: [{ROOT / "rules" / "qumulo"}]
tenants: {{acme: {{sources: [q]}}}}
""",
        encoding="utf-8",
    )
    settings = load(file)
    topics = declared(settings, build_plan(settings, origins={}))
    admin.ensure(admin.connect(settings.client()), topics, 1)
    producer = Producer(settings.client())
    raw = settings.names.raw("q")
    for number, text in enumerate(
        (
            line(START, "Eve"),
            line(START, "Bob", path="/scratch/x"),
            b"broken",
            line(START, "Eve", operation="fs_read_data"),
        )
    ):
        producer.produce(raw, text, partition=number % 2)
    producer.produce(settings.names.raw("other"), b"plain")
    producer.flush(60)
    return file


def tap(config: Path, *arguments: str) -> tuple[int, str]:
    given = ["tap", "--config", str(config), "--from-start", "--no-follow", *arguments]
    result = CliRunner().invoke(app, given)
    return result.exit_code, result.stdout + result.stderr


def shown(config: Path, *arguments: str) -> list[dict[str, Any]]:
    status, output = tap(config, *arguments)
    assert status == 0, output
    return [orjson.loads(text) for text in output.splitlines()]


def names(found: list[dict[str, Any]]) -> list[str]:
    return sorted(event["actor"]["user"]["name"] for event in found if "actor" in event)


def test_each_stage(config: Path) -> None:
    """After each stage there is what it made of the events, and no less or more."""
    normalized = shown(config, "normalize", "--source", "q")
    assert names(normalized) == ["Bob", "Eve", "Eve"]
    (broken,) = [each for each in normalized if "error" in each]
    assert broken["error"]["stage"] == "parse"
    assert broken["metadata.uid"].endswith("-0-1")
    assert names(shown(config, "mutate", "--source", "q")) == ["bob", "eve", "eve"]
    filtered = shown(config, "filter")
    assert names(filtered) == ["eve", "eve"]
    assert len(filtered) == 4  # with the broken line, and that of the other source
    assert not any("enrichments" in event for event in filtered)
    enriched = shown(config, "enrich", "--source", "q", "--where", "file.path: /data/a.txt")
    assert [event["enrichments"][0]["data"]["owner"] for event in enriched] == ["ops", "ops"]
    (matched,) = shown(config, "match", "--where", "metadata.event_code: fs_delete")
    assert matched["event"]["actor"]["user"]["name"] == "eve"
    assert matched["rules"]


def test_what_is_chosen(config: Path) -> None:
    """--where takes Sigma's modifiers, all must hold; --count ends early."""
    chosen = ("--where", "actor.user.name|startswith: E", "--where", "file.path|contains: a.txt")
    assert names(shown(config, "normalize", *chosen)) == ["Eve", "Eve"]
    assert len(shown(config, "normalize", "--count", "2")) == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing"], "no stage 'nothing'; expected one of normalize, mutate, filter"),
        (["filter", "--where", "x"], "--where: saw 'x', expected 'attribute: value'"),
        (["filter", "--where", "x|nope: 1"], "--where: x|nope: Unknown modifier"),
        (["filter", "--source", "x"], "no source x; expected one of q, other"),
    ],
)
def test_wrong_usage(config: Path, arguments: list[str], told: str) -> None:
    """It says what was expected."""
    status, output = tap(config, *arguments)
    assert status == 2
    assert told in output

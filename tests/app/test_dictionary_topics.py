"""Dictionaries in compacted topics: what is written, and what workers make of it."""

import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from app.broker import ports
from app.broker.server import EmbeddedKafka
from app.cli import app
from app.config import Config
from app.dictionary_topics import TopicDictionary, changes, row_of
from app.reading import ReadingError, read
from tests.app.deployed import deploy
from tests.runtime.processes import end, start_faust, wait_for
from tests.topology.deployment import line

EVENTS = pl.DataFrame({"actor.user.name": ["eve", "bob", "ann"]})


def test_only_what_differs_is_written() -> None:
    """Rows that are there stay as they are; keys that the file has not go, unless merged."""
    present = {"eve": b'{"team":"red"}', "bob": b'{"team":"blue"}', "old": b"{}"}
    rows = [{"user": "eve", "team": "red"}, {"user": "bob", "team": "green"}, {"user": 7}]
    written = [("bob", b'{"team":"green"}'), ("7", b"{}")]
    assert list(changes(present, rows, "user", merge=True)) == written
    assert list(changes(present, rows, "user", merge=False)) == [*written, ("old", None)]


@pytest.mark.parametrize(
    ("key", "value", "match"),
    [
        (None, b"{}", "exact"),
        (b"\xff", b"{}", "exact"),
        (b"eve", b"[]", "exact"),
        (b"eve", b"{", "exact"),
        (b"10.0.0.300", b"{}", "network"),
    ],
)
def test_what_is_no_row(key: bytes | None, value: bytes, match: str) -> None:
    """Every such record is a ValueError, which is told and passed over."""
    with pytest.raises(ValueError):  # noqa: PT011  # of several kinds, all of them are caught
        row_of(key, value, "user", match)


@pytest.fixture
def config(kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]) -> Config:
    """A deployment with a table in a topic, and its topics."""
    return deploy(
        tmp_path,
        f"""\
version: 1
kafka:
  external: {{bootstrap: "{kafka.bootstrap}", replication: 1}}
  topic_prefix: {unique("tables")}.
  matches_partitions: 1
sources:
  q: {{format: qumulo, partitions: 2}}
enrich:
  - {{topic: teams, key: user, field: actor.user.name, as: person}}
tenants:
  acme: {{sources: [q]}}
""",
    )


def command(config: Config, *arguments: str, status: int = 0) -> str:
    """What `northbound enrichment ...` prints."""
    file = str(config.home / "northbound.yaml")
    result = CliRunner().invoke(app, ["enrichment", *arguments, "--config", file])
    assert result.exit_code == status, result.output
    return result.output


def table(config: Config, text: str, *options: str, status: int = 0) -> str:
    """Load a CSV file."""
    file = config.home / "teams.csv"
    file.write_text(text, encoding="utf-8")
    return command(config, "load", "teams", str(file), *options, status=status)


@pytest.mark.broker
def test_a_table_is_followed(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    """Changes, deletions and what is no row; nothing of a transaction that did not commit."""
    topic = config.names.enrichment("teams")
    assert "2 rows written, 0 removed" in table(config, "user,team\neve,red\nbob,blue\n")
    dictionary = TopicDictionary("teams", "user", ["actor.user.name"], "person")
    assert dictionary.apply(EVENTS).equals(EVENTS)
    dictionary.start(config.client(), topic)

    def teams() -> list[str | None]:
        return dictionary.apply(EVENTS)["@enrich.person.team"].to_list()

    def provider() -> str:
        element = orjson.loads(dictionary.apply(EVENTS)["enrichments[person]:json"].drop_nulls()[0])
        return str(element["provider"])

    assert teams() == ["red", "blue", None]
    assert provider() == f"{topic}@1"
    assert not dictionary.look()
    assert "0 rows written, 0 removed, 2 as before" in table(
        config, "user,team\neve,red\nbob,blue\n"
    )
    assert "1 rows written, 1 removed, 1 as before" in table(
        config, "user,team\neve,red\nann,gold\n"
    )
    wait_for(dictionary.look, "the change")
    assert teams() == ["red", None, "gold"]
    assert provider() == f"{topic}@4"  # offset 2 is the mark of the first transaction
    assert "1 rows written, 0 removed" in table(config, "user,team\nbob,blue\n", "--merge")
    wait_for(dictionary.look, "the merged row")
    assert teams() == ["red", "blue", "gold"]
    assert "teams.csv:3: user: 'eve' is given twice" in table(
        config, "user,team\neve,x\neve,y\n", status=1
    ).replace("\n", "")
    undecided = Producer(
        {**config.client(), "transactional.id": config.names.enrichment("undecided")}
    )
    undecided.init_transactions(60)
    undecided.begin_transaction()
    undecided.produce(topic, b'{"team":"never"}', b"eve")
    undecided.flush(60)
    undecided.abort_transaction(60)
    plain = Producer({**config.client(), "enable.idempotence": True})
    plain.produce(topic, b"no JSON", b"eve")
    plain.produce(topic, None, b"bob")
    assert plain.flush(60) == 0
    wait_for(dictionary.look, "the records of others")
    assert teams() == ["red", None, "gold"]
    assert "Records that are no rows are passed over" in caplog.text
    assert "never" not in caplog.text
    shown = sorted(
        orjson.loads(text)["user"]
        for text in command(config, "show", "teams", "--json", status=1).splitlines()
        if text.startswith("{")
    )
    assert shown == ["ann"]
    assert "expected a topic of an enrichment" in command(config, "show", "other", status=2)


@pytest.mark.broker
def test_a_table_that_is_missing_is_told(config: Config) -> None:
    """Before anything is processed."""
    dictionary = TopicDictionary("none", "user", ["actor.user.name"], "person")
    with pytest.raises(ReadingError, match=r"no topic .*enrichment\.none"):
        dictionary.start(config.client(), config.names.enrichment("none"))


def events(config: Config) -> dict[str, dict[str, Any]]:
    """By path."""
    found = [
        orjson.loads(each.value()) for each in read(config.client(), [config.names.events("acme")])
    ]
    assert set(Counter(event["metadata"]["uid"] for event in found).values()) <= {1}
    return {event["file"]["path"]: event for event in found}


@pytest.mark.broker
def test_a_worker_begins_with_the_whole_table_and_takes_up_changes(config: Config) -> None:
    """The first event that waited for the worker has its row; later ones have what is new then."""
    producer = Producer({**config.client(), "enable.idempotence": True, "log_level": 0})
    sent = 0

    def send() -> str:
        nonlocal sent
        stamp = int(time.time() * 1000)
        path = f"/data/{sent}.txt"
        producer.produce(config.names.raw("q"), line(stamp, "eve", path=path), partition=sent % 2)
        assert producer.flush(60) == 0
        sent += 1
        return path

    def team(path: str) -> str | None:
        found = wait_for(lambda: events(config).get(path), "the line as an event")
        elements = found.get("enrichments", [])
        return elements[0]["data"]["team"] if elements else None

    table(config, "user,team\neve,red\n" + "".join(f"u{n},x\n" for n in range(20_000)))
    first = send()
    file = config.home / "northbound.yaml"
    worker = start_faust(file, ports.free("127.0.0.1"), config.home / "worker.log")
    try:
        assert team(first) == "red"
        table(config, "user,team\neve,blue\n", "--merge")
        wait_for(lambda: team(send()) == "blue", "the changed row")
        table(config, "user,team\nbob,x\n")
        wait_for(lambda: team(send()) is None, "the row's end")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(120) == 0
    finally:
        end(worker)
    assert len(events(config)) == sent

"""Tables that change while workers run."""

import logging
from pathlib import Path

import orjson
import polars as pl
import pytest

from app.config import load
from app.planning import build_plan
from app.reloading import Reloading, look_at
from topology.enrich import Enricher

FILE = """\
version: 1
kafka: {embedded: {}}
sources: {qumulo: {format: qumulo}}
enrich:
  - {dictionary: assets.csv, key: ip, field: src_endpoint.ip, as: asset}
  - {constant: west, to: unmapped.region}
"""
EVENTS = pl.DataFrame({"src_endpoint.ip": ["10.0.0.1"]})


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "assets.csv"
    path.write_text("ip,owner\n10.0.0.1,eng\n", encoding="utf-8")
    (tmp_path / "northbound.yaml").write_text(FILE, encoding="utf-8")
    return path


@pytest.fixture
def enrichers(table: Path) -> tuple[Enricher, ...]:
    return build_plan(load(table.parent / "northbound.yaml"), {}).enrichers


def told(enrichers: tuple[Enricher, ...]) -> tuple[str, str]:
    """Owner and version of what an event is enriched with."""
    element = orjson.loads(enrichers[0].apply(EVENTS)["enrichments[asset]:json"][0])
    return element["data"]["owner"], element["provider"]


def exchange(table: Path, text: str) -> None:
    """Another file in the table's place, as rename does it."""
    new = table.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    new.rename(table)


def test_a_changed_table_is_taken_up(table: Path, enrichers: tuple[Enricher, ...]) -> None:
    """Once it stayed the same from one look to the next; the version changes with it."""
    before = told(enrichers)
    look_at(enrichers)
    exchange(table, "ip,owner\n10.0.0.1,ops\n")
    look_at(enrichers)
    assert told(enrichers) == before
    look_at(enrichers)
    owner, version = told(enrichers)
    assert (before[0], owner) == ("eng", "ops")
    assert version != before[1]


def test_a_table_that_is_being_written_is_left_alone(
    table: Path, enrichers: tuple[Enricher, ...]
) -> None:
    """While it grows from look to look, half of it is never in use."""
    with table.open("w", encoding="utf-8") as file:
        for text in ("ip,owner\n", "10.0.0.1,ope", "rations\n"):
            file.write(text)
            file.flush()
            look_at(enrichers)
            assert told(enrichers)[0] == "eng"
    look_at(enrichers)
    look_at(enrichers)
    assert told(enrichers)[0] == "operations"


def test_mistakes_leave_the_old_table_in_use(
    table: Path, enrichers: tuple[Enricher, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """They are told once, with their line; a table that is right again is taken up."""
    exchange(table, "ip,owner\n10.0.0.1,ops,more\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            look_at(enrichers)
    (message,) = caplog.messages
    assert f"{table}:2: saw 3 values, expected 2" in message
    assert told(enrichers)[0] == "eng"
    exchange(table, "ip,owner\n10.0.0.1,ops\n")
    look_at(enrichers)
    look_at(enrichers)
    assert told(enrichers)[0] == "ops"


def test_a_table_that_is_away_stays_in_use(table: Path, enrichers: tuple[Enricher, ...]) -> None:
    """Deleting the file is no change of the table; one that comes back is."""
    table.unlink()
    for _ in range(3):
        look_at(enrichers)
    assert told(enrichers)[0] == "eng"
    # Of another size: it may get the inode of the one before, and the same tick of the clock.
    table.write_text("ip,owner\n10.0.0.1,operations\n", encoding="utf-8")
    look_at(enrichers)
    look_at(enrichers)
    assert told(enrichers)[0] == "operations"


def test_whatever_goes_wrong_the_worker_goes_on(
    table: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An unforeseen failure of one table is logged, and the next is looked at."""
    calls = []

    def load_() -> Enricher:
        calls.append(1)
        if len(calls) == 2:
            raise RuntimeError("unforeseen")
        return build_plan(load(table.parent / "northbound.yaml"), {}).enrichers[0]

    broken = Reloading(table, load_)
    other = build_plan(load(table.parent / "northbound.yaml"), {}).enrichers
    exchange(table, "ip,owner\n10.0.0.1,ops\n")
    look_at((broken, *other))
    look_at((broken, *other))
    assert "could not be looked at" in caplog.text
    assert told(other)[0] == "ops"

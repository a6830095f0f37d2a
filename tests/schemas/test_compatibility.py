"""Schemas of Avro values: what was published never changes, and every version reads the others.

`published.json` has the fingerprint of every schema file that was ever committed. A change to a
record is a new file with the next version, and a line there.
"""

import copy
import io
import json
import random
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import fastavro
import pytest
from fastavro.schema import SchemaParseException, fingerprint, to_parsing_canonical_form
from fastavro.utils import generate_many

from schemas import event
from schemas.codec import FILE_NAME

HERE = Path(__file__).parent
AVRO = HERE.parents[1] / "schemas" / "avro"
FILES = sorted(AVRO.glob("*.avsc"))
PUBLISHED = json.loads((HERE / "published.json").read_text(encoding="utf-8"))


def mark(schema: Any) -> str:
    return str(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


def schema_of(name: str) -> Any:
    return json.loads((AVRO / name).read_text(encoding="utf-8"))


def read_as(written: Any, reader: Any) -> None:
    """Random records of one schema, read as the other's (Avro 1.12, "Schema Resolution")."""
    random.seed(1)
    for record in generate_many(fastavro.parse_schema(copy.deepcopy(written)), 20):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, written, record)
        out.seek(0)
        fastavro.schemaless_reader(out, written, reader)


def test_what_was_published_is_as_it_was() -> None:
    """Each file is there with its fingerprint, which values in topics and stores begin with."""
    assert {file.name: mark(schema_of(file.name)) for file in FILES} == PUBLISHED


def test_versions_read_each_other() -> None:
    """The next version reads what the last one wrote, and the other way round, so that workers and
    receivers can be replaced one by one."""
    versions: dict[str, list[str]] = {}
    for name in PUBLISHED:
        found = FILE_NAME.fullmatch(name)
        assert found is not None
        versions.setdefault(found["name"], []).append(name)
    assert "event" in versions
    pairs = [pair for names in versions.values() for pair in combinations(names, 2)]
    assert pairs
    for pair in pairs:
        for one, other in permutations(map(schema_of, pair)):
            read_as(one, other)


def test_the_schema_of_events_is_that_of_the_event_model() -> None:
    """The newest file is what schemas/event.py makes, with nothing of the last version missing."""
    newest = max(
        (file for file in FILES if file.name.startswith("event.v")),
        key=lambda file: int(file.stem.partition(".v")[2]),
    )
    assert newest.read_text(encoding="utf-8") == event.text(), (
        "write the next version: python -m schemas.event > schemas/avro/event.v<n>.avsc, and its "
        "fingerprint to tests/schemas/published.json"
    )


def changed(change: str) -> Any:
    schema = event.schema()
    fields = schema["fields"]
    if change == "type":
        fields[1]["type"] = ["null", "string"]
    elif change == "no default":
        fields.append({"name": "new", "type": "string"})
    elif change == "renamed record":
        next(each for each in fields if each["name"] == "file")["type"][1]["name"] = "other_file"
    return schema


@pytest.mark.parametrize("change", ["type", "no default", "renamed record"])
def test_a_change_that_breaks_readers_is_found(change: str) -> None:
    """A field of another type, one that old values lack, a record of another name."""
    with pytest.raises((fastavro.read.SchemaResolutionError, SchemaParseException)):
        read_as(event.schema(), changed(change))


def test_a_field_may_be_added() -> None:
    """At any place, with null for those who do not write it."""
    more = event.schema()
    more["fields"].insert(3, {"name": "new", "type": ["null", "string"], "default": None})
    read_as(event.schema(), more)
    read_as(more, event.schema())

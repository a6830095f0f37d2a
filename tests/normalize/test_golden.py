"""Golden pairs: tests/golden/<format>/<case>.log and what `northbound parse` makes of it.

NORTHBOUND_REGENERATE=1 rewrites the expectations; look at the difference before committing it.
"""

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from app.commands.parse import event_texts
from schemas import ocsf
from topology.formats import SOURCE_FORMATS

GOLDEN = Path(__file__).parents[1] / "golden"
CASES = sorted(path for name in SOURCE_FORMATS for path in (GOLDEN / name).glob("*.log"))
RECEIVED = 1_769_523_200_000


@cache
def _validator(class_uid: int, profiles: tuple[str, ...]) -> Any:
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=ocsf.VERSION))
    name = schema.lookup_class_name_from_uid(class_uid)
    return jsonschema.Draft202012Validator(schema.get_class_schema(name, list(profiles)))


def _results(path: Path) -> list[bytes]:
    lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    return event_texts(lines, path.parent.name, {}, RECEIVED)


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden(path: Path):
    """The lines give exactly the expected objects, byte by byte."""
    expected = path.with_suffix(".expected.json")
    seen = b"".join(result + b"\n" for result in _results(path))
    if os.environ.get("NORTHBOUND_REGENERATE"):
        expected.write_bytes(seen)
    assert expected.read_bytes() == seen


@pytest.mark.parametrize("path", CASES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_events_are_valid_ocsf(path: Path):
    """Every event validates against the published schema of its class."""
    for result in _results(path):
        event = json.loads(result)
        if "error" in event:
            continue
        profiles = tuple(event["metadata"].get("profiles", []))
        faults = list(_validator(event["class_uid"], profiles).iter_errors(event))
        assert [f"{fault.json_path}: {fault.message}" for fault in faults] == [], event


def test_every_format_with_a_normalizer_of_its_own_has_golden_cases():
    """A source format without golden pairs is one whose output nobody looked at."""
    assert {path.parent.name for path in CASES} >= {"qumulo", "rfc5424", "json", "auto"}

"""The shared parse vectors, through `northbound parse --output fields`.

They are not in the repository: NORTHBOUND_DATA names their folder (default: ../shared/data).
"""

import base64
import json
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("NORTHBOUND_DATA", ROOT.parent / "shared" / "data"))
VECTORS = DATA / "syslog_vectors.jsonl"
FORMATS = ("rfc5424", "rfc3164", "cef", "leef", "kv", "json", "csv")
OPTIONS = {"delimiter", "field_delimiter", "key_value_delimiter"}
COMMAND = [sys.executable, "-c", "from app.cli import main; main()", "parse"]

KEPT = {
    "rfc5424-0059": "RFC 5424 section 6.3.3: a backslash before another character is a plain "
    "backslash and MUST NOT be altered; Windows paths in parameters are common",
}
"""Vectors of tier `should` that we do not follow, each with the reason."""

Group: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]

pytestmark = pytest.mark.skipif(
    not VECTORS.exists(), reason=f"NORTHBOUND_DATA: no syslog_vectors.jsonl in {DATA}"
)


def _vectors() -> list[dict[str, Any]]:
    if not VECTORS.exists():
        return []
    vectors = [json.loads(line) for line in VECTORS.read_text(encoding="utf-8").splitlines()]
    return [
        vector
        for vector in vectors
        if vector["format"] in FORMATS and set(vector.get("options", {})) <= OPTIONS
    ]


def _input(vector: dict[str, Any]) -> bytes:
    if "input_b64" in vector:
        return base64.b64decode(vector["input_b64"])
    return str(vector["input"]).encode()


def _group(vector: dict[str, Any]) -> Group:
    framing = "octet" if b"\n" in _input(vector) else "lines"
    return vector["format"], framing, tuple(sorted(vector.get("options", {}).items()))


def _framed(message: bytes, framing: str) -> bytes:
    return b"%d %s" % (len(message), message) if framing == "octet" else message + b"\n"


@cache
def _results(group: Group) -> dict[str, dict[str, Any]]:
    """One run of the command for all vectors of a format with the same framing and options."""
    name, framing, options = group
    vectors = [vector for vector in _vectors() if _group(vector) == group]
    extra = [f"--option={key}={value}" for key, value in options]
    done = subprocess.run(
        [*COMMAND, "--format", name, "--framing", framing, "--output", "fields", *extra],
        input=b"".join(_framed(_input(vector), framing) for vector in vectors),
        capture_output=True,
        check=True,
        cwd=ROOT,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(vectors) == len(lines)
    return {vector["id"]: json.loads(line) for vector, line in zip(vectors, lines, strict=True)}


@pytest.mark.parametrize("vector", _vectors(), ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any]):
    """What the vector pins, for tiers must and should; any answer for tier may."""
    seen = _results(_group(vector))[vector["id"]]
    if vector["tier"] == "may" or vector["id"] in KEPT:
        return
    expected = vector["expect"]
    if expected.get("error"):
        assert "error" in seen
        kept = base64.b64decode(seen["raw_base64"]) if "raw_base64" in seen else None
        assert _input(vector) == (seen["raw"].encode() if kept is None else kept)
    else:
        assert expected == {name: seen.get(name) for name in expected}


def test_the_list_of_differences_is_complete_and_true() -> None:
    """Every vector that is not followed is in docs/formats.md, and gives something else indeed."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| ([a-z0-9]+-[0-9]{4}) \|", page, re.MULTILINE)) == set(KEPT)
    found = {vector["id"]: vector for vector in _vectors() if vector["id"] in KEPT}
    assert found.keys() == KEPT.keys()
    for vector in found.values():
        assert vector["tier"] == "should"
        seen, expected = _results(_group(vector))[vector["id"]], vector["expect"]
        if expected.get("error"):
            assert "error" not in seen
        else:
            assert expected != {name: seen.get(name) for name in expected}

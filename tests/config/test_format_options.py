"""The options of sources' formats are checked at the start, all mistakes at once."""

from pathlib import Path

import pytest

from app.config import ConfigError, load
from app.planning import build_plan

YAML = """
version: 1
kafka:
  embedded: {data: ./data, northbound: {listen: "127.0.0.1:0", advertise: "localhost:0"}}
sources:
  a: {format: csv, options: {delimiter: ab, colour: red}}
  b: {format: regexp}
  c: {format: regexp, options: {pattern: "(x"}}
  f: {format: csv, options: {colums: "a,b"}}
  d: {format: regexp, options: {pattern: "user (?P<user>.*)"}}
  e: {format: kv, timezone: Europe/Berlin, options: {field_delimiter: ";"}}
"""


def test_what_is_wrong_with_options(tmp_path: Path):
    """Source, option, value and what was expected."""
    file = tmp_path / "northbound.yaml"
    file.write_text(YAML, encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        build_plan(load(file), origins={})
    message = str(raised.value)
    for expected in (
        "sources.a.options.delimiter: saw 'ab', expected one character between values",
        "sources.a.options.colour: saw 'colour', expected one of the options of csv",
        "delimiter, columns; did you mean columns?",
        "sources.b.options: format regexp needs pattern",
        "sources.c.options.pattern: saw '(x', expected a regular expression: ",
    ):
        assert expected in message
    assert "sources.d" not in message
    assert "sources.e" not in message

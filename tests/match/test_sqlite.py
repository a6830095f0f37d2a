"""Rules mean what another implementation takes them for: pySigma's SQLite backend, which shares the
parsing of rules and nothing else."""

import json
import lzma
import sqlite3
import tarfile

import pytest
import re2
import yaml
from sigma.backends.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from app.event_lines import frame
from tests.match.test_sigmahq import EVENTS, RULES
from topology.match.compile import compile_rules

EACH = 8
"""Of SigmaHQ's rules one in so many, the same each time."""


def rows_of(texts, events):
    """By number of a rule the rows that its query selects."""
    rules = compile_rules([(str(n), text) for n, text in enumerate(texts)]).rules.events
    fields = [*(name for event in events for name in event), *(f for r in rules for f in r.columns)]
    names = {name.lower(): name for name in fields if name != "*"}
    with sqlite3.connect(":memory:") as database:
        database.create_function("REGEXP", 2, _found, deterministic=True)
        columns = ", ".join(f"`{name}` COLLATE NOCASE" for name in names.values())
        database.execute(f"CREATE TABLE logs ({columns})")
        places = ", ".join("?" * len(names))
        database.executemany(
            f"INSERT INTO logs VALUES ({places})",
            [[_stored(event.get(name)) for name in names.values()] for event in events],
        )
        found = {}
        for number, text in enumerate(texts):
            (query,) = sqliteBackend().convert(SigmaCollection.from_yaml(text))
            query = query.replace("SELECT * FROM", "SELECT rowid - 1 FROM", 1)
            if rows := sorted(row for (row,) in database.execute(query)):
                found[number] = rows
    return found


def _found(pattern, value):
    return value is not None and re2.search(pattern, str(value)) is not None


def _stored(value):
    return str(value).lower() if isinstance(value, bool) else value


def ours(texts, events):
    rules = compile_rules([(str(n), text) for n, text in enumerate(texts)])
    return {index: rows.tolist() for index, rows in rules.match(frame(events), None).items()}


ROWS = [
    {"a": "cmd.exe /c Whoami", "b": "cmd.exe", "n": 5, "at": "2026-01-27T14:12:23Z"},
    {"a": "C:\\Windows\\System32\\cmd.exe", "b": "CMD.EXE", "n": 7, "at": "2026-12-31T23:59:59Z"},
    {"a": "100% a_b*c", "b": "x", "n": 0, "at": "2027-01-01T00:00:00Z", "ip": "10.1.2.3"},
    {"a": "", "n": -1, "ip": "192.168.7.9"},
    {"b": "abc", "n": 6.5, "at": "2026-06-15T06:30:00Z", "ip": "2001:db8::1"},
    {"a": "abc", "b": "b"},
    {},
]
SEARCHES = [
    {"a": "CMD.exe*"},
    {"a": "*\\cmd.exe"},
    {"a": "100% a_b\\*c"},
    {"a": "???"},
    {"a": ""},
    {"a": None},
    {"a|contains": ["who", "ABC"]},
    {"a|contains|all": ["cmd", "/c"]},
    {"a|endswith": ".EXE", "b": "cmd.exe"},
    {"a|cased": "abc"},
    {"b|cased": "CMD.EXE"},
    {"a|re": "^[a-z]+$"},
    {"a|re|i": "whoami$"},
    {"a|exists": True},
    {"n|exists": False},
    {"a|neq": "abc"},
    {"a|contains|neq": "cmd"},
    {"a|fieldref": "b"},
    {"a|fieldref|startswith": "b"},
    {"a|fieldref|contains": "b"},
    {"n": [5, 7]},
    {"n|gt": 5},
    {"n|lte": 5},
    {"n|gte": 6.5},
    {"ip|cidr": "10.0.0.0/8"},
    {"ip|cidr": "192.168.0.0/16"},
    {"at|hour": 14},
    {"at|minute": 59},
    {"at|day": 31},
    {"at|month": [1, 6]},
    {"at|year": 2026},
    {"a|windash|contains": " -c "},
    [{"a|startswith": "cmd"}, {"n": 0, "b": "x"}],
]
CONDITIONS = ["s", "not s", "s and not t", "t or not s", "not (s or t)", "1 of them", "all of them"]


@pytest.mark.parametrize("condition", CONDITIONS)
def test_searches(condition):
    """Each alone and denied, beside another, on fields that are there and that are not."""
    texts = []
    for number, search in enumerate(SEARCHES):
        detection = {"s": search, "t": {"b|contains": "b"}, "condition": condition}
        rule = {"title": f"R{number}", "logsource": {"product": "test"}, "detection": detection}
        texts.append(yaml.safe_dump(rule))
    assert ours(texts, ROWS) == rows_of(texts, ROWS)


@pytest.mark.skipif(not (RULES.exists() and EVENTS.exists()), reason="no Sigma data")
def test_sigmahq():
    """Rules on Windows process creation find the same among real events."""
    with tarfile.open(RULES) as archive:
        files = sorted(
            (member.name, archive.extractfile(member).read().decode())
            for member in archive
            if "windows/process_creation/" in member.name and member.name.endswith(".yml")
        )
    with lzma.open(EVENTS, "rt", encoding="utf-8") as lines:
        events = [json.loads(line) for line in lines]
    texts = [text for _, text in files[::EACH]]
    wanted = rows_of(texts, events)
    assert len(wanted) > 10
    assert ours(texts, events) == wanted

"""Qumulo bodies: the exact path by cases, and columns by comparison with it."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.parse import qumulo
from topology.parse.parsed import parse_rows


def _frame(texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {"row": range(len(texts)), "text": texts}, schema={"row": pl.UInt32, "text": pl.String}
    )


def _one(text: str) -> dict[str, Any]:
    parsed = qumulo.parse(_frame([text]), {})
    assert parsed.failures.height == 0, parsed.failures["reason"][0]
    return {name: value for name, value in parsed.fields.row(0, named=True).items() if value}


@pytest.mark.parametrize(
    ("path", "logged"),
    [
        ("/a.txt", '"/a.txt"'),
        ("/a, b", '"/a, b"'),
        ('/a "b" c', '"/a ""b"" c"'),
        (',"",""', '","""","""""'),
        ('/a"b', '"/a"b"'),
        ('/a",b', '"/a",b"'),
        ("\\\\host\\share", '"\\\\host\\share"'),
        ("/räume/日本", '"/räume/日本"'),
    ],
)
@pytest.mark.parametrize("target", ["", "/t.txt"])
def test_paths_as_logged(path: str, logged: str, target: str):
    """Commas, doubled quotes, and quotes that a cluster forgot to double."""
    seen = _one(
        f'::1,"AD\\alice",smb2,fs_rename,ok,140624751830626345080086044861,{logged},"{target}"'
    )
    assert path == seen["path"]
    assert target == seen.get("target_path", "")
    assert seen["user"] == "AD\\alice"
    assert seen["object_id"] == "140624751830626345080086044861"
    assert seen["user_ip"] == "::1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        'a,"b",c,d,e,f,"g"',
        "a b,c d,e f,g h,i,j,k,l",
        'message repeated 3 times: [ ::1,"a",smb2,fs_open,ok,1,"/a",""]',
        "{",
        "[]",
        "{}",
        '{"operation": 5}',
        '"operation"',
        "{" * 2000,
        '{"a":' * 2000 + "1" + "}" * 2000,
    ],
)
def test_what_is_no_record_is_a_failure(text: str):
    """It has a reason, and nothing is raised."""
    parsed = qumulo.parse(_frame([text]), {})
    assert (parsed.fields.height, parsed.failures.height) == (0, 1)
    assert parsed.failures["reason"][0]


def test_json_body():
    """Every documented key has its column; ids are text."""
    record = {
        "details": {
            "after": {"owner": {"auth_id": "7"}},
            "before": {"acl": [1, 2.5]},
            "file_id": "140624751830626345080086044861",
            "file_size": 300,
            "offset": 1,
            "path": "/a",
            "size": 2,
            "target": "/b",
            "unheard_of": [],
        },
        "status": "ok",
        "operation": "fs_rename",
        "protocol": "smb",
        "user_ip": "10.0.0.1",
        "user_id": {"sid": "S-1-5-21", "auth_id": "500", "name": "AD\\alice"},
    }
    expected = {
        "user_ip": "10.0.0.1",
        "user": "AD\\alice",
        "protocol": "smb",
        "operation": "fs_rename",
        "status": "ok",
        "object_id": "140624751830626345080086044861",
        "path": "/a",
        "target_path": "/b",
        "sid": "S-1-5-21",
        "auth_id": "500",
        "offset": 1,
        "size": 2,
        "file_size": 300,
        "before:json": '{"acl":[1,2.5]}',
        "after:json": '{"owner":{"auth_id":"7"}}',
    }
    assert expected == _one(json.dumps(record))


@pytest.mark.parametrize(
    ("user", "name"),
    [
        (r"AD\alice", "AD\\alice"),
        (r"AD\bob", "AD\\bob"),
        (r"AD\nancy", "AD\\nancy"),
        (r"AD\ulrich", "AD\\ulrich"),
        (r"AD\\carol", "AD\\carol"),
        (r"AD\\\\dave", "AD\\\\dave"),
    ],
)
def test_backslashes_that_json_wants_doubled(user: str, name: str):
    """The documented sample is not JSON, and `\\b` is JSON for something else."""
    seen = _one(f'{{"user_id":{{"name":"{user}"}},"operation":"fs_open"}}')
    assert name == seen["user"]
    assert ("\\\\" in user) == ("warning" not in seen)


@pytest.mark.parametrize("value", ['"12"', "12", "140624751830626345080086044861", "true", "1.5"])
def test_json_ids_of_any_kind_are_text(value: str):
    """Also numbers of more than 64 bits, digit by digit."""
    seen = _one(f'{{"operation":"fs_open","details":{{"file_id":{value},"offset":"7"}}}}')
    assert value.strip('"') == seen["object_id"]
    assert seen["offset"] == 7


VALUES = st.sampled_from(
    ["", "a", "ok", "::1", "fs_open", "1406", "a b", 'a"b', 'a""b', "a,b", '"', '","', "é", "\n"]
)
QUOTED = VALUES.map(lambda value: f'"{value}"')
CSV = st.lists(st.one_of(VALUES, QUOTED), max_size=10).map(",".join)
USUAL = st.builds('{},"{}",{},{},{},{},"{}","{}"'.format, *[VALUES] * 8)
KEYS = st.sampled_from(
    ["user_id", "name", "sid", "operation", "details", "path", "file_id", "offset", "before", "x"]
)
JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
RECORDS = st.dictionaries(KEYS, JSON_VALUES, max_size=5).map(json.dumps)
BODIES = st.one_of(USUAL, CSV, RECORDS, st.text(max_size=30))


@given(st.lists(BODIES, min_size=1, max_size=20))
def test_columns_agree_with_the_exact_path(bodies: list[str]):
    """CSV and JSON mixed at will: many at once give what each alone gives, in order."""
    frame = _frame(bodies * (SMALL // len(bodies) + 1))
    exact = parse_rows(frame, qumulo.parse_body, qumulo.SCHEMA)
    seen = qumulo.parse(frame, {})
    assert exact.fields.schema == seen.fields.schema
    assert exact.fields.rows() == seen.fields.rows()
    assert exact.failures.rows() == seen.failures.rows()

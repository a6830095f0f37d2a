"""Events as nested JSON: what is written, and that columns agree with single rows."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import ocsf
from topology.dimension import SMALL
from topology.northbound import SERIALIZERS
from topology.northbound.json_layout import PARTIAL, LayoutError

encode = SERIALIZERS["ocsf-json"]


def _objects(events: pl.DataFrame, **options: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for text in encode(events, **options).to_list()]


def test_attributes_are_nested_and_absent_ones_omitted():
    """Types stay; internal columns, `row` and `sub` are not written."""
    events = pl.DataFrame(
        {
            "row": [0, 1],
            "sub": [0, 0],
            "time": [1, 2],
            "@user": ["x", "y"],
            "actor.user.name": ["alice", None],
            "metadata.labels": [["a", "b"], None],
            "is_remote": [True, None],
            "file.size": [None, 2**62],
            "nothing.at.all": pl.Series([None, None], dtype=pl.String),
        }
    )
    assert _objects(events) == [
        {
            "time": 1,
            "actor": {"user": {"name": "alice"}},
            "metadata": {"labels": ["a", "b"]},
            "is_remote": True,
        },
        {"time": 2, "file": {"size": 2**62}},
    ]


def test_arrays_and_json_text():
    """`a[label]` is an element of an array, `:json` is written as it is."""
    events = pl.DataFrame(
        {
            "time": [1, 2, 3, 4],
            "enrichments[one]:json": ['{"n":1}', None, '{"n":3}', None],
            "enrichments[two]:json": ["[2]", "140624751830626345080086044861", None, None],
            "resources[0].name": ["r", None, None, None],
            "resources[0].uid": ["7", "8", None, None],
            "unmapped.before:json": [None, '{"deep":[1]}', None, None],
        }
    )
    expected = [
        {"time": 1, "enrichments": [{"n": 1}, [2]], "resources": [{"name": "r", "uid": "7"}]},
        {
            "time": 2,
            "enrichments": [140624751830626345080086044861],
            "resources": [{"uid": "8"}],
            "unmapped": {"before": {"deep": [1]}},
        },
        {"time": 3, "enrichments": [{"n": 3}]},
        {"time": 4},
    ]
    assert _objects(events) == expected
    assert _objects(pl.concat([events] * SMALL)) == expected * SMALL


def test_columns_can_be_left_out():
    """For those who do not want the raw text."""
    events = pl.DataFrame({"time": [1], "raw_data": ["x"]})
    assert _objects(events, without=frozenset({"raw_data"})) == [{"time": 1}]
    assert _objects(events) == [{"time": 1, "raw_data": "x"}]


@pytest.mark.parametrize("rows", [1, SMALL])
def test_an_event_without_any_attribute_is_an_empty_object(rows: int):
    """Still one value a row."""
    assert _objects(pl.DataFrame({"row": range(rows), "@x": range(rows)})) == [{}] * rows


def test_columns_that_contradict_each_other_are_refused():
    """An attribute is an array or an object, not both."""
    with pytest.raises(LayoutError):
        encode(pl.DataFrame({"a[0].b": ["x"], "a.b": ["y"]}))


def test_a_partly_shared_object_belongs_to_one_code():
    """Else its shared members would be written twice."""
    owners = [
        (name.partition(".")[0], code)
        for code, names in ocsf.SHARED.items()
        for name in names
        if "." in name.rstrip(".")
    ]
    assert dict(owners) == dict(PARTIAL)
    assert len(set(owners)) == len(PARTIAL)


COLUMNS = (
    *("time", "raw_data", "message", "file.path", "file.name", "unmapped.extra"),
    *("enrichments[a]:json", "enrichments[b]:json", "unmapped.note:json"),
    *("class_uid", "status_code", "unmapped.protocol", "api.operation"),
    *("actor.user.name", "src_endpoint.ip", "dst_endpoint.hostname"),
)
NUMBERS = ("time", "class_uid")
TEXTS = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(['"', "\\", "\x01", "\u2028"]))
JSON_TEXTS = st.one_of(st.none(), TEXTS.map(json.dumps))


def _values(column: str) -> st.SearchStrategy[Any]:
    if column in NUMBERS:
        return st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))
    return JSON_TEXTS if column.endswith(":json") else TEXTS


EVENTS = st.lists(
    st.fixed_dictionaries({column: _values(column) for column in COLUMNS}), min_size=1, max_size=12
)


def _expected(event: dict[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for column in COLUMNS:
        value = event[column]
        if value is None:
            continue
        plain = json.loads(value) if column.endswith(":json") else value
        path = column.removesuffix(":json").split(".")
        inside = result
        for name in path[:-1]:
            inside = inside.setdefault(name, {})
        if path[-1].endswith("]"):
            inside.setdefault(path[-1].partition("[")[0], []).append(plain)
        else:
            inside[path[-1]] = plain
    return result


@settings(max_examples=60)
@given(events=EVENTS, coded=st.booleans())
def test_columns_agree_with_single_rows(events: list[dict[str, Any]], coded: bool):
    """In any company an event has the same bytes, with and without code columns."""
    many = events * (SMALL // len(events) + 1)
    schema = {column: pl.Int64 if column in NUMBERS else pl.String for column in COLUMNS}
    frame = pl.DataFrame(many, schema=schema)
    if coded:
        codes = [number % len(events) * 3 for number in range(len(many))]
        frame = frame.with_columns(pl.Series(code, codes, dtype=pl.UInt32) for code in ocsf.SHARED)
    together = encode(frame).to_list()
    assert [json.loads(text) for text in together] == [_expected(event) for event in many]
    alone = [encode(frame[row : row + 1]).item() for row in range(len(events))]
    assert together[: len(events)] == alone
    kept = list(range(0, len(many), 2))
    assert encode(frame[kept]).to_list() == [together[row] for row in kept]


@pytest.mark.parametrize("rows", [1, SMALL])
def test_a_time_stamp_may_hold_any_text(rows: int):
    """It is what the source wrote: a quote in it begins no member of the event."""
    texts = [None, "", "2026", '","severity_id":6,"a":"', "\\ud800", "a\nb\x00\x1f", 'é\u2028"\\']
    frame = pl.DataFrame(
        {"time": [1] * 7, "metadata.original_time": texts, "metadata.uid": ["u"] * 7}
    )
    seen = _objects(pl.concat([frame] * rows))
    assert [each["metadata"].get("original_time") for each in seen] == texts * rows
    assert all(each.keys() == {"time", "metadata"} for each in seen)

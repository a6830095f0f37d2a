"""Events as Avro: what another reader of the specification gets is the event."""

import io
import json
from typing import Any

import fastavro
import numpy as np
import polars as pl
import pytest
from fastavro.schema import fingerprint, to_parsing_canonical_form
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec, event
from topology.northbound import SERIALIZERS, avro

TEXTS = st.none() | st.text(st.characters(codec="utf-8"), max_size=200)
NUMBERS = st.none() | st.integers(-(2**63), 2**63 - 1)


def nested(record: dict[str, Any]) -> dict[str, Any]:
    """A record as the event that it is: without nulls, and with what `other` has."""
    other = json.loads(record.pop("other") or "{}")
    return merged(present(record), other)


def present(value: dict[str, Any]) -> dict[str, Any]:
    return {
        name: present(member) if isinstance(member, dict) else member
        for name, member in value.items()
        if member is not None
    }


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    out = dict(one)
    for name, member in other.items():
        if isinstance(member, dict) and name in out:
            out[name] = merged(out[name], member)
        else:
            assert name not in out
            out[name] = member
    return out


def read(value: bytes) -> dict[str, Any]:
    """By the specification, with fastavro and the schema's file alone."""
    text = json.loads(event.text())
    mark = bytes.fromhex(fingerprint(to_parsing_canonical_form(text), "CRC-64-AVRO"))
    assert value[:10] == b"\xc3\x01" + mark
    body = io.BytesIO(value[10:])
    found = fastavro.schemaless_reader(body, text, None)
    assert not body.read()
    assert isinstance(found, dict)
    return found


def same(events: pl.DataFrame, **options: Any) -> None:
    encoded = SERIALIZERS["avro"](events, **options).to_list()
    expected = SERIALIZERS["ocsf-json"](events, **options).to_list()
    assert [nested(read(value)) for value in encoded] == [json.loads(text) for text in expected]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "time": st.integers(-(2**62), 2**62),
                "file.path": TEXTS,
                "file.size": NUMBERS,
                "actor.user.name": TEXTS,
                "actor.process.file.name": TEXTS,
                "device.type_id": NUMBERS,
                "metadata.uid": st.none() | st.text("Az09-_"),
                "unmapped.note": TEXTS,
                "raw_data": TEXTS,
                "metadata.labels": st.none() | st.lists(st.text(max_size=3), min_size=1),
                "is_alert": st.none() | st.booleans(),
            }
        ),
        min_size=1,
        max_size=20,
    )
)
def test_a_record_is_the_event(rows: list[dict[str, Any]]) -> None:
    """Whatever is there and whatever is not, in fields of its own and in `other`."""
    schema = {
        "time": pl.Int64,
        "file.size": pl.Int64,
        "device.type_id": pl.Int64,
        "metadata.labels": pl.List(pl.String),
        "is_alert": pl.Boolean,
    }
    names = rows[0]
    same(pl.DataFrame(rows, schema={name: schema.get(name, pl.String) for name in names}))


def test_what_a_code_determines_is_encoded_once() -> None:
    """Rows with equal codes, in any order, with other attributes between them."""
    kinds = np.tile(np.array([3, 0, 7], np.uint32), 200)
    actors = np.arange(600, dtype=np.uint32) % 50
    events = pl.DataFrame(
        {
            "time": np.arange(600),
            "@class": kinds,
            "@actor": actors,
            "class_uid": [None if kind == 7 else int(kind) + 1 for kind in kinds],
            "activity_name": [f"kind {kind}" for kind in kinds],
            "metadata.product.name": [f"product {kind}" for kind in kinds],
            "metadata.uid": [f"uid-{number}" for number in range(600)],
            "actor.user.name": [None if user == 3 else f"user {user}" for user in actors],
            "user.uid": [str(user) if user > 40 else None for user in actors],
            "src_endpoint.port": [number if number % 2 else None for number in range(600)],
        }
    )
    same(events)
    same(events.drop("@class", "@actor"))


def test_a_value_of_another_type_is_kept() -> None:
    """A number that became text, or the other way round, is in `other`."""
    events = pl.DataFrame({"time": [1], "file.size": ["many"], "actor.user.name": [7]})
    same(events)
    (record,) = (read(value) for value in SERIALIZERS["avro"](events))
    assert json.loads(record["other"]) == {"file": {"size": "many"}, "actor": {"user": {"name": 7}}}


def test_what_is_left_out_is_nowhere() -> None:
    """`without`, in fields and in `other`."""
    events = pl.DataFrame({"time": [1], "raw_data": ["secret"], "unmapped.note": ["secret"]})
    same(events, without=frozenset({"raw_data", "unmapped.note"}))
    (value,) = SERIALIZERS["avro"](events, without=frozenset({"raw_data", "unmapped.note"}))
    assert b"secret" not in value


def test_an_event_without_time_is_refused() -> None:
    """It says which field is missing, for its dead letter."""
    with pytest.raises(ValueError, match="1 events without time"):
        SERIALIZERS["avro"](pl.DataFrame({"time": [None, 1]}))


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_longs(numbers: list[int]) -> None:
    """As the reference encoder writes them."""
    for number, seen in zip(numbers, avro.longs(np.array(numbers, np.int64)), strict=True):
        out = io.BytesIO()
        fastavro.schemaless_writer(out, "long", number)
        assert out.getvalue() == seen


def test_the_codec_reads_it() -> None:
    """So do Northbound's own commands."""
    (value,) = SERIALIZERS["avro"](pl.DataFrame({"time": [7], "file.path": ["/a"]}))
    name, record = codec.decode(value)
    assert (name, record["time"], record["file"]["path"]) == ("Event", 7, "/a")

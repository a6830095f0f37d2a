"""Open-ended fields: columns of pairs are built, read and written without losing any."""

import json

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from topology import pairs

TEXT = st.text(alphabet='ab"\\\n\x00\x1fé✓', max_size=4)
ROWS = st.lists(
    st.lists(st.fixed_dictionaries({"name": TEXT, "value": TEXT}), max_size=5), max_size=6
)


def _column(rows: list[list[dict[str, str]]]) -> pl.Series:
    return pl.Series("x:pairs", rows, dtype=pairs.PAIRS)


@given(rows=ROWS)
def test_flat_and_back(rows: list[list[dict[str, str]]]):
    """`build` undoes `flatten`, rows without pairs too."""
    column = _column(rows)
    assert pairs.build(pairs.flatten(column), len(column)).to_list() == rows


@given(rows=ROWS, name=TEXT)
def test_the_first_value_of_a_name(rows: list[list[dict[str, str]]], name: str):
    """Null where a row has no such name."""
    expected = [next((p["value"] for p in row if p["name"] == name), None) for row in rows]
    assert pairs.value_of(_column(rows), name).to_list() == expected


@given(rows=ROWS, times=st.sampled_from([1, 60, 200]))
def test_json_is_the_object_of_the_pairs(rows: list[list[dict[str, str]]], times: int):
    """On both paths, byte for byte; a name that repeats gives a list."""
    texts = pairs.to_json(_column(rows * times)).to_list()
    assert texts == pairs.to_json(_column(rows)).to_list() * times
    for row, text in zip(rows, texts, strict=False):
        assert (json.loads(text) if text else {}) == pairs.as_object(row)


@given(rows=st.lists(st.lists(TEXT, max_size=4), max_size=6))
def test_lists_as_json(rows: list[list[str]]):
    """Arrays of the texts."""
    texts = pairs.lists_to_json(pl.Series(rows, dtype=pl.List(pl.String))).to_list()
    assert [json.loads(text) for text in texts] == rows

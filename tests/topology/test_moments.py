"""Times as text, whatever a source claims."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.match.atoms import _part
from topology.moments import EARLIEST_MS, LATEST_MS, text_of, texts_of


@given(times=st.lists(st.none() | st.integers(min_value=-(2**63), max_value=2**63 - 1)))
def test_columns_agree_with_single_times(times: list[int | None]):
    """And none of them raises; null stays null."""
    expected = [None if time is None else text_of(time) for time in times]
    assert texts_of(pl.Series(times, dtype=pl.Int64)).to_list() == expected


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (1_769_523_143_955, "2026-01-27T14:12:23.955Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (EARLIEST_MS, "0001-01-01T00:00:00.000Z"),
        (EARLIEST_MS - 1, "0001-01-01T00:00:00.000Z"),
        (LATEST_MS, "9999-12-31T23:59:59.999Z"),
        (LATEST_MS + 1, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_times(time: int, text: str):
    """The calendar has a first and a last moment."""
    assert text_of(time) == text


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"])
def test_a_part_of_a_time_that_its_zone_puts_out_of_the_calendar(text: str):
    """Sigma's `|hour` and the like match nothing; the event stays one."""
    assert _part(text, "hour") is None

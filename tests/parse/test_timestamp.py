"""RFC 3339 times: what is one, and that columns agree with the exact path."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.parse.timestamp import NONE, parse_many, parse_one

SECOND = 1_000_000
DAY = 86_400 * SECOND


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.29Z", 290_000),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01T00:00:00.999999999Z", 999_999),
        ("1970-01-01T02:00:00+02:00", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1969-12-31T23:59:59.5Z", -500_000),
        ("1970-01-01T00:00:00-23:59", DAY - 60 * SECOND),
        ("1970-01-01T23:59:60Z", DAY),
        ("0001-01-01T00:00:00Z", -719_162 * DAY),
        ("9999-12-31T23:59:59Z", 2_932_897 * DAY - SECOND),
        ("0000-01-01T00:00:00Z", None),
        ("2023-02-29T00:00:00Z", None),
        ("1970-01-01T24:00:00Z", None),
        ("1970-01-01T00:00:61Z", None),
        ("1970-01-01T00:00:00.Z", None),
        ("1970-01-01T00:00:00.0123456789Z", None),
        ("1970-01-01T00:00:00.1e5Z", None),
        ("1970-01-01T00:00:00", None),
        ("1970-01-01T00:00:00z", None),
        ("1970-01-01t00:00:00Z", None),
        ("1970-01-01 00:00:00Z", None),
        ("1970-1-1T00:00:00Z", None),
        (" 970-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00+2:00", None),
        ("1970-01-01T00:00:00+24:00", None),
        ("1970-01-01T00:00:00-07:61", None),
        ("1970-01-01T00:00:00A", None),
        ("\uff11970-01-01T00:00:00Z", None),
        ("-", None),
        ("", None),
    ],
)
def test_exact(text: str, micros: int | None):
    """One to nine digits, any offset, leap seconds; calendars are checked."""
    assert micros == parse_one(text)
    assert [NONE if micros is None else micros] * SMALL == parse_many(
        pl.Series([text] * SMALL)
    ).tolist()


def _digits(most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", max_size=most)


TIMES = st.builds(
    "{}-{:02}-{:02}T{:02}:{:02}:{:02}{}{}".format,
    st.sampled_from(["2026", "0000", "0001", "9999", "1970", "20x6", "+026"]),
    st.integers(0, 13),
    st.integers(0, 32),
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 61),
    st.one_of(st.just(""), _digits(10).map(".{}".format)),
    st.sampled_from(["Z", "z", "", "+00:00", "-00:00", "-23:59", "+24:00", "-07:61", "+0200"]),
)


@given(st.lists(st.one_of(TIMES, st.text(max_size=30), st.none()), min_size=1, max_size=40))
def test_columns_agree_with_the_exact_path(texts: list[str | None]):
    """Whatever the texts, many at once give what each alone gives."""
    many = texts * (SMALL // len(texts) + 1)
    exact = [NONE if text is None or (one := parse_one(text)) is None else one for text in many]
    assert exact == parse_many(pl.Series(many, dtype=pl.String)).tolist()

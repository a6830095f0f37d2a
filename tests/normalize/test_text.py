"""What a JSON object says of its own time and message, beside a plain reading of it."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.formats import decode

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _events(texts: list[str]) -> list[tuple[int | None, str | None]]:
    raw = pl.DataFrame(
        {"row": range(len(texts)), "raw": [text.encode() for text in texts]},
        schema={"row": pl.UInt32, "raw": pl.Binary},
    ).with_columns(received=pl.lit(7, dtype=pl.Int64))
    decoded = decode("json", raw, {})
    assert decoded.failures.height == 0
    found = decoded.events
    nothing = pl.lit(None, pl.String).alias("message")
    return found.select("time", "message" if "message" in found.columns else nothing).rows()


def _expected(value: Any) -> tuple[int | None, str | None]:
    """As documented: the first name that is there, whatever it has."""
    if not isinstance(value, dict):
        return None, None
    written = next((value[n] for n in ("time", "timestamp", "@timestamp") if n in value), None)
    message = next((value[name] for name in ("message", "msg") if name in value), None)
    time = None
    if isinstance(written, str):
        try:
            moment = datetime.fromisoformat(written)
        except ValueError:
            moment = EPOCH.replace(tzinfo=None)
        if moment.tzinfo:
            time = (moment - EPOCH) // timedelta(milliseconds=1)
    elif isinstance(written, int | float) and not isinstance(written, bool):
        millis = written * 1000 if abs(written) < 100_000_000_000 else written
        time = int(millis) if abs(millis) < 253_402_300_800_000 else None
    return time, message if isinstance(message, str) else None


MOMENTS = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1))  # noqa: DTZ001
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=3),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-(10**13), 10**13),
    st.floats(allow_nan=False, allow_infinity=False),
    st.lists(st.integers(), max_size=1),
    MOMENTS.map(lambda moment: moment.isoformat()),
    MOMENTS.map(lambda moment: moment.isoformat() + "Z"),
    MOMENTS.map(lambda moment: moment.isoformat(" ") + "+02:00"),
    MOMENTS.map(lambda moment: moment.strftime("%Y%m%dT%H%M%SZ")),
)
NAMES = st.sampled_from(["time", "timestamp", "@timestamp", "message", "msg", "other"])
OBJECTS = st.one_of(st.dictionaries(NAMES, VALUES, max_size=4), VALUES)


@given(values=st.lists(OBJECTS, min_size=1, max_size=12))
def test_time_and_message(values: list[Any]):
    """Few lines or many, whatever is beside them."""
    texts = [json.dumps(value) for value in values]
    expected = [_expected(value) for value in values]
    assert _events(texts) == expected
    repeats = SMALL // len(texts) + 1
    assert _events(texts * repeats) == expected * repeats


@pytest.mark.parametrize(
    ("written", "millis"),
    [
        ('"2026-01-27T14:12:23.123Z"', 1_769_523_143_123),
        ('"2026-01-27T14:12:23.999999Z"', 1_769_523_143_999),
        ('"2026-01-27T14:12:23.123456789Z"', 1_769_523_143_123),
        ('"2026-01-27T15:12:23+01:00"', 1_769_523_143_000),
        ('"2026-01-27 15:12:23+01:00"', 1_769_523_143_000),
        ('"1969-12-31T23:59:59.9995Z"', -1),
        ('"2026-01-27T14:12:23"', None),
        ('"2026-13-27T14:12:23Z"', None),
        ("1769523143", 1_769_523_143_000),
        ("1769523143.25", 1_769_523_143_250),
        ("1769523143123", 1_769_523_143_123),
        ("1e300", None),
        ("true", None),
        ("null", None),
    ],
)
@pytest.mark.parametrize("rows", [1, 200])
def test_times(written: str, millis: int | None, rows: int):
    """To the millisecond, and not one less as floating point would have it."""
    assert _events([f'{{"time": {written}}}'] * rows) == [(millis, None)] * rows

"""Times of events as RFC 3339, which has no year over 9999: beyond are its first or last moment.

A source can claim any time, and a zone can put one out of the calendar.
"""

from datetime import UTC, datetime
from typing import Final

import polars as pl

EARLIEST_MS: Final = -62_135_596_800_000
"""The beginning of the year 1, the first that Python knows."""
LATEST_MS: Final = 253_402_300_799_999


def text_of(time_ms: int) -> str:
    """In UTC, with milliseconds."""
    within = min(max(time_ms, EARLIEST_MS), LATEST_MS)
    moment = datetime.fromtimestamp(within // 1000, UTC)
    return f"{moment.replace(tzinfo=None).isoformat()}.{within % 1000:03}Z"


def texts_of(times: pl.Series) -> pl.Series:
    """The same of a column (Int64); nulls stay."""
    within = times.cast(pl.Int64).clip(EARLIEST_MS, LATEST_MS)
    return within.cast(pl.Datetime("ms")).dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ")

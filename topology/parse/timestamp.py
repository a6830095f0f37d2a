"""RFC 3339 time stamps as syslog writes them (RFC 5424 section 6.2.3), leniently.

One to nine fraction digits (nanoseconds are cut to microseconds), any offset including -00:00, and
a leap second, which counts as the first second of the next minute.
"""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import SMALL, factorize

EXACT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,9})?(?:Z|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
YEAR_ONE = -62_135_596_800_000_000
NONE = int(np.iinfo(np.int64).min)
"""Stands for "no time" in arrays of microseconds."""

# Leap seconds are left to the exact path.
USUAL = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](?:\.[0-9]{1,9})?"
OFFSET = r"[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]"
TEXT = pl.col("text")


def _micros(matches: pl.Expr, zone: int) -> pl.Expr:
    """Microseconds as if the text, which ends in `zone` characters of zone, were in UTC."""
    seconds = TEXT.str.head(19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    fraction = TEXT.str.slice(19).str.head(-zone).cast(pl.Float64, strict=False).fill_null(0.0)
    # To the nearest nanosecond first: cutting 0.29 s directly would give 289,999 microseconds.
    nanos = (fraction * 1e9).round().cast(pl.Int64, strict=False)
    micros = seconds.cast(pl.Int64) + nanos // 1000
    return pl.when(matches & (seconds.cast(pl.Int64) >= YEAR_ONE)).then(micros).fill_null(NONE)


IN_UTC = [_micros(TEXT.str.contains(rf"^{USUAL}Z$"), 1).alias("micros")]
WITH_OFFSET = [
    _micros(TEXT.str.contains(rf"^{USUAL}{OFFSET}$"), 6).alias("micros"),
    TEXT.str.tail(6).alias("zone"),
]


def parse_one(text: str) -> int | None:
    """Microseconds since the epoch, or None when the text is no RFC 3339 time. The exact path."""
    if EXACT.fullmatch(text) is None:
        return None
    leap = text[17:19] == "60"
    try:
        # A fraction is cut to microseconds.
        moment = datetime.fromisoformat(f"{text[:17]}59{text[19:]}" if leap else text)
    except ValueError:
        return None
    return (moment - EPOCH) // MICROSECOND + (1_000_000 if leap else 0)


def parse_many(column: pl.Series) -> npt.NDArray[np.int64]:
    """Microseconds since the epoch for each text, `NONE` where it is no RFC 3339 time.

    Equal to `parse_one` on every row: rows that the columns cannot decide go through it.
    """
    if len(column) < SMALL:
        return np.array([_exact(text) for text in column.to_list()], dtype=np.int64)
    texts = column.alias("text").to_frame()
    micros = texts.select(IN_UTC).to_series().to_numpy()
    others = np.flatnonzero(micros == NONE)
    if len(others) == 0:
        return micros
    micros = micros.copy()
    if len(others) >= SMALL:
        zoned = texts[others].select(WITH_OFFSET)
        (zones,) = factorize(zoned, ["zone"])
        east = np.array([_east(zone or "") for zone in zones.distinct(zoned["zone"]).to_list()])
        shifted = zoned["micros"].to_numpy()
        decided = shifted != NONE
        micros[others[decided]] = (shifted - east[zones.codes])[decided]
        others = others[~decided]
    micros[others] = [_exact(text) for text in column[others].to_list()]
    return micros


def _exact(text: str | None) -> int:
    micros = None if text is None else parse_one(text)
    return NONE if micros is None else micros


def _east(zone: str) -> int:
    """Microseconds east of UTC for an offset such as "+02:00"; 0 for what is none."""
    if re.fullmatch(OFFSET, zone) is None:
        return 0
    size = (int(zone[1:3]) * 60 + int(zone[4:6])) * 60_000_000
    return -size if zone[0] == "-" else size

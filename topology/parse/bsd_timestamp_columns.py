"""TIMESTAMP of RFC 3164 for many lines at once: what bsd_timestamp.py says, but once per distinct
day or text.
"""

from functools import lru_cache
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import Dimension, factorize
from topology.parse import bsd_timestamp, timestamp
from topology.parse.bsd_timestamp import DAY_US, MINUTES, SECOND_US
from topology.parse.timestamp import NONE

Micros: TypeAlias = npt.NDArray[np.int64]

TEXT: Final = pl.col("text")
IS_USUAL: Final = [
    TEXT.str.contains(
        r"^[A-Z][a-z]{2} (?: |[0-3])[0-9] (?:[01][0-9]|2[0-3])(?::[0-5][0-9]){2}(?:\.[0-9]{1,9})?$"
    )
]
PARTS: Final = [
    TEXT.str.head(6).alias("day"),
    TEXT.str.slice(7, 2).cast(pl.Int64).alias("hour"),
    TEXT.str.slice(10, 2).cast(pl.Int64).alias("minute"),
    TEXT.str.slice(13, 2).cast(pl.Int64).alias("second"),
]
HAS_FRACTION: Final = [(TEXT.str.len_bytes() > len("Jan  1 00:00:00")).any()]
FRACTION: Final = [TEXT.str.slice(16, 6).str.pad_end(6, "0").cast(pl.Int64)]
"""Microseconds: further digits are cut."""
IS_ISO: Final = [TEXT.str.contains("^(?:19|20)[0-9]{2}-[0-9]{2}-[0-9]{2}T")]
LAST: Final = int(np.iinfo(np.int64).max)
UNKNOWN: Final = (np.full(MINUTES, NONE), np.full(MINUTES, NONE))


def parse_many(texts: pl.Series, received: Micros, zone: ZoneInfo | None) -> Micros:
    """Microseconds since the epoch, NONE where the exact path has to decide.

    `texts`: whole time stamps without nulls; `received`: microseconds since the epoch.
    """
    frame = texts.alias("text").to_frame()
    micros = np.full(len(texts), NONE)
    if not len(texts):
        return micros
    usual = frame.select(IS_USUAL).to_series().to_numpy()
    if usual.all():
        return _usual(frame, received, zone)
    if usual.any():
        micros[usual] = _usual(frame.filter(usual), received[usual], zone)
    iso = np.flatnonzero(~usual & frame.select(IS_ISO).to_series().to_numpy())
    micros[iso] = timestamp.parse_many(texts[iso])
    others = np.flatnonzero(~usual & (micros == NONE))
    if len(others):
        micros[others] = _distinct(texts[others], received[others], zone)
    return micros


def _usual(frame: pl.DataFrame, received: Micros, zone: ZoneInfo | None) -> Micros:
    parts = frame.select(PARTS)
    (days,) = factorize(parts, ["day"])
    hour, minute, second = (parts[name].to_numpy() for name in ("hour", "minute", "second"))
    minute_of_day = hour * 60 + minute
    since_midnight = (minute_of_day * 60 + second) * SECOND_US
    if frame.select(HAS_FRACTION).item():
        since_midnight += frame.select(FRACTION).to_series().to_numpy()
    numbers = [
        _day(text, low, high, zone)
        for text, low, high in zip(
            days.distinct(parts["day"]).to_list(), *_span(days, received), strict=True
        )
    ]
    known = np.array([number is not None for number in numbers])
    number = np.array([number or 0 for number in numbers], dtype=np.int64)
    local = number[days.codes] * DAY_US + since_midnight
    if zone is not None:
        local = _to_utc(local, minute_of_day, days.codes, numbers, received, zone)
    return np.where(known[days.codes], local, NONE)


def _to_utc(
    local: Micros,
    minute: Micros,
    codes: npt.NDArray[np.uint32],
    numbers: list[int | None],
    received: Micros,
    zone: ZoneInfo,
) -> Micros:
    tables = [UNKNOWN if number is None else _offsets(zone, number) for number in numbers]
    first = np.array([table[0] for table in tables])[codes, minute]
    second = np.array([table[1] for table in tables])[codes, minute]
    utc: Micros = local - first
    twice = np.flatnonzero(second < first)
    if len(twice):
        later = local[twice] - second[twice]
        gap = received[twice]
        nearer = np.abs(later - gap) < np.abs(utc[twice] - gap)
        utc[twice[nearer]] = later[nearer]
    return utc


def _day(text: str, low: int, high: int, zone: ZoneInfo | None) -> int | None:
    """Days since the epoch of `Mmm dd` for all lines received from `low` to `high`.

    None when it is no day, or when its year is not the same for all of them. Which year is nearest
    changes once as time goes on, so the ends decide; a day more covers what zones do to it.
    """
    stamp = bsd_timestamp.read(f"{text} 00:00:00")
    if stamp is None:
        return None
    first = stamp.written
    years = {
        bsd_timestamp.year_of(written, received, zone)
        for written in (first, first._replace(micros=DAY_US - SECOND_US))
        for received in (low - DAY_US, high + DAY_US)
    }
    return bsd_timestamp.days_since_epoch(years.pop(), first) if len(years) == 1 else None


@lru_cache(maxsize=1024)
def _offsets(zone: ZoneInfo, day: int) -> tuple[Micros, Micros]:
    """What bsd_timestamp.offsets says for each minute of a day."""
    samples = {
        bsd_timestamp.offsets(zone, day, minute) for minute in (*range(0, MINUTES, 60), MINUTES - 1)
    }
    if len(samples) == 1:
        first, second = samples.pop()
        return np.full(MINUTES, first), np.full(MINUTES, second)
    both = [bsd_timestamp.offsets(zone, day, minute) for minute in range(MINUTES)]
    return np.array([pair[0] for pair in both]), np.array([pair[1] for pair in both])


def _distinct(texts: pl.Series, received: Micros, zone: ZoneInfo | None) -> Micros:
    """Each distinct text once, where all of its lines mean the same by it."""
    (dimension,) = factorize(texts.alias("text").to_frame(), ["text"])
    distinct = zip(dimension.distinct(texts).to_list(), *_span(dimension, received), strict=True)
    meant: Micros = np.array(
        [_same(text, low, high, zone) for text, low, high in distinct], dtype=np.int64
    )
    return meant[dimension.codes]


def _span(dimension: Dimension, received: Micros) -> tuple[list[int], list[int]]:
    """When the first and the last line of each distinct text was received."""
    low, high = np.full(dimension.size, LAST), np.full(dimension.size, NONE)
    np.minimum.at(low, dimension.codes, received)
    np.maximum.at(high, dimension.codes, received)
    return low.tolist(), high.tolist()


def _same(text: str, low: int, high: int, zone: ZoneInfo | None) -> int:
    stamp = bsd_timestamp.read(text)
    if stamp is None or stamp.end != len(text):
        return NONE
    meant = {bsd_timestamp.instant(stamp.written, received, zone) for received in (low, high)}
    return meant.pop() if len(meant) == 1 else NONE

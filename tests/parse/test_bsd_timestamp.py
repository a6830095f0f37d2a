"""Times of RFC 3164: the year, the zone, and what is left open by both."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topology.dimension import SMALL
from topology.parse import bsd_timestamp, bsd_timestamp_columns
from topology.parse.bsd_timestamp import instant, zone_of
from topology.parse.timestamp import NONE

BERLIN = "Europe/Berlin"


def _micros(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 1_000_000


def _meant(text: str, received: str, zone: str = "UTC") -> str:
    """By one line, and by columns, unless they leave it to the exact path."""
    stamp = bsd_timestamp.read(text)
    assert stamp is not None
    assert stamp.end == len(text)
    micros = instant(stamp.written, _micros(received), zone_of(zone))
    many = bsd_timestamp_columns.parse_many(
        pl.Series([text] * SMALL), np.full(SMALL, _micros(received)), zone_of(zone)
    )
    assert set(many.tolist()) <= {micros, NONE}
    return (datetime(1970, 1, 1) + timedelta(microseconds=micros)).isoformat()  # noqa: DTZ001


@pytest.mark.parametrize(
    ("text", "received", "zone", "meant"),
    [
        ("Jan 27 14:12:23", "2026-01-27T14:12:24", "UTC", "2026-01-27T14:12:23"),
        # The turn of the year, both ways: a late line, and a clock that is ahead.
        ("Dec 31 23:59:59", "2026-01-01T00:00:01", "UTC", "2025-12-31T23:59:59"),
        ("Jan  1 00:00:01", "2025-12-31T23:59:59", "UTC", "2026-01-01T00:00:01"),
        ("Jan  1 00:30:00", "2025-12-31T23:30:00", BERLIN, "2025-12-31T23:30:00"),
        ("Dec 31 23:30:00", "2025-12-31T22:30:00", BERLIN, "2025-12-31T22:30:00"),
        # Half a year away either side.
        ("Jul 27 00:00:00", "2026-01-27T00:00:00", "UTC", "2026-07-27T00:00:00"),
        ("Jul 30 00:00:00", "2026-01-27T00:00:00", "UTC", "2025-07-30T00:00:00"),
        # A leap day is in a leap year.
        ("Feb 29 12:00:00", "2024-03-01T00:00:00", "UTC", "2024-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2026-01-27T00:00:00", "UTC", "2024-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2026-04-27T00:00:00", "UTC", "2028-02-29T12:00:00"),
        ("Feb 29 12:00:00", "2101-01-01T00:00:00", "UTC", "2104-02-29T12:00:00"),
        # 02:00 to 03:00 does not exist: the clock was not yet put forward (+01:00).
        ("Mar 29 01:59:59", "2026-03-29T01:00:00", BERLIN, "2026-03-29T00:59:59"),
        ("Mar 29 02:30:00", "2026-03-29T01:00:00", BERLIN, "2026-03-29T01:30:00"),
        ("Mar 29 03:00:00", "2026-03-29T01:00:00", BERLIN, "2026-03-29T01:00:00"),
        # 02:00 to 03:00 comes twice: the one that is nearer to the reception.
        ("Oct 25 01:59:59", "2026-10-25T00:30:00", BERLIN, "2026-10-24T23:59:59"),
        ("Oct 25 02:30:00", "2026-10-25T00:30:05", BERLIN, "2026-10-25T00:30:00"),
        ("Oct 25 02:30:00", "2026-10-25T01:30:05", BERLIN, "2026-10-25T01:30:00"),
        ("Oct 25 02:30:00", "2026-10-25T01:00:00", BERLIN, "2026-10-25T00:30:00"),
        ("Oct 25 03:00:00", "2026-10-25T01:30:05", BERLIN, "2026-10-25T02:00:00"),
        # What the text says of year and zone goes before what is known of the source.
        ("Jan 27 2020 14:12:23", "2026-01-27T14:12:24", BERLIN, "2020-01-27T13:12:23"),
        ("Jan 27 14:12:23 EST", "2026-01-27T14:12:24", BERLIN, "2026-01-27T19:12:23"),
        ("Jan 27 14:12:23 +05:30", "2026-01-27T14:12:24", BERLIN, "2026-01-27T08:42:23"),
        ("2020-07-27T14:12:23", "2026-01-27T14:12:24", BERLIN, "2020-07-27T12:12:23"),
        ("2020-07-27T14:12:23Z", "2026-01-27T14:12:24", BERLIN, "2020-07-27T14:12:23"),
    ],
)
def test_what_a_time_means(text: str, received: str, zone: str, meant: str):
    """Year and zone as they are inferred from the reception and the source's zone."""
    assert meant == _meant(text, received, zone)


@pytest.mark.parametrize(
    "text",
    [
        *("Jan 27 14:12", "Jan 27 24:00:00", "Jan 27 14:60:00", "Jan 27 14:12:61"),
        "Jan 0 14:12:23",
        *("Feb 30 14:12:23", "Feb 29 2026 14:12:23", "Jan 27 14:12:23x", "Foo 27 14:12:23"),
        *("2026-02-29T14:12:23Z", "2026-01-27", "", " Jan 27 14:12:23", "Jan 27 1026 14:12:23"),
    ],
)  # fmt: skip
def test_what_is_no_time(text: str):
    """Calendars and clocks are checked."""
    assert bsd_timestamp.read(text) is None


ZONES = st.sampled_from(
    [BERLIN, "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo", "UTC"]
)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2037, 12, 31))  # noqa: DTZ001


@given(st.lists(MOMENTS, min_size=1, max_size=20), ZONES, st.timedeltas(
    timedelta(days=-170), timedelta(days=170)
))  # fmt: skip
def test_a_time_that_is_written_is_read_again(moments: list[datetime], name: str, delay: timedelta):
    """What a device in the zone writes down, received within 170 days, is that instant again.

    Within a zone's hour that comes twice it is right when it was received at once.
    """
    zone = ZoneInfo(name)
    moments = [moment.replace(microsecond=0, tzinfo=UTC) for moment in moments]
    texts = [f"{moment.astimezone(zone):%b %e %H:%M:%S}" for moment in moments]
    true = np.array([int(moment.timestamp()) * 1_000_000 for moment in moments])
    once = [moment.astimezone(zone) for moment in moments]
    unclear = np.array(
        [each.utcoffset() != each.replace(fold=1 - each.fold).utcoffset() for each in once]
    )
    for late in (0, delay // timedelta(microseconds=1)):
        seen = np.array(
            [
                instant(stamp.written, received, zone_of(name))
                for text, received in zip(texts, (true + late).tolist(), strict=True)
                if (stamp := bsd_timestamp.read(text))
            ]
        )
        assert ((seen == true) | (unclear & (late != 0))).all()


@pytest.mark.parametrize("name", [BERLIN, "America/New_York", "Australia/Lord_Howe"])
def test_columns_decide_every_half_hour_of_a_year(name: str):
    """At once and a day late, over both changes of the clock, as the exact path does."""
    start, minutes = _micros("2026-01-01T00:00:00"), 365 * 1440
    zone = ZoneInfo(name)
    true = start + np.arange(0, minutes, 30) * 60_000_000
    texts = [f"{datetime.fromtimestamp(each / 1e6, zone):%b %e %H:%M:%S}" for each in true.tolist()]
    for late in (1_000_000, 86_400_000_000):
        received = true + late
        seen = bsd_timestamp_columns.parse_many(pl.Series(texts), received, zone_of(name))
        exact = [
            instant(stamp.written, each, zone_of(name))
            for text, each in zip(texts, received.tolist(), strict=True)
            if (stamp := bsd_timestamp.read(text))
        ]
        # The day that the year of reception begins and ends with is left to the exact path.
        undecided = seen == NONE
        assert undecided.mean() < 0.01
        assert ((seen == np.array(exact)) | undecided).all()

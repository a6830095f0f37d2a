"""TIMESTAMP of RFC 3164 section 4.1.2 as it is met: `Mmm dd hh:mm:ss`, and what vendors make of it.

With a weekday before it; with a year before the month, after the day or after the time; with a
fraction; with an offset or the name of a zone. Or ISO 8601, with or without a zone. A time that
names no zone is in the source's.

A text without a year may mean several instants, and so may one in the hour that a zone has twice:
it means the one nearest to its reception, or to a day that is given instead (the earlier of two
equally near). A time that a zone
skips counts by the offset before the change. A leap second is the first second of the next minute.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

ZONE: Final = "an IANA time zone, such as Europe/Berlin"
DAY: Final = "a day that times without a year are nearest to, such as 2024-05-31"
MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
ZONES: Final = {
    **dict.fromkeys(("UTC", "GMT", "UCT", "WET"), 0),
    **dict.fromkeys(("CET", "WEST", "MEZ", "BST"), 60),
    **dict.fromkeys(("CEST", "EET", "MESZ", "SAST"), 120),
    **dict.fromkeys(("EEST", "MSK"), 180),
    **dict.fromkeys(("SGT", "HKT", "AWST"), 480),
    **dict.fromkeys(("JST", "KST"), 540),
    **dict.fromkeys(("AEST",), 600),
    **dict.fromkeys(("AEDT",), 660),
    **dict.fromkeys(("NZST",), 720),
    **dict.fromkeys(("NZDT",), 780),
    **dict.fromkeys(("EDT",), -240),
    **dict.fromkeys(("EST", "CDT"), -300),
    **dict.fromkeys(("CST", "MDT"), -360),
    **dict.fromkeys(("MST", "PDT"), -420),
    **dict.fromkeys(("PST", "AKDT"), -480),
    **dict.fromkeys(("AKST",), -540),
    **dict.fromkeys(("HST",), -600),
}
"""Minutes east of UTC. Names of RFC 822 mean what they mean there. IST is none: it has three."""

MONTH_NAMES: Final = "|".join(name.title() for name in MONTHS)
CLOCK: Final = (
    r"(?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9]):(?P<second>[0-5][0-9]|60)"
    r"(?:[.,](?P<fraction>[0-9]{1,9})[0-9]*)?"
)
OFFSET: Final = r"[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?"
NAMED: Final = "|".join(sorted(ZONES, key=len, reverse=True))
YEAR: Final = "(?:19|20)[0-9]{2}"
END: Final = r"(?=[: ]|$)"
BSD: Final = re.compile(
    r"(?:(?i:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?"
    rf"(?:(?P<before>{YEAR}) )?(?P<month>(?i:{MONTH_NAMES})) {{1,2}}(?P<day>[0-3]?[0-9])"
    rf"(?: (?P<within>{YEAR}))? {CLOCK}"
    rf"(?: ?(?P<offset>{OFFSET}|Z){END}| TZ(?P<posix>[+-][0-9]{{1,2}}){END}"
    rf"| (?P<zone>{NAMED}){END}| (?P<lower>(?i:{NAMED}))(?=: %))?"
    rf"(?: (?P<after>{YEAR})(?= |$|: ))?{END}"
)
ISO: Final = re.compile(
    rf"(?P<year>{YEAR})-(?P<month>[01][0-9])-(?P<day>[0-3][0-9])[Tt ]{CLOCK}"
    rf"(?: ?(?P<offset>{OFFSET}|[Zz]))?{END}"
)
START: Final = (
    rf"(?i:{MONTH_NAMES}) {{1,2}}[0-9]{{1,2}} (?:[0-9]{{4}} )?[0-9]{{1,2}}:"
    rf"|{YEAR}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:"
)
"""How lines begin that have a time and nothing before it."""
EPOCH: Final = date(1970, 1, 1).toordinal()
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
DAY_US: Final = 86_400 * SECOND_US
MINUTES: Final = 1440
MOST: Final = date.max.toordinal()
LEAP_YEARS: Final = 8
"""Between two of them there are never more years (1896 and 1904)."""


class Written(NamedTuple):
    """What a text says. `year` is None where it has none; `east`: microseconds, None: no zone."""

    year: int | None
    month: int
    day: int
    micros: int
    """Since midnight."""
    east: int | None


class Stamp(NamedTuple):
    """A time at the start of a text. `end`: where it ends."""

    written: Written
    end: int


@lru_cache(maxsize=64)
def zone_of(name: str) -> ZoneInfo | None:
    """The zone of an IANA name; None for UTC, which needs no table."""
    return None if name in ("UTC", "Etc/UTC") else ZoneInfo(name)


def check_zone(name: str) -> str | None:
    """What was expected, if there is no such zone."""
    try:
        zone_of(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # OSError: the name of a folder of zones
        return ZONE
    return None


def check_day(text: str) -> str | None:
    """What was expected, if there is no such day."""
    try:
        date.fromisoformat(text)
    except ValueError:
        return DAY
    return None


def read(text: str, start: int = 0) -> Stamp | None:
    """The time that begins at `start` and ends before a blank, a colon or the end of the text."""
    found = BSD.match(text, start)
    if found is not None:
        year = found["before"] or found["within"] or found["after"]
        month = MONTHS[found["month"].lower()]
        zone = found["zone"] or found["lower"]
        if zone:
            east: int | None = ZONES[zone.upper()] * MINUTE_US
        elif found["posix"]:
            east = int(found["posix"]) * 60 * MINUTE_US
        else:
            east = _east(found["offset"])
    else:
        found = ISO.match(text, start)
        if found is None:
            return None
        year, month, east = found["year"], int(found["month"]), _east(found["offset"])
    day = int(found["day"])
    try:
        date(int(year or 2000), month, day)  # 2000 has every day
    except ValueError:
        return None
    seconds = (int(found["hour"]) * 60 + int(found["minute"])) * 60 + int(found["second"])
    fraction = int((found["fraction"] or "0").ljust(6, "0")[:6])
    micros = seconds * SECOND_US + fraction
    return Stamp(Written(int(year) if year else None, month, day, micros, east), found.end())


def month_day_time(text: str) -> str | None:
    """`MM-DDThh:mm:ss` of a time as it is written, in whatever zone."""
    stamp = read(text)
    if stamp is None:
        return None
    _, month, day, micros, _ = stamp.written
    minutes, seconds = divmod(micros // SECOND_US, 60)
    return f"{month:02}-{day:02}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}"


def _east(offset: str | None) -> int | None:
    if offset is None:
        return None
    if offset in "Zz":
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    size = (int(digits[:2]) * 60 + int(digits[2:])) * MINUTE_US
    return -size if offset[0] == "-" else size


def instant(written: Written, received: int, zone: ZoneInfo | None) -> int:
    """Microseconds since the epoch of what is meant. `received`: likewise."""
    return _nearest(written, received, zone)[0]


def year_of(written: Written, received: int, zone: ZoneInfo | None) -> int:
    """The local year of what is meant."""
    return _nearest(written, received, zone)[1]


def _nearest(written: Written, received: int, zone: ZoneInfo | None) -> tuple[int, int]:
    candidates = (
        (meant, year)
        for year in _years(written, received)
        for meant in _instants(days_since_epoch(year, written), written, zone)
    )
    return min(candidates, key=lambda candidate: (abs(candidate[0] - received), candidate[0]))


def _years(written: Written, received: int) -> Iterator[int]:
    if written.year is not None:
        yield written.year
        return
    middle = date.fromordinal(min(max(EPOCH + received // DAY_US, 1), MOST)).year
    middle = min(max(middle, 1 + LEAP_YEARS), 9998 - LEAP_YEARS)
    leap_day = (written.month, written.day) == (2, 29)
    reach = LEAP_YEARS if leap_day else 1
    for year in range(middle - reach, middle + reach + 1):
        if not leap_day or (year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)):
            yield year


def days_since_epoch(year: int, written: Written) -> int:
    """The day in a year."""
    return date(year, written.month, written.day).toordinal() - EPOCH


def _instants(day: int, written: Written, zone: ZoneInfo | None) -> Iterator[int]:
    local = day * DAY_US + written.micros
    if written.east is not None:
        yield local - written.east
        return
    first, second = offsets(zone, day, written.micros // MINUTE_US)
    yield local - first
    if second < first:
        yield local - second


@lru_cache(maxsize=16_384)
def offsets(zone: ZoneInfo | None, day: int, minute: int) -> tuple[int, int]:
    """Microseconds east of UTC at a local time (PEP 495: with fold 0, with fold 1).

    The first is the greater in an hour that comes twice, the smaller in one that is skipped.
    """
    if zone is None:
        return 0, 0
    local = datetime.fromordinal(EPOCH + day) + timedelta(minutes=minute)
    return _offset(zone, local), _offset(zone, local.replace(fold=1))


def _offset(zone: ZoneInfo, local: datetime) -> int:
    return (zone.utcoffset(local) or timedelta()) // timedelta(microseconds=1)

"""RFC 3164, the BSD syslog protocol as it is met: `[<PRI>][TIMESTAMP] [HOSTNAME] [TAG[PID]:] MSG`.

In: `row`, `text`, `received` (ms: decides the year). Out: the columns of rfc5424.SCHEMA, as far as
RFC 3164 has them: `appname` is TAG, `procid` what is in brackets after it; `version`, `msgid` and
structured data are always absent. rfc3164_line.py says what a line means; lines of the usual shapes
go through columns. Options: `timezone`, the zone of times that name none;
`reference`, a day that decides the year instead of the reception.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import SMALL, factorize
from topology.parse import bsd_timestamp, bsd_timestamp_columns, rfc3164_line, rfc5424
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    Option,
    Parsed,
    Schema,
    parse_rows,
)
from topology.parse.timestamp import NONE
from topology.rows import unnest

SCHEMA: Final[Schema] = rfc5424.SCHEMA
UTC: Final = "UTC"
LATEST_MS: Final = 250_000_000_000_000
"""In the year 9892: times of reception beyond it count as this."""

PRI: Final = "(?:<([0-9]{1,3})>)?"
CLOCK: Final = "[0-9]{2}:[0-9]{2}:[0-9]{2}"
STAMP: Final = (
    f"([A-Z][a-z]{{2}} [ 0-9][0-9] {CLOCK}"
    "|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9]{2}:[0-9]{2}))"
)
HOST: Final = "([A-Za-z0-9._:-]+)"
TAG: Final = "([A-Za-z0-9_./@%()-]+)"
PID: Final = r"\[([A-Za-z0-9._-]*)\]"
WHOLE: Final = "CEF:[0-9]|LEEF:[0-9]|[a-z_][A-Za-z0-9_]*="
"""How messages begin that have no TAG (rfc3164_line.UNTAGGED has all of them)."""


class Shape(NamedTuple):
    """`groups`: an expression that gives GROUPS. `after`: what is after the time, with `host` and
    `tag` for themselves, where they are; None for lines without a time.
    """

    groups: pl.Expr
    after: str | None


def _groups(pattern: str) -> pl.Expr:
    return pl.col("text").str.extract_groups(pattern)


# None has alternatives that begin alike, so that the engine finds the groups in one pass. MSG is
# cut off afterwards: a group that goes on to the end of the line would cost three times as much.
SHAPES: Final = (
    Shape(_groups(rf"^({PRI}{STAMP} {HOST} {TAG}(?:{PID})?: *)"), "host tag: "),
    Shape(  # Cisco
        _groups(
            rf"^({PRI}(?:[0-9]+: )?[*.]?([A-Z][a-z]{{2}} [ 0-9][0-9](?: [0-9]{{4}})? {CLOCK}"
            r"(?:\.[0-9]{1,9})?)(?: ([A-Za-z0-9._-]+) ?)?: (%[A-Z0-9_-]+)():  *)"
        ),
        "host: tag: ",
    ),
    Shape(_groups(rf"^({PRI}{STAMP}() {TAG}(?:{PID}:|: ) *)"), "tag: "),
    Shape(_groups(rf"^({PRI}{STAMP} {HOST} {TAG}(?:{PID})?  *)"), "host tag "),
    Shape(
        _groups(
            rf"^({PRI}{STAMP} {HOST} )()()(?:{WHOLE}"
            r"|[\[{(<\"'=]|[0-9]+,[0-9]{4}/[0-9]{2}/[0-9]{2} )"
        ),
        "host ",
    ),
    Shape(_groups(rf"^(<([0-9]{{1,3}})>)()()()()(?:{WHOLE})"), None),
)
GROUPS: Final = ("header", "pri", "time", "host", "tag", "pid")
MESSAGE: Final = pl.col("text").str.strip_prefix(pl.col("header"))
REST: Final = [
    pl.when(pl.col("host") != "").then(pl.col("host")).alias("host"),
    pl.when(pl.col("pid") != "").then(pl.col("pid")).alias("pid"),
    pl.when(pl.col("tag") != "").then(pl.col("tag")).alias("tag"),
    pl.when(pl.col("time") != "").then(pl.col("time")).alias("time"),
    MESSAGE.alias("msg"),
]
UNCLEAR: Final = {
    after: [MESSAGE.str.starts_with(start).fill_null(value=True)]
    for after, start in (("tag: ", "%"), ("host tag ", ":"))
}
"""Where the first word after the time may be something else, going by how MSG starts."""
REFERENCE: Final = "reference"
UNSURE: Final = ("CEF", "LEEF", "Message")
"""Words that are a TAG or a HOSTNAME, or not, depending on what is after them."""


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
    """Lines of the usual shapes go through columns, all others through rfc3164_line."""
    zone = bsd_timestamp.zone_of(options.get("timezone", UTC))
    received = np.clip(frame["received"].to_numpy(), -LATEST_MS, LATEST_MS) * 1000
    if REFERENCE in options:
        noon = datetime.fromisoformat(f"{options[REFERENCE]}T12:00:00+00:00")
        received = np.full_like(received, int(noon.timestamp()) * 1_000_000)
    frame = pl.DataFrame([frame["row"], frame["text"], pl.Series("received", received)])
    if frame.height < SMALL:
        return _parse_exactly(frame, zone)
    parts: list[pl.DataFrame] = []
    places: list[npt.NDArray[np.intp]] = []
    rest = np.arange(frame.height)
    for shape in SHAPES:
        if len(rest) < SMALL:
            break
        lines = frame if len(rest) == frame.height else frame[rest]
        fields, usual = _parse_shape(lines, shape, zone)
        if usual.all():
            parts.append(fields)
            places.append(rest)
            rest = rest[:0]
        elif usual.any():
            parts.append(fields.filter(usual))
            places.append(rest[usual])
            rest = rest[~usual]
    if len(parts) == 1 and not len(rest):
        return Parsed(parts[0], NO_FAILURES)
    odd = _parse_exactly(frame[rest], zone)
    failed = np.isin(frame["row"].to_numpy()[rest], odd.failures["row"].to_numpy())
    order = np.argsort(np.concatenate([*places, rest[~failed]]))
    return Parsed(pl.concat([*parts, odd.fields], rechunk=True)[order], odd.failures)


def _parse_exactly(frame: pl.DataFrame, zone: ZoneInfo | None) -> Parsed:
    return parse_rows(
        frame,
        lambda text, received: rfc3164_line.parse_line(text, received, zone),
        SCHEMA,
        ("text", "received"),
    )


def _parse_shape(
    frame: pl.DataFrame, shape: Shape, zone: ZoneInfo | None
) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Fields of all lines as if they had the shape, and which of them are right."""
    groups = zip(unnest(frame, shape.groups), GROUPS, strict=True)
    parts = pl.DataFrame([group.alias(name) for group, name in groups])
    usual = parts["header"].is_not_null().to_numpy()
    if not usual.any():
        return frame, usual
    pris, hosts, tags = factorize(parts, ["pri", "host", "tag"])
    decoded = [_decode_pri(text) for text in pris.distinct(parts["pri"]).to_list()]
    usual = usual & np.array([pri <= 191 for pri in decoded])[pris.codes]
    pri = np.array([min(pri, 191) for pri in decoded], dtype=np.uint8)[pris.codes]
    parts = parts.hstack([frame["text"]])
    rest = parts.select(REST)
    micros = np.full(frame.height, NONE)
    if shape.after is not None:
        for dimension, name, check in ((hosts, "host", _is_host), (tags, "tag", _is_tag)):
            distinct = dimension.distinct(parts[name]).to_list()
            good = np.array([check(text or "", shape.after) for text in distinct])
            usual &= good[dimension.codes]
        if shape.after in UNCLEAR:
            usual &= ~parts.select(UNCLEAR[shape.after]).to_series().to_numpy()
        received = frame["received"].to_numpy()
        right = np.flatnonzero(usual)
        micros[right] = bsd_timestamp_columns.parse_many(
            parts["time"][right], received[right], zone
        )
        usual &= micros != NONE
    moment = pl.Series(micros).cast(rfc5424.TIME)
    if shape.after is None:
        moment = moment.clear(frame.height)
    columns = {
        "row": frame["row"],
        "pri": pl.Series(pri),
        "facility": pl.Series(pri >> 3),
        "severity": pl.Series(pri & 7),
        "timestamp": moment,
        "@timestamp": rest["time"],
        "hostname": rest["host"],
        "appname": rest["tag"],
        "procid": rest["pid"],
        "sd:json": pl.Series(["{}"]).new_from_index(0, frame.height),
        "msg": rfc5424.trimmed(rest["msg"]),
    }
    nothing = {
        name: pl.Series([None], dtype=SCHEMA[name]).new_from_index(0, frame.height)
        for name in ("version", "msgid")
    }
    both = columns | nothing
    return pl.DataFrame([both[name].alias(name) for name in SCHEMA]), usual


def _decode_pri(text: str | None) -> int:
    return rfc3164_line.DEFAULT_PRI if text is None else int(text)


@lru_cache(maxsize=16_384)
def _is_host(host: str, after: str) -> bool:
    """Whether the exact path takes this word between a time and a TAG for the host."""
    if not host:
        return not after.startswith("host ")
    return host not in UNSURE and _read(f"{host} x: m") == (host, "x", "m")


@lru_cache(maxsize=16_384)
def _is_tag(tag: str, after: str) -> bool:
    """Whether the exact path takes this word for the TAG."""
    if not tag:
        return after == "host "
    host = "host" if after.startswith("host") else None
    return tag not in UNSURE and _read(f"{after.replace('tag', tag)}m") == (host, tag, "m")


def _read(text: str) -> tuple[str | None, str | None, str | None]:
    """Host, TAG and message after a time, by the exact path."""
    line = rfc3164_line.parse_line(f"<13>Jan  1 00:00:00 {text}", 0, None)
    fields = dict(zip(list(SCHEMA)[1:], line, strict=True))
    return fields["hostname"], fields["appname"], fields["msg"]


PARSER = Format(
    "rfc3164",
    "1",
    parse,
    {
        "timezone": Option(bsd_timestamp.ZONE, "[A-Za-z0-9_+/-]+", bsd_timestamp.check_zone),
        REFERENCE: Option(bsd_timestamp.DAY, "[0-9]{4}-[0-9]{2}-[0-9]{2}", bsd_timestamp.check_day),
    },
)

"""The syslog header before a payload of another format, if there is one: RFC 5424, else RFC 3164.

In: `row`, `text`, `received`. Out: the columns of SCHEMA: `syslog` is null and `msg` the whole text
where there is no header that can be read. Options: those of rfc3164.

PARSER takes for a header what begins with PRI or a time stamp, PRI_ONLY what begins with PRI, for
payloads that may begin with a time themselves.
"""

import re
from collections.abc import Mapping
from typing import Final, cast

import numpy as np
import polars as pl

from topology.parse import bsd_timestamp, rfc3164, rfc3164_line, rfc5424
from topology.parse.parsed import NO_FAILURES, Format, MalformedError, Parsed, Schema
from topology.rows import expand, overlay

HEADER: Final = {
    name: dtype for name, dtype in rfc5424.SCHEMA.items() if name not in ("row", "msg")
}
SCHEMA: Final[Schema] = {"row": pl.UInt32, "syslog": pl.Struct(HEADER), "msg": pl.String}
TEXT: Final = pl.col("text")
PRI: Final = "^<[0-9]{1,3}>"
BEGINS: Final = f"{PRI}|^ *(?:{bsd_timestamp.START})"
"""How texts begin that may have a header."""
VERSIONED: Final = PRI + "[0-9]{1,3} "
IS_5424: Final = TEXT.str.contains(VERSIONED)


def _format(name: str, begins: str) -> Format:
    looks = [TEXT.str.contains(begins)]

    def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:
        """Rows without a header cost next to nothing."""
        with_header = np.flatnonzero(frame.select(looks).to_series().to_numpy())
        bare = frame.select("row", pl.lit(None, SCHEMA["syslog"]).alias("syslog"), msg="text")
        if len(with_header) == 0:
            return Parsed(bare, NO_FAILURES)
        fields = _parse(frame[with_header], options)
        places = np.searchsorted(frame["row"].to_numpy(), fields["row"].to_numpy())
        header = fields.select(list(HEADER)).to_struct("syslog").to_frame()
        whole = expand(header, places, frame.height).to_series()
        message = fields.select(pl.col("msg").fill_null(""))
        messages = overlay(bare.select("msg"), places, message).to_series()
        return Parsed(pl.DataFrame([frame["row"], whole, messages]), NO_FAILURES)

    return Format(name, "1", parse, rfc3164.PARSER.options)


def _parse(frame: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:
    """The fields of the rows that either RFC can read, in their order."""
    first = rfc5424.parse(frame.filter(IS_5424), options).fields
    if first.height == frame.height:
        return first
    if first.height == 0:
        return rfc3164.parse(frame, options).fields
    rest = frame.filter(~pl.col("row").is_in(first["row"].implode()))
    return pl.concat([first, rfc3164.parse(rest, options).fields]).sort("row")


def message_of(text: str) -> str | None:
    """What PARSER makes of one text that begins as BEGINS has it: its end that is the message, null
    where it has none; the whole text where no header can be read."""
    if re.match(VERSIONED, text):
        try:
            return cast("str | None", rfc5424.parse_line(text)[-1])
        except MalformedError:
            pass
    try:
        return cast("str | None", rfc3164_line.parse_line(text, 0, None)[-1])
    except MalformedError:
        return text


PARSER = _format("syslog", BEGINS)
PRI_ONLY = _format("syslog-pri", PRI)

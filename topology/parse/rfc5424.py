"""RFC 5424: `<PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`.

In: `row`, `text`. Out: the columns of SCHEMA, where null is NILVALUE or absent; `timestamp` is UTC,
`@timestamp` as it was written. Lengths of names are not enforced: longer ones are met in practice,
and nothing is gained by losing such a message.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import SMALL, factorize
from topology.parse import structured_data, timestamp
from topology.parse.parsed import (
    NO_FAILURES,
    Format,
    MalformedError,
    Parsed,
    Schema,
    merge,
    parse_rows,
)

TIME: Final = pl.Datetime("us")
SCHEMA: Final[Schema] = {
    "row": pl.UInt32,
    "pri": pl.UInt8,
    "facility": pl.UInt8,
    "severity": pl.UInt8,
    "version": pl.UInt16,
    "timestamp": TIME,
    "@timestamp": pl.String,
    "hostname": pl.String,
    "appname": pl.String,
    "procid": pl.String,
    "msgid": pl.String,
    "sd:json": pl.String,
    "msg": pl.String,
}
PRIVAL = re.compile(r"<(0|[1-9][0-9]{0,2})>([1-9][0-9]{0,2})")
NAME = re.compile(r"[^\x00-\x20\x7f]+")
NAMES = ("hostname", "appname", "procid", "msgid")
BYTE_ORDER_MARK = "\ufeff"


def parse_line(text: str) -> tuple[Any, ...]:
    """One message, exactly: the columns of SCHEMA but `row`. Raises MalformedError."""
    parts = text.split(" ", 6)
    pri = decode_prival(parts[0])
    if len(parts) < 7:
        raise MalformedError(f"expected 7 fields before the message, saw {len(parts)}")
    micros = None if parts[1] == "-" else timestamp.parse_one(parts[1])
    if micros is None and parts[1] != "-":
        raise MalformedError(f"TIMESTAMP is no RFC 3339 time: {parts[1][:40]!r}")
    names = [decode_name(part)[0] for part in parts[2:6]]
    sd, message = structured_data.split_one(parts[6])
    message = message.lstrip(" ").removeprefix(BYTE_ORDER_MARK)
    written = None if micros is None else parts[1]
    return (*pri, micros, written, *names, sd, message or None)


def decode_prival(text: str) -> tuple[int, int, int, int]:
    """PRI, facility, severity and version. Raises MalformedError."""
    found = PRIVAL.fullmatch(text)
    if found is None:
        raise MalformedError(f"expected <PRI>VERSION, saw {text[:20]!r}")
    pri = int(found[1])
    if pri > 191:
        raise MalformedError(f"PRI is over 191: {pri}")
    return pri, pri >> 3, pri & 7, int(found[2])


def decode_name(text: str) -> tuple[str | None]:
    """HOSTNAME, APP-NAME, PROCID or MSGID; None for NILVALUE. Raises MalformedError."""
    if text == "-":
        return (None,)
    if NAME.fullmatch(text) is None:
        raise MalformedError(f"a header field is empty or has control characters: {text[:40]!r}")
    return (text,)


Decode: TypeAlias = Callable[[str], tuple[Any, ...]]
HEADER: Final[Mapping[str, tuple[Decode, tuple[str, ...]]]] = {
    "prival": (decode_prival, ("pri", "facility", "severity", "version")),
    **{name: (decode_name, (name,)) for name in NAMES},
}
"""Header fields that repeat from line to line: how one is decoded, and into which columns."""

SPLIT = [
    pl.col("text")
    .str.splitn(" ", 8)
    .struct.rename_fields(["prival", "time", *NAMES, "sd", "rest"])
    .struct.unnest()
]
MESSAGE = pl.col("msg")
UNTRIMMED = [
    MESSAGE.str.starts_with(BYTE_ORDER_MARK).any().alias("marked"),
    MESSAGE.str.starts_with(" ").any().alias("blank"),
    (MESSAGE == "").any().alias("empty"),
]
TRIMMED = [MESSAGE.str.strip_chars_start(" ").str.strip_prefix(BYTE_ORDER_MARK).replace("", None)]


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """Messages with the usual header go through columns, all others through `parse_line`."""
    if frame.height < SMALL:
        return parse_rows(frame, parse_line, SCHEMA)
    fields, usual = _parse_columns(frame)
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    odd = parse_rows(frame.filter(~usual), parse_line, SCHEMA)
    return merge(fields, usual, odd)


def _parse_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Fields of all rows, and which of the rows are right."""
    parts = frame.select(SPLIT)
    usual = np.ones(frame.height, dtype=np.bool_)
    columns: dict[str, pl.Series] = {"row": frame["row"]}
    for name, (decode, targets) in HEADER.items():
        dimension = factorize(parts[name])
        values, good = _decode(decode, len(targets), dimension.distinct(parts[name]))
        usual &= good[dimension.codes]
        for target, column in zip(targets, values, strict=True):
            columns[target] = dimension.spread(pl.Series(target, column, dtype=SCHEMA[target]))
    micros = timestamp.parse_many(parts["time"])
    timed = micros != timestamp.NONE
    columns["timestamp"], columns["@timestamp"] = pl.Series(micros).cast(TIME), parts["time"]
    if not timed.all():
        usual &= timed | (parts["time"] == "-").fill_null(value=False).to_numpy()
        for name in ("timestamp", "@timestamp"):
            columns[name] = columns[name].set(pl.Series(~timed), None)
    columns["sd:json"], message, good = structured_data.split_many(parts)
    usual &= good
    columns["msg"] = _message(message)
    return pl.DataFrame([columns[name].alias(name) for name in SCHEMA]), usual


def _decode(
    decode: Decode, width: int, texts: pl.Series
) -> tuple[list[tuple[Any, ...]], npt.NDArray[np.bool_]]:
    """The decoded columns of the texts, and which of the texts are well-formed."""
    rows: list[tuple[Any, ...]] = []
    good = np.ones(len(texts), dtype=np.bool_)
    for number, text in enumerate(texts.to_list()):
        try:
            rows.append(decode(text or ""))
        except MalformedError:
            rows.append((None,) * width)
            good[number] = False
    return list(zip(*rows, strict=True)), good


def _message(texts: pl.Series) -> pl.Series:
    """Without leading blanks and a byte order mark; null when nothing is left."""
    frame = texts.alias("msg").to_frame()
    if any(frame.select(UNTRIMMED).row(0)):
        frame = frame.select(TRIMMED)
    return frame.to_series()


PARSER = Format("rfc5424", "1", parse)

"""RFC 5424: `<PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID STRUCTURED-DATA [MSG]`.

In: `row`, `text`. Out: the columns of SCHEMA, where null is NILVALUE or absent; `timestamp` is UTC,
`@timestamp` as it was written. Lengths of names are not enforced: longer ones are met in practice,
and nothing is gained by losing such a message.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

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
from topology.rows import unnest

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
PRIVALS = ("pri", "facility", "severity", "version")
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
    names = [decode_name(part) for part in parts[2:6]]
    sd, message = structured_data.split_one(parts[6])
    message = message.lstrip(" ").removeprefix(BYTE_ORDER_MARK)
    written = None if micros is None else parts[1]
    return (*pri, micros, written, *names, sd, message or None)


@lru_cache(maxsize=256)
def decode_prival(text: str) -> tuple[int, int, int, int]:
    """PRI, facility, severity and version. Raises MalformedError."""
    found = PRIVAL.fullmatch(text)
    if found is None:
        raise MalformedError(f"expected <PRI>VERSION, saw {text[:20]!r}")
    pri = int(found[1])
    if pri > 191:
        raise MalformedError(f"PRI is over 191: {pri}")
    return pri, pri >> 3, pri & 7, int(found[2])


def decode_name(text: str) -> str | None:
    """HOSTNAME, APP-NAME, PROCID or MSGID; None for NILVALUE. Raises MalformedError."""
    if text == "-":
        return None
    if NAME.fullmatch(text) is None:
        raise MalformedError(f"a header field is empty or has control characters: {text[:40]!r}")
    return text


SPLIT = pl.col("text").str.splitn(" ", 8)
SPLIT_NAMES = ("prival", "time", *NAMES, "sd", "rest")
IS_NAME = {
    name: pl.col(name).str.contains(r"^[^\x00-\x20\x7f]+$").fill_null(value=False).alias(f"{name}?")
    for name in NAMES
}
NAMED = {name: pl.when(pl.col(name) != "-").then(pl.col(name)).alias(name) for name in NAMES}
NAME_COLUMNS = (IS_NAME, NAMED)
MESSAGE = pl.col("msg")
UNTRIMMED = [
    (
        MESSAGE.str.starts_with(" ") | MESSAGE.str.starts_with(BYTE_ORDER_MARK) | (MESSAGE == "")
    ).any()
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
    split = zip(unnest(frame, SPLIT), SPLIT_NAMES, strict=True)
    parts = pl.DataFrame([part.alias(name) for part, name in split])
    header, usual = _header(parts)
    time = parts["time"]
    micros = timestamp.parse_many(time)
    timed = micros != timestamp.NONE
    moment = pl.Series(micros).cast(TIME)
    if not timed.all():
        usual &= timed | _equals(time, "-")
        moment, time = (column.set(pl.Series(~timed), None) for column in (moment, time))
    sd, message, good = structured_data.split_many(parts)
    usual &= good
    columns = {
        "row": frame["row"],
        **header,
        "timestamp": moment,
        "@timestamp": time,
        "sd:json": sd,
        "msg": trimmed(message),
    }
    return pl.DataFrame([columns[name].alias(name) for name in SCHEMA]), usual


def _header(parts: pl.DataFrame) -> tuple[dict[str, pl.Series], npt.NDArray[np.bool_]]:
    """PRI, VERSION and the names, most of them constant; and the rows where all are right."""
    (privals,) = factorize(parts, ["prival"])
    decoded, good = _decode_privals(privals.distinct(parts["prival"]).to_list())
    number = pl.Series(privals.codes)
    columns = {name: column[number] for name, column in decoded.items()}
    usual = good[privals.codes]
    varying = []
    for name in NAMES:
        column = parts[name]
        first = column[0]
        if first is None or column.null_count() or not (column == first).all():
            varying.append(name)
            continue
        columns[name] = column
        if first == "-":
            columns[name] = pl.Series([None], dtype=pl.String).new_from_index(0, len(column))
        elif NAME.fullmatch(first) is None:
            usual = np.zeros_like(usual)
    if varying:
        names = parts.select(
            [expressions[name] for name in varying for expressions in NAME_COLUMNS]
        )
        for name in varying:
            columns[name] = names[name]
            usual = usual & names[f"{name}?"].to_numpy()
    return columns, usual


def _decode_privals(texts: list[str]) -> tuple[dict[str, pl.Series], npt.NDArray[np.bool_]]:
    """The columns of PRIVALS for the texts, and which of them are well-formed."""
    rows: list[tuple[int | None, ...]] = []
    good = np.ones(len(texts), dtype=np.bool_)
    for number, text in enumerate(texts):
        try:
            rows.append(decode_prival(text))
        except MalformedError:
            rows.append((None,) * len(PRIVALS))
            good[number] = False
    columns = zip(PRIVALS, zip(*rows, strict=True), strict=True)
    return {name: pl.Series(values, dtype=SCHEMA[name]) for name, values in columns}, good


def _equals(column: pl.Series, text: str) -> npt.NDArray[np.bool_]:
    return (column == text).fill_null(value=False).to_numpy()


def trimmed(texts: pl.Series) -> pl.Series:
    """Without leading blanks and a byte order mark; null when nothing is left."""
    frame = texts.alias("msg").to_frame()
    if frame.select(UNTRIMMED).item():
        frame = frame.select(TRIMMED)
    return frame.to_series()


PARSER = Format("rfc5424", "1", parse)

"""Lines of which only the form is known (CEF, key-value, JSON, plain text, …): OCSF Base Event.

A JSON object's own time is taken from `time`, `timestamp` or `@timestamp` (RFC 3339, or seconds or
milliseconds since the epoch), its message from `message` or `msg`, as the parser found them while
it read the text. A syslog header before the
payload gives the time where the payload has none, and the host. All fields are in `unmapped`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from topology import pairs
from topology.normalize.base_event import UNKNOWN, base_event
from topology.normalize.normalizer import Normalizer

SECONDS_BELOW: Final = 100_000_000_000
"""A smaller number is seconds (until the year 5138), a greater one milliseconds (since 1973)."""
LATEST: Final = 253_402_300_800_000
"""Milliseconds at the end of the year 9999."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
MILLIS: Final = [pl.col("us").floordiv(1000)]
NUMBER: Final = pl.col("number")
SCALED: Final = pl.when(NUMBER.abs() < SECONDS_BELOW).then(NUMBER * 1000).otherwise(NUMBER)
NUMBER_MILLIS: Final = [pl.when(SCALED.abs() < LATEST).then(SCALED).cast(pl.Int64, strict=False)]
LOG_NAMES: Final = {
    "value:json": "json",
    "columns": "csv",
    "cef_version": "cef",
    "leef_version": "leef",
}
"""By the column that only this format gives."""
MAPPED: Final = frozenset({"row", "syslog", "msg", "value:json", "repeated", "timestamp"})
HOST_PROFILE: Final = pl.Series([["host"]])

Columns = dict[str, pl.Series]


def normalize(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:  # noqa: ARG001
    """From the fields of any format. One event per row."""
    rows = fields.height
    given = {column.name: column for column in fields.get_columns()}
    nothing = pl.Series([None], dtype=pl.Int64).new_from_index(0, rows)
    columns: Columns = {"row": given["row"], "time": nothing}
    if "value:json" in given:
        columns |= _json(given)
    elif "msg" in given:
        columns["message"] = given["msg"]
    if "timestamp" in given:
        columns["time"] = given["timestamp"].dt.epoch("ms")
        columns["metadata.original_time"] = given["@timestamp"]
    if "syslog" in given and given["syslog"].null_count() < rows:
        columns |= _header(given["syslog"], columns)
    if "repeated" in given:
        columns["count"] = given["repeated"]
    for name, column in given.items():
        if name not in MAPPED and not name.startswith("@"):
            columns |= _unmapped(name, column)
    log_name = next((log for name, log in LOG_NAMES.items() if name in given), "text")
    product = pl.Series(["unknown"]).new_from_index(0, rows)
    severity = np.full(rows, UNKNOWN, dtype=np.int64)
    columns |= base_event(rows, severity, product, log_name)
    return pl.DataFrame([column.alias(name) for name, column in columns.items()])


def times(fields: pl.DataFrame) -> pl.Series | None:
    """What the fields of a format say of their time (Int64, ms); None of one that says none."""
    given = {column.name: column for column in fields.get_columns()}
    if "value:json" in given:
        return _json(given)["time"]
    if "syslog" in given:
        return given["syslog"].struct.field("timestamp").dt.epoch("ms")
    if "timestamp" in given:
        return given["timestamp"].dt.epoch("ms")
    return None


def _unmapped(name: str, column: pl.Series) -> Columns:
    if column.dtype == pairs.PAIRS:
        plain = name.removesuffix(pairs.SUFFIX)
        return {f"unmapped.{plain}:json": pairs.to_json(column)}
    if column.dtype == pl.List(pl.String):
        return {f"unmapped.{name}:json": pairs.lists_to_json(column)}
    return {f"unmapped.{name}": column}


def _header(syslog: pl.Series, payload: Columns) -> Columns:
    """What a syslog header says. The time of the payload goes before."""
    header = {column.name: column for column in syslog.struct.unnest().get_columns()}
    zeros = pl.Series([0]).new_from_index(0, len(syslog))
    timed = payload["time"].is_not_null()
    written = payload.get("metadata.original_time", header["@timestamp"])
    return {
        "time": payload["time"].zip_with(timed, header["timestamp"].dt.epoch("ms")),
        "metadata.original_time": written.zip_with(timed, header["@timestamp"]),
        "metadata.profiles": HOST_PROFILE[zeros.set(syslog.is_null(), None)],
        "device.hostname": header["hostname"],
        "device.type_id": zeros.set(header["hostname"].is_null(), None),
        "actor.app_name": header["appname"],
        "unmapped.facility": header["facility"].cast(pl.Int64),
        "unmapped.procid": header["procid"],
    }


def _json(given: Columns) -> Columns:
    """The time by the parser where it is RFC 3339; of other texts, as Python reads ISO 8601."""
    millis = pl.Series(given["@time_us"].to_frame("us").select(MILLIS).to_series())
    written = given["@time"]
    others = np.flatnonzero((written.is_not_null() & millis.is_null()).to_numpy())
    if len(others):
        moments = [_time(text) for text in written[others].to_list()]
        millis = millis.scatter(others, pl.Series(moments, dtype=pl.Int64))
    numbers = given["@time_number"]
    if numbers.null_count() < len(numbers):
        found = numbers.to_frame("number").select(NUMBER_MILLIS).to_series()
        millis = millis.zip_with(numbers.is_null(), found)
    return {
        "time": millis,
        "message": given["@message"],
        "unmapped.record:json": given["value:json"],
    }


def _time(written: str) -> int | None:
    """Milliseconds since the epoch, or None."""
    try:
        moment = datetime.fromisoformat(written)
    except ValueError:
        return None
    return (moment - EPOCH) // MILLISECOND if moment.tzinfo else None


NORMALIZER = Normalizer("text", "1", normalize)

"""Lines of which only the form is known (CEF, key-value, JSON, plain text, …): OCSF Base Event.

A JSON object's own time is taken from `time`, `timestamp` or `@timestamp` (RFC 3339, or seconds or
milliseconds since the epoch), its message from `message` or `msg`. A syslog header before the
payload gives the time where the payload has none, and the host. All fields are in `unmapped`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from topology import pairs
from topology.normalize.base_event import UNKNOWN, base_event
from topology.normalize.normalizer import Normalizer

TIMES: Final = ("time", "timestamp", "@timestamp")
MESSAGES: Final = ("message", "msg")
SECONDS_BELOW: Final = 100_000_000_000
"""A smaller number is seconds (until the year 5138), a greater one milliseconds (since 1973)."""
LATEST: Final = 253_402_300_800_000
"""Milliseconds at the end of the year 9999."""
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
        columns |= _json(given["value:json"])
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


def _json(texts: pl.Series) -> Columns:
    # No object outlives its turn, else the garbage collector goes over all of them again and again.
    times, messages = [], []
    for text in texts.to_list():
        value = orjson.loads(text)
        times.append(_time(value))
        messages.append(_message(value))
    return {
        "time": pl.Series(times, dtype=pl.Int64),
        "message": pl.Series(messages, dtype=pl.String),
        "unmapped.record:json": texts,
    }


def _time(value: Any) -> int | None:
    """Milliseconds since the epoch, or None."""
    if not isinstance(value, dict):
        return None
    written = next((value[name] for name in TIMES if name in value), None)
    if isinstance(written, str):
        try:
            moment = datetime.fromisoformat(written)
            return int(moment.timestamp() * 1000) if moment.tzinfo else None
        except (ValueError, OverflowError):
            return None
    if isinstance(written, bool) or not isinstance(written, int | float):
        return None
    millis = written * 1000 if abs(written) < SECONDS_BELOW else written
    return int(millis) if abs(millis) < LATEST else None


def _message(value: Any) -> str | None:
    if not isinstance(value, dict):
        return None
    text = next((value[name] for name in MESSAGES if name in value), None)
    return text if isinstance(text, str) else None


NORMALIZER = Normalizer("text", "1", normalize)

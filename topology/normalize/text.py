"""Lines of which only the form is known (JSON, CSV, plain text): OCSF Base Event.

A JSON object's own time is taken from `time`, `timestamp` or `@timestamp` (RFC 3339, or seconds or
milliseconds since the epoch), its message from `message` or `msg`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from topology.normalize.base_event import UNKNOWN, base_event
from topology.normalize.normalizer import Normalizer

TIMES: Final = ("time", "timestamp", "@timestamp")
MESSAGES: Final = ("message", "msg")
SECONDS_BELOW: Final = 100_000_000_000
"""A smaller number is seconds (until the year 5138), a greater one milliseconds (since 1973)."""
LATEST: Final = 253_402_300_800_000
"""Milliseconds at the end of the year 9999."""


def normalize(fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:  # noqa: ARG001
    """From the fields of json, csv or plain. One event per row."""
    rows = fields.height
    nothing = pl.Series([None], dtype=pl.Int64).new_from_index(0, rows)
    columns = {"row": fields["row"], "time": nothing}
    if "value:json" in fields.columns:
        values = [orjson.loads(text) for text in fields["value:json"].to_list()]
        columns["time"] = pl.Series([_time(value) for value in values], dtype=pl.Int64)
        columns["message"] = pl.Series([_message(value) for value in values], dtype=pl.String)
        columns["unmapped.record:json"] = fields["value:json"]
        log_name = "json"
    elif "columns:json" in fields.columns:
        columns["unmapped.columns:json"] = fields["columns:json"]
        log_name = "csv"
    else:
        columns["message"] = fields["msg"]
        log_name = "text"
    product = pl.Series(["unknown"]).new_from_index(0, rows)
    severity = np.full(rows, UNKNOWN, dtype=np.int64)
    columns |= base_event(rows, severity, product, log_name)
    return pl.DataFrame([column.alias(name) for name, column in columns.items()])


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

"""Events from JSON lines as frames: any field names, flat or nested, in whatever types they have.

Nested objects become dotted names. A column has the type that all its values share, else their
text, so that a rule's text and number tests mean the same as on one event.
"""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

LONG_NUMBER = re.compile(rb"\d{19}")
"""Integers that need not fit 64 bits, which the fast reader would make floats of."""
HEIGHT = "\0"
"""A column that no event has."""
LARGEST = 2**63
TIME_FIELDS = ("time", "@timestamp", "timestamp", "_time", "eventTime", "TimeCreated", "UtcTime")
"""Where an event's time is looked for unless told."""
SECONDS = 100_000_000_000
"""Larger numbers are milliseconds."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A stretch of events. `numbers[row]`: 0-based line; `problems`: lines that are no events."""

    events: pl.DataFrame
    numbers: list[int]
    problems: list[tuple[int, str]]


def read_events(lines: Iterable[bytes], size: int = 10_000) -> Iterator[Lines]:
    """Frames of up to `size` events; empty lines count as lines and are nothing else."""
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    problems: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            rows.append(flat(_loads(line)))
            numbers.append(number)
        except (ValueError, TypeError, RecursionError) as error:
            problems.append((number, str(error)))
        if len(rows) >= size:
            yield Lines(frame(rows), numbers, problems)
            rows, numbers, problems = [], [], []
    if rows or problems:
        yield Lines(frame(rows), numbers, problems)


def _loads(line: bytes) -> Mapping[str, Any]:
    line = line.removeprefix(BOM_UTF8)
    found = json.loads(line) if LONG_NUMBER.search(line) else orjson.loads(line)
    if not isinstance(found, dict):
        raise TypeError(f"expected a JSON object, saw {type(found).__name__}")
    return found


def flat(event: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names and values that are scalars or lists of scalars."""
    out: dict[str, Any] = {}
    _flatten("", event, out)
    return out


def _flatten(prefix: str, value: Mapping[str, Any], out: dict[str, Any]) -> None:
    for name, member in value.items():
        path = f"{prefix}.{name}" if prefix else name
        if isinstance(member, dict):
            _flatten(path, member, out)
        elif isinstance(member, list):
            for item in member:
                if isinstance(item, dict):
                    inner: dict[str, Any] = {}
                    _flatten(path, item, inner)
                    for key, found in inner.items():
                        _append(out, key, found)
                elif item is not None:
                    _append(out, path, item)
        elif member is not None:
            out[path] = member


def _append(out: dict[str, Any], name: str, value: Any) -> None:
    items = out.setdefault(name, [])
    if not isinstance(items, list):
        items = out[name] = [items]
    items += value if isinstance(value, list) else [value]


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """One column for each name in any of the rows, null where a row has none."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_series(name, [row.get(name) for row in rows]) for name in names]
    # A frame without columns has no height.
    return pl.DataFrame([*columns, pl.Series(HEIGHT, [None] * len(rows), dtype=pl.Null)])


def _series(name: str, values: list[Any]) -> pl.Series:
    kinds = {type(value) for value in values} - {type(None)}
    if list in kinds:
        lists = [
            None if value is None else [text(item) for item in _items(value)] for value in values
        ]
        return pl.Series(name, lists, dtype=pl.List(pl.String))
    if kinds == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    if kinds == {int} and all(-LARGEST <= v < LARGEST for v in values if v is not None):
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds == {float}:
        return pl.Series(name, values, dtype=pl.Float64)
    return pl.Series(name, [None if v is None else text(v) for v in values], dtype=pl.String)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def text(value: Any) -> str:
    """A scalar as rules compare it."""
    if isinstance(value, str):
        # Lone surrogates, which JSON can spell, are no text.
        return value.encode("utf-8", "replace").decode()
    return json.dumps(value)


def times(events: pl.DataFrame, field: str | None) -> pl.Series:
    """Event times in ms since the epoch (Int64); null where there is none that can be read."""
    names = TIME_FIELDS if field is None else (field,)
    found = next((name for name in names if name in events.columns), None)
    values = [None] * events.height if found is None else events[found].to_list()
    return pl.Series("time", [_moment(value) for value in values], dtype=pl.Int64)


def _moment(value: Any) -> int | None:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return _iso(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(value if abs(value) > SECONDS else value * 1000)


def _iso(value: str) -> int | None:
    try:
        at = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return round(at.timestamp() * 1000)

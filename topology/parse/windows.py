"""Events of the Windows event log as forwarders write them, as XML or as JSON.

XML is that of the event schema (Windows Event Collector, NXLog's to_xml, Winlogbeat's include_xml).
JSON: Winlogbeat's `winlog.…`, NXLog's and Fluent Bit's flat names, and an `Event` object made of
the XML. windows_names.py says which name means what.

In: `row`, `text`. Out: the columns of SCHEMA. `data:pairs`: EventData or UserData by the names that
Windows gives them, and whatever else the event has by its path; `msg`: the rendered message. An
event without EventID is a failure.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.pairs import Flat
from topology.parse import flat_json, rfc5424, skeletons, syslog_array, timestamp, xml
from topology.parse.parsed import FAILURES, Format, Parsed, Schema
from topology.parse.windows_names import COLUMNS, DROPPED, NAME_OF_NEXT, Target, target

SCHEMA: Final[Schema] = {
    "row": pl.UInt32,
    "timestamp": rfc5424.TIME,
    "@timestamp": pl.String,
    **dict.fromkeys(COLUMNS, pl.String),
    "data:pairs": pairs.PAIRS,
}
TIME: Final = "time"
EVENT_ID: Final = "event_id"
NO_EVENT_ID: Final = "a Windows event without EventID"
IS_XML: Final = [pl.col("text").str.contains("^[ \t\r\n\ufeff]*<")]


class Read(NamedTuple):
    """Pairs of all rows that could be read, flat, and why the others could not."""

    flat: Flat
    failed: dict[int, str]
    """By place in the frame."""


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """One event a row."""
    read = _read(frame)
    columns, data = _columns(read.flat, frame.height)
    moments = timestamp.parse_many(columns[TIME])
    times = pl.Series(moments).cast(rfc5424.TIME)
    named = {
        "row": frame["row"],
        "timestamp": times.set(pl.Series(moments == timestamp.NONE), None),
        "@timestamp": columns[TIME],
        **columns,
        "data:pairs": data,
    }
    fields = pl.DataFrame([named[name].alias(name) for name in SCHEMA])
    good = columns[EVENT_ID].is_not_null().to_numpy()
    if good.all():
        return Parsed(fields, pl.DataFrame(schema=FAILURES))
    places = np.flatnonzero(~good)
    reasons = [read.failed.get(int(place), NO_EVENT_ID) for place in places]
    failures = pl.DataFrame({"row": frame["row"][places], "reason": reasons}, schema=FAILURES)
    return Parsed(fields.filter(pl.Series(good)), failures)


def _read(frame: pl.DataFrame) -> Read:
    is_xml = frame.select(IS_XML).to_series().to_numpy()
    documents, objects = np.flatnonzero(is_xml), np.flatnonzero(~is_xml)
    if len(documents) == 0:
        return Read(*flat_json.read_many(frame["text"]))
    from_xml = _read_xml(frame, documents)
    if len(objects) == 0:
        return from_xml
    flat, failed = flat_json.read_many(frame["text"][objects])
    flat = flat._replace(places=objects.astype(np.uint32)[flat.places])
    failed = {int(objects[place]): reason for place, reason in failed.items()}
    return Read(skeletons.together(from_xml.flat, flat), from_xml.failed | failed)


def _read_xml(frame: pl.DataFrame, places: npt.NDArray[np.intp]) -> Read:
    """The frame's rows at `places`."""
    numbered = pl.DataFrame([pl.Series("row", places.astype(np.uint32)), frame["text"][places]])
    parsed = xml.PARSER.parse(numbered, {})
    flat = pairs.flatten(parsed.fields["fields:pairs"])
    rows = parsed.fields["row"].to_numpy()[flat.places]
    return Read(flat._replace(places=rows), dict(parsed.failures.iter_rows()))


def _columns(flat: Flat, rows: int) -> tuple[dict[str, pl.Series], pl.Series]:
    """The named columns, and the other pairs."""
    names = flat.numbered()
    distinct = names.distinct(flat.names).to_list() if len(flat.places) else []
    targets = [target(name) for name in distinct]
    kinds = _table([each.column for each in targets], names.codes)
    nothing = len(flat.values)
    values = pl.concat([flat.values.alias("value"), pl.Series("value", [None], dtype=pl.String)])
    left = kinds < 0
    columns = {}
    for number, column in enumerate(COLUMNS):
        found = np.flatnonzero(kinds == number)
        source = np.full(rows, nothing, dtype=np.int64)
        source[flat.places[found[::-1]]] = found[::-1]
        columns[column] = values[pl.Series(source)]
        # A second value for the same column stays among the other pairs.
        left[found] = source[flat.places[found]] != found
    return columns, _data(flat, targets, names.codes, left, rows)


def _table(numbers: list[int], codes: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
    return np.array([*numbers, 0], dtype=np.int64)[codes]


def _data(
    flat: Flat,
    targets: list[Target],
    codes: npt.NDArray[np.uint32],
    left: npt.NDArray[np.bool_],
    rows: int,
) -> pl.Series:
    dropped = _table([each.column for each in targets], codes)
    named = np.flatnonzero(dropped == NAME_OF_NEXT)
    known = pl.Series([each.name for each in targets] or [""], dtype=pl.String)[pl.Series(codes)]
    # `<Data Name="x">` gives its name to the text that comes next, that of the same element.
    following = named + 1
    inside = following < len(codes)
    named, following = named[inside], following[inside]
    same = (flat.places[named] == flat.places[following]) & (
        _table([each.takes_name for each in targets], codes)[following] == 1
    )
    named, following = named[same], following[same]
    if len(following):
        known = known.scatter(following, flat.values[pl.Series(named)])
        left[named] = False
    empty = np.flatnonzero(dropped == DROPPED)
    if len(empty):
        left[empty] = (flat.values[pl.Series(empty)] != "").to_numpy()
    kept = np.flatnonzero(left)
    index = pl.Series(kept)
    return pairs.build(
        Flat(flat.places[kept].astype(np.uint32), known[index], flat.values[index]), rows
    )


PARSER = Format("windows", "1", parse, splitter=syslog_array.SPLITTER)

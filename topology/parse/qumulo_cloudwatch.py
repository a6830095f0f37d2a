"""Qumulo audit records as Qumulo writes them to Amazon CloudWatch Logs.

A record is `{"ip_address", "user", "protocol", "operation", "result", "object_id", "path_1",
"path_2"}`; its time is outside of it. Taken: the record alone (which then has no time), a log event
around it (`timestamp` in ms and `message`, a text or the record itself), and the envelope of a
subscription with such events in `logEvents`, which several.py takes apart before.

In: `row`, `text`. Out: the columns of SCHEMA, which are those of the rfc5424 and qumulo parsers
that the Qumulo normalizer reads; null is empty or absent. Other names are passed over.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import polars as pl

from topology.pairs import Flat
from topology.parse import flat_json, qumulo, qumulo_json, rfc5424, several, skeletons
from topology.parse.parsed import FAILURES, Format, Parsed, Schema

SCHEMA: Final[Schema] = {
    "row": pl.UInt32,
    "timestamp": rfc5424.TIME,
    "@timestamp": pl.String,
    "hostname": pl.String,
    **dict.fromkeys(qumulo.CSV_FIELDS, pl.String),
    **qumulo_json.SCHEMA,
}
RECORD: Final = dict(
    zip(
        qumulo.CSV_FIELDS,
        ("ip_address", "user", "protocol", "operation", "result", "object_id", "path_1", "path_2"),
        strict=True,
    )
)
AROUND: Final = ("", "logEvents.")
MESSAGE: Final = "message"
TIME: Final = "timestamp"
OPERATION: Final = "operation"
SEVERAL: Final = "several log events in one record, not as a list `logEvents`"
NO_RECORD: Final = "JSON without a Qumulo `operation`"
LATEST_MS: Final = 253_402_300_800_000
"""The end of the year 9999."""
MILLIS: Final = pl.col("written").cast(pl.Int64, strict=False)
MOMENT: Final = [
    pl.when(MILLIS.is_between(0, LATEST_MS, closed="left")).then(MILLIS * 1000).cast(rfc5424.TIME)
]


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """One record a row."""
    rows = frame.height
    outer, failed = flat_json.read_many(frame["text"])
    messages = _first(outer, rows, [each + MESSAGE for each in AROUND])
    texts = np.flatnonzero(messages.is_not_null().to_numpy())
    inner, broken = flat_json.read_many(messages[texts])
    inner = inner._replace(places=texts.astype(np.uint32)[inner.places])
    failed |= {int(texts[place]): reason for place, reason in broken.items()}
    repeated = np.bincount(outer.places[_named(outer, AROUND[1] + TIME)], minlength=rows) > 1
    failed |= dict.fromkeys(np.flatnonzero(repeated).tolist(), SEVERAL)
    both = skeletons.together(outer, inner)
    objects = [f"{each}{MESSAGE}." for each in AROUND]
    columns = {
        column: _first(both, rows, [name, *(each + name for each in objects)])
        for column, name in RECORD.items()
    }
    written = _first(outer, rows, [each + TIME for each in AROUND])
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    named = {
        "row": frame["row"],
        "timestamp": written.to_frame("written").select(MOMENT).to_series(),
        "@timestamp": written,
        **columns,
    }
    fields = pl.DataFrame(
        [named.get(name, nothing).cast(dtype).alias(name) for name, dtype in SCHEMA.items()]
    )
    good = columns[OPERATION].is_not_null().to_numpy() & ~repeated
    good[list(failed)] = False
    if good.all():
        return Parsed(fields, pl.DataFrame(schema=FAILURES))
    places = np.flatnonzero(~good)
    reasons = [failed.get(int(place), NO_RECORD) for place in places]
    failures = pl.DataFrame({"row": frame["row"][places], "reason": reasons}, schema=FAILURES)
    return Parsed(fields.filter(pl.Series(good)), failures)


def _named(flat: Flat, name: str) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
    if flat.numbering is None or len(flat.places) == 0:
        return np.flatnonzero((flat.names == name).to_numpy())
    known = flat.numbering.distinct(flat.names).to_list()
    if name not in known:
        return np.empty(0, dtype=np.intp)
    return np.flatnonzero(flat.numbering.codes == known.index(name))


def _first(flat: Flat, rows: int, names: list[str]) -> pl.Series:
    """In each row the first value of the first of these names that it has; null for "" too."""
    source = np.full(rows, len(flat.values), dtype=np.int64)
    for name in reversed(names):
        found = _named(flat, name)[::-1]
        source[flat.places[found]] = found
    values = pl.concat([flat.values.alias("value"), pl.Series("value", [None], dtype=pl.String)])
    taken = values[pl.Series(source)]
    return taken.set(taken == "", None)


PARSER = Format("qumulo-cloudwatch", "1", parse, splitter=several.SPLITTER)

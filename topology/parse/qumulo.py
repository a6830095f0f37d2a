"""The body of a Qumulo audit message, in the cluster's two formats, mixed at will.

CSV: `user_ip,"user",protocol,operation,status,object_id,"path","target_path"`.
JSON: user_id{sid,auth_id,name}, user_ip, protocol, operation, status, details{}.
In: `row`, `text`. Out: the columns of SCHEMA; null is empty or absent. Columns from `sid` on are
known from JSON bodies only. Object ids have up to 97 bits and are text.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import SMALL
from topology.parse import csv, qumulo_json, qumulo_json_columns
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

CSV_FIELDS: Final = (
    "user_ip",
    "user",
    "protocol",
    "operation",
    "status",
    "object_id",
    "path",
    "target_path",
)
SCHEMA: Final[Schema] = {
    "row": pl.UInt32,
    **dict.fromkeys(CSV_FIELDS, pl.String),
    **qumulo_json.SCHEMA,
}
WORD = r"[A-Za-z0-9_.:-]{0,128}"
OPERATION = re.compile(WORD)
CANONICAL = re.compile(
    r'([^",]*),"([^"]*)",([^",]*),([^",]*),([^",]*),([^",]*),"([^"]*)","([^"]*)"'
)
# A cluster that does not double the quotes inside a path still has a recognisable middle.
UNESCAPED = re.compile(rf'([^",]*),"(.*?)",({WORD}),({WORD}),({WORD}),({WORD}),"(.*)"', re.DOTALL)

QUOTES = ("before", "user", "middle", "path", "comma", "target_path", "after", "more")
MIDDLE = ("empty", "protocol", "operation", "status", "object_id", "end")
SPLIT_QUOTES = pl.col("text").str.splitn('"', len(QUOTES))
SPLIT_MIDDLE = pl.col("middle").str.splitn(",", len(MIDDLE))
BEFORE = pl.col("before")
IS_JSON = [pl.col("text").str.starts_with("{")]
USUAL = [
    (
        (pl.col("comma") == ",")
        & (pl.col("after") == "")
        & pl.col("more").is_null()
        & (pl.col("empty") == "")
        & (pl.col("end") == "")
        & (BEFORE.str.find(",", literal=True) + 1 == BEFORE.str.len_bytes())
    )
    .fill_null(value=False)
    .alias("usual"),
    pl.when(BEFORE != ",").then(BEFORE.str.strip_suffix(",")).alias("user_ip"),
    *[pl.when(pl.col(name) != "").then(pl.col(name)).alias(name) for name in CSV_FIELDS[1:]],
    *[pl.lit(None, dtype=dtype).alias(name) for name, dtype in qumulo_json.SCHEMA.items()],
]


def parse_body(text: str) -> tuple[Any, ...]:
    """One body, exactly: the columns of SCHEMA but `row`. Raises MalformedError."""
    if text.startswith("{"):
        return qumulo_json.parse_body(text)
    values = tuple(value or None for value in _parse_csv(text))
    return (*values, *qumulo_json.NOTHING)


def _parse_csv(text: str) -> list[str]:
    found = CANONICAL.fullmatch(text)
    if found is not None:
        return list(found.groups())
    try:
        values = csv.split(text, strict=True)
    except MalformedError:
        values = []
    if len(values) == len(CSV_FIELDS) and OPERATION.fullmatch(values[3]):
        return values
    found = UNESCAPED.fullmatch(text)
    if found is not None:
        paths = found[7].rpartition('","')
        if paths[1]:
            return [*found.groups()[:6], paths[0], paths[2]]
    raise MalformedError(
        f"expected the {len(CSV_FIELDS)} values of a Qumulo audit record, saw {text[:60]!r}"
    )


def parse(frame: pl.DataFrame, options: Mapping[str, str]) -> Parsed:  # noqa: ARG001
    """Usual bodies of either format go through columns, all others through `parse_body`."""
    if frame.height < SMALL:
        return parse_rows(frame, parse_body, SCHEMA)
    is_json = frame.select(IS_JSON).to_series().to_numpy()
    csv_rows, json_rows = np.flatnonzero(~is_json), np.flatnonzero(is_json)
    if len(json_rows) < SMALL:
        fields, usual = _parse_columns(frame)
    elif len(csv_rows) == 0:
        fields, usual = _parse_json(frame)
    else:
        fields, usual = _parse_json(frame[json_rows])
        others, usual_others = _parse_columns(frame[csv_rows])
        order = np.argsort(np.concatenate([json_rows, csv_rows]))
        fields = pl.concat([fields, others], rechunk=True)[order]
        usual = np.concatenate([usual, usual_others])[order]
    if usual.all():
        return Parsed(fields, NO_FAILURES)
    odd = parse_rows(frame.filter(~usual), parse_body, SCHEMA)
    return merge(fields, usual, odd)


def _parse_json(frame: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    fields, usual = qumulo_json_columns.read_many(frame["text"])
    return pl.DataFrame([frame["row"], *fields.get_columns()]), usual


def _parse_columns(frame: pl.DataFrame) -> tuple[pl.DataFrame, npt.NDArray[np.bool_]]:
    """Fields of all rows, and which of the rows are right."""
    quotes = _named(unnest(frame, SPLIT_QUOTES), QUOTES)
    middle = _named(unnest(pl.DataFrame([quotes[QUOTES.index("middle")]]), SPLIT_MIDDLE), MIDDLE)
    usual, *columns = pl.DataFrame([*quotes, *middle]).select(USUAL).get_columns()
    return pl.DataFrame([frame["row"], *columns]), usual.to_numpy()


def _named(columns: list[pl.Series], names: Sequence[str]) -> list[pl.Series]:
    return [column.alias(name) for column, name in zip(columns, names, strict=True)]


PARSER = Format("qumulo", "1", parse)

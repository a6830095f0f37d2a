"""Values of `normalized.<source>`: a normalized event as one flat JSON object, a member a line.

    {"version":1,"form":"5d2f09c1"
    ,"time":1790000000000
    ,"file.path":"/data/a.txt"

    ,"raw_data":"<14>1 2026-..."
    ,"@class":24,"activity_id":4,"class_uid":6006, ...
    }

Members are the columns of an events frame (schemas/ocsf.py) under their names, those that begin
with `@` included; a column of JSON text is a string. What is absent is null; its line is empty.
`@class` and the like say how many of the members after them follow from one code, and share its
line. `@raw.` members say where the event comes from (topology/exposed.py). `form` is a checksum of
the columns that the lines stand for: lines of values of one form hold the same members, so that
they are read in columns. An escaped text has no line feed, so none is inside a member.
"""

import re
import zlib
from collections import Counter
from functools import lru_cache
from typing import Any, Final, TypeAlias

import numpy as np
import orjson
import polars as pl

from schemas import ocsf
from topology.dimension import SMALL, factorize, renumber

START: Final = '{"version":1,"form":"'
HEAD: Final = len(START) + 9
"""Bytes up to and with the form's closing quote."""
END: Final = "}"
FORM: Final = re.compile(rb'\{"version":1,"form":"[0-9a-f]{8}"')
FIRST: Final = pl.all().filter(pl.all() != "").first()
"""The first line that is not empty, of each column."""
REMEMBERED: Final = 16_384

Texts: TypeAlias = dict[tuple[Any, ...], str]
Columns: TypeAlias = tuple[tuple[str, bool], ...]
"""Names, and whether some rows have no value."""


def encode(frame: pl.DataFrame) -> pl.Series:
    """One value (Binary) a row, for all columns but `row`: integers, floats, booleans, texts and
    lists of texts, at least one of them with a value. Members do not depend on the other rows;
    empty lines and the form do."""
    groups = {
        code: shared
        for code in ocsf.SHARED
        if code in frame.columns and (shared := ocsf.shared_by(code, frame.columns))
    }
    apart = {"row", *ocsf.SHARED, *(name for shared in groups.values() for name in shared)}
    nulls = {
        column.name: column.null_count()
        for column in frame
        if column.name not in apart and not column.name.startswith(ocsf.CODE)
    }
    own = tuple((name, count > 0) for name, count in nulls.items() if count < frame.height)
    lines = [_shared(frame, code, tuple(names)) for code, names in groups.items()]
    part = pl.DataFrame([*(frame[name] for name, _ in own), *lines])
    textual = tuple(
        name for name, _ in own if part.schema[name] in (pl.String, pl.List, pl.Float64)
    )
    return part.select(_expression(own, tuple(groups), textual)).to_series().cast(pl.Binary)


@lru_cache(maxsize=256)
def _expression(own: Columns, codes: tuple[str, ...], textual: tuple[str, ...]) -> pl.Expr:
    names = "\n".join([*(name for name, _ in own), *codes])
    pieces = [pl.lit(f'{START}{zlib.crc32(names.encode()):08x}"')]
    for name, optional in own:
        column = pl.col(name)
        text = column.cast(pl.String)
        if name in textual:
            text = pl.struct(column.alias("v")).struct.json_encode()
            text = text.str.strip_prefix('{"v":').str.strip_suffix("}")
        line = pl.concat_str(pl.lit(f"\n,{_quoted(name)}:"), text)
        pieces.append(
            pl.when(column.is_null()).then(pl.lit("\n")).otherwise(line) if optional else line
        )
    return pl.concat_str([*pieces, *map(pl.col, codes), pl.lit(f"\n{END}")])


def _quoted(text: str) -> str:
    return orjson.dumps(text).decode()


def _shared(frame: pl.DataFrame, code: str, names: tuple[str, ...]) -> pl.Series:
    """The line of a code, made once for each of its numbers."""
    codes = frame[code].to_numpy().astype(np.int64)
    dimension = renumber(codes, int(codes.max(initial=0)) + 1)
    rows = pl.DataFrame([frame[name] for name in names])[dimension.first].rows()
    known = _texts(code, names)
    if len(known) + len(rows) > REMEMBERED:
        known.clear()
    for row in rows:
        if row not in known:
            members = {
                name: value for name, value in zip(names, row, strict=True) if value is not None
            }
            text = orjson.dumps(members)[1:-1].decode()
            known[row] = f'\n,"{code}":{len(members)}{"," if members else ""}{text}'
    return pl.Series(code, [known[row] for row in rows], dtype=pl.String)[dimension.number]


@lru_cache(maxsize=64)
def _texts(code: str, names: tuple[str, ...]) -> Texts:  # noqa: ARG001
    """Lines by row for these columns."""
    return {}


def decode(records: pl.DataFrame) -> list[pl.DataFrame]:
    """Columns `row` and `value` (Binary) to frames of what was encoded, one a form, with `row`.

    Codes are of this call, and left out where there are few rows; numbers are Int64 or Float64.
    Raises ValueError for what `encode` did not write.
    """
    if records.height < SMALL:
        return _decode_rows(records)
    records = records.with_columns(pl.col("value").cast(pl.String))
    heads = records.select(head=pl.col("value").str.head(HEAD))
    (forms,) = factorize(heads, ["head"])
    frames = []
    numbered: Counter[str] = Counter()
    for number, head in enumerate(forms.distinct(heads["head"]).to_list()):
        _check(head.encode())
        part = records if forms.size == 1 else records.filter(pl.Series(forms.codes == number))
        frames.append(_read(part, numbered))
    return frames


def _check(head: bytes) -> None:
    if not FORM.fullmatch(head):
        raise ValueError(f"saw a value that begins with {head!r}, expected {START}")


def _decode_rows(records: pl.DataFrame) -> list[pl.DataFrame]:
    """One value after the other: quicker than the fixed cost of columns."""
    forms: dict[str, list[dict[str, Any]]] = {}
    for row, value in records.select("row", "value").rows():
        _check(value[:HEAD])
        members = orjson.loads(value)
        del members["version"]
        for code in ocsf.SHARED:
            members.pop(code, None)
        forms.setdefault(members.pop("form"), []).append({"row": row, **members})
    row_type = {"row": records.schema["row"]}
    frames = (
        pl.from_dicts(rows, schema_overrides=row_type, infer_schema_length=None)
        for rows in forms.values()
    )
    empty, texts = pl.List(pl.Null), pl.List(pl.String)
    return [
        frame.cast({name: texts for name, kind in frame.schema.items() if kind == empty})
        for frame in frames
    ]


def _read(records: pl.DataFrame, numbered: Counter[str]) -> pl.DataFrame:
    """Values of one form. `numbered`: how many numbers of each code are taken."""
    text = records["value"]
    count = text[0].count("\n")
    lines = records.select(pl.col("value").str.split_exact("\n", count)).to_series().struct.unnest()
    end = lines.columns[-1]
    if lines[end].null_count() or not (lines[end] == END).all():
        raise ValueError(f"saw a value of another form that claims to be {text[0][:HEAD]!r}")
    filled = lines.select(lines.columns[1:-1]).select(FIRST).row(0, named=True)
    members = {column: _member(line) for column, line in filled.items() if line}
    found = lines.select(_expressions(tuple(members.items())))
    texts = [name for name, kind in members.values() if kind == '"']
    escaped = (
        found.select(pl.col(texts).str.contains("\\", literal=True).any()).row(0) if texts else ()
    )
    unescape = {name for name, any_ in zip(texts, escaped, strict=True) if any_}
    columns = [records["row"]]
    for name, kind in members.values():
        column = found[name]
        if name in ocsf.SHARED:
            columns += _codes(column, numbered)
        elif kind == "[":
            columns.append(_lists(column))
        else:
            columns.append(_unescaped(column) if name in unescape else column)
    return pl.DataFrame(columns)


def _member(line: str) -> tuple[str, str]:
    """The first member of a line: its name, and what its value begins with or is (`.`: a float)."""
    _, name, *_ = found = orjson.loads(f'{{"":0{line}}}')
    value = found[name]
    return name, "." if isinstance(value, float) else orjson.dumps(value)[:1].decode()


@lru_cache(maxsize=256)
def _expressions(members: tuple[tuple[str, tuple[str, str]], ...]) -> list[pl.Expr]:
    """For columns of lines: the values, or the JSON text of lists and of what follows a code."""
    expressions = []
    for column, (name, kind) in members:
        line = pl.col(column)
        before = f",{_quoted(name)}:"
        text = line.str.strip_prefix(before)
        if name in ocsf.SHARED or kind == "[":
            value = text
        elif kind == '"':
            value = line.str.strip_prefix(f'{before}"').str.strip_suffix('"')
        elif kind in "tf":
            value = text == "true"
        else:
            value = text.replace("", None).cast(pl.Float64 if kind == "." else pl.Int64)
        expressions.append(pl.when(line != "").then(value).alias(name))
    return expressions


def _lists(texts: pl.Series) -> pl.Series:
    distinct = factorize(texts.to_frame(), [texts.name])[0]
    lists = [text and orjson.loads(text) for text in distinct.distinct(texts).to_list()]
    return pl.Series(texts.name, lists, dtype=pl.List(pl.String))[distinct.number]


def _unescaped(texts: pl.Series) -> pl.Series:
    escaped = texts.str.contains("\\", literal=True).fill_null(value=False)
    places = escaped.arg_true()
    if not len(places):
        return texts
    inner = '","'.join(texts[places].to_list())
    values: list[str] = orjson.loads(f'["{inner}"]')
    source = np.arange(len(texts), dtype=np.uint32)
    source[places.to_numpy()] = np.arange(len(texts), len(texts) + len(places), dtype=np.uint32)
    both = pl.concat([texts, pl.Series(texts.name, values, dtype=pl.String)], rechunk=True)
    return both[pl.Series(source)]


def _codes(texts: pl.Series, numbered: Counter[str]) -> list[pl.Series]:
    """What a code's line holds, for every row, and the code."""
    code = texts.name
    dimension = factorize(texts.to_frame(), [code])[0]
    rows = [_members(code, text) for text in dimension.distinct(texts).to_list()]
    table = pl.from_dicts(rows, infer_schema_length=None) if any(rows) else pl.DataFrame()
    numbers = pl.Series(code, dimension.codes + np.uint32(numbered[code]))
    numbered[code] += dimension.size
    return [*(table[dimension.number].get_columns() if table.width else ()), numbers]


@lru_cache(maxsize=REMEMBERED)
def _members(code: str, text: str) -> dict[str, Any]:
    members: dict[str, Any] = orjson.loads(f'{{"{code}":{text}}}')
    count = members.pop(code)
    if count != len(members):
        raise ValueError(f"{code}: saw {len(members)} members, expected {count}")
    return members

"""Many JSON bodies of Qumulo audit messages at once, for bodies that look like nearly all do.

For the rows it vouches for, equal to `qumulo_json.parse_body`, at a fifth of its cost. The object
`user_id` repeats from line to line and is read by the exact path once per distinct text; `before`
and `after` are cut out and read apart; what is left is decoded to a Polars struct. Such decoding
drops unknown keys, takes the first of repeated keys, cuts fractions and fails a whole batch for one
odd value, so it is given only what `USUAL` describes, and rows that repeat a key are refused.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from topology.dimension import factorize
from topology.memo import Memo
from topology.parse import qumulo_json
from topology.parse.parsed import MalformedError, Schema
from topology.rows import expand, overlay, unnest

Mask: TypeAlias = npt.NDArray[np.bool_]

TOP: Final = ("user_ip", "protocol", "operation", "status")
TEXTS: Final = ("file_id", "path", "extra_name", "target", "second_extra_name")
NUMBERS: Final = ("offset", "size", "file_size")
OPAQUE: Final = ("before", "after")
DETAILS: Final = (*TEXTS, *NUMBERS, *OPAQUE)
KEYS: Final = ("user_id", *TOP, "details", *DETAILS)

RECORD: Final = pl.Struct(
    {
        **dict.fromkeys(TOP, pl.String),
        "details": pl.Struct(
            {**dict.fromkeys(TEXTS, pl.String), **dict.fromkeys(NUMBERS, pl.Int64)}
        ),
    }
)

NAME: Final = "[A-Za-z0-9_]"


def _other_name(known: frozenset[str]) -> str:
    """A pattern for names that are none of these; Rust's regexes have no look-ahead."""
    heads = sorted({name[0] for name in known if name})
    if not heads:
        return f"{NAME}+" if "" in known else f"{NAME}*"
    branches = [f"[{NAME}--[{''.join(heads)}]]{NAME}*"]
    for head in heads:
        tails = frozenset(name[1:] for name in known if name.startswith(head))
        branches.append(head + _other_name(tails))
    return f"(?:{'|'.join(branches)})" + ("" if "" in known else "?")


def _object(*members: str) -> str:
    """A pattern for an object of such members, with at most one blank after `:` and `,`."""
    member = f"(?:{'|'.join(members)})"
    return rf"\{{(?:{member}(?:, ?{member})*)?\}}"


def _member(names: str, *values: str) -> str:
    return f'"(?:{names})": ?(?:{"|".join(values)})'


# No lone surrogates, which JSON's grammar allows and UTF-8 does not.
UNICODE: Final = (
    r"u(?:[0-9a-cefA-CEF][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}"
    r"|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
)
STRING: Final = rf'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|{UNICODE}))*"'
WHOLE: Final = r"(?:0|-?[1-9][0-9]{0,17})"
FRACTION: Final = rf"{WHOLE}\.[0-9]{{1,18}}"
EMPTY: Final = r"\{\}"
SCALARS: Final = (STRING, WHOLE, FRACTION, "true", "false", "null")
USUAL: Final = (
    "^"
    + _object(
        _member("|".join(TOP[:2] + TOP[3:]), STRING, "null"),
        _member("operation", STRING),
        _member("user_id", EMPTY),
        _member(
            "details",
            _object(
                _member("|".join(TEXTS), STRING, "null"),
                _member("|".join(NUMBERS), WHOLE, "null"),
                _member("|".join(OPAQUE), EMPTY, "null"),
                _member(_other_name(frozenset(["", *DETAILS])), *SCALARS),
            ),
        ),
        _member(_other_name(frozenset(["", "user_id", *TOP, "details"])), *SCALARS),
    )
    + "$"
)
"""What is left of a body when the objects of `user_id`, `before` and `after` are emptied."""

LOOSE: Final = r'"(?:[^"\\]|\\.)*"'
LEAF: Final = rf'\{{(?:[^{{}}"]|{LOOSE})*\}}'
NEST: Final = rf'\{{(?:[^{{}}"]|{LOOSE}|{LEAF})*\}}'
OPAQUE_OBJECT: Final = rf'\{{(?:[^{{}}"]|{LOOSE}|{NEST})*\}}'
"""Three levels of objects, or what only looks so: the texts found are parsed."""

USER_KEY: Final = '"user_id":'
TEXT: Final = pl.col("text")
REST: Final = pl.col("rest")
AT: Final = TEXT.str.find(USER_KEY, literal=True)
BINARY: Final = TEXT.cast(pl.Binary)
CUT: Final = [
    BINARY.bin.head(AT).cast(pl.String).alias("head"),
    BINARY.bin.slice(AT + len(USER_KEY)).cast(pl.String).alias("tail"),
]
TAIL: Final = pl.col("tail").str.splitn("}", 2)
JOIN: Final = [
    pl.concat_str(pl.col("head"), pl.lit(USER_KEY + "{}"), pl.col("suffix")).alias("rest")
]
HAS_OPAQUE: Final = [
    (
        REST.str.contains('"before":', literal=True) | REST.str.contains('"after":', literal=True)
    ).fill_null(value=False)
]
GUARDED: Final = pl.when(REST.str.contains(USUAL)).then(REST)
DECODE: Final = [
    GUARDED.str.json_decode(RECORD).alias("record"),
    REST.str.count_matches('":', literal=True).alias("keys"),
]
REPEATS: Final = [
    pl.any_horizontal([REST.str.count_matches(f'"{key}":', literal=True) > 1 for key in KEYS])
]


def _given(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != "").then(pl.col(name))


FIELDS: Final = [
    *[_given(name).alias(name) for name in TOP],
    _given("file_id").alias("object_id"),
    pl.coalesce(_given("path"), _given("extra_name")).alias("path"),
    pl.coalesce(_given("target"), _given("second_extra_name")).alias("target_path"),
    *[pl.col(name) for name in NUMBERS],
]

SCHEMA: Final[Schema] = {
    **dict.fromkeys(("user_ip", "user", "protocol", "operation", "status"), pl.String),
    **dict.fromkeys(("object_id", "path", "target_path"), pl.String),
    **qumulo_json.SCHEMA,
}
FLOAT: Final = re.compile(r"[:\[,]\s*-?[0-9]+[.eE]")
"""orjson writes some floats in other ways than the exact path does."""

USER: Final[Schema] = {
    "user": pl.String,
    "sid": pl.String,
    "auth_id": pl.String,
    "warning": pl.String,
    "good": pl.Boolean,
}


def read_user(text: str) -> tuple[Any, ...]:
    """The columns of USER for the object `user_id`, up to its closing brace."""
    try:
        return (*qumulo_json.parse_user(text + "}"), True)
    except MalformedError:
        return (None,) * 4 + (False,)


USERS: Final = Memo(read_user, USER)


def read_many(texts: pl.Series) -> tuple[pl.DataFrame, Mask]:
    """The columns of SCHEMA for each body, and for which of them they are right."""
    head, tail = texts.alias("text").to_frame().select(CUT).get_columns()
    user, suffix = unnest(pl.DataFrame([tail]), TAIL)
    frame = pl.DataFrame([head, suffix.alias("suffix")]).select(JOIN)
    cut = frame.select(HAS_OPAQUE).to_series()
    opaque, good = _no_opaque(len(texts)), np.ones(len(texts), dtype=np.bool_)
    if cut.any():
        rows = np.flatnonzero(cut.to_numpy())
        emptied, found, good[rows] = _cut_opaque(frame[rows])
        frame = overlay(frame, rows, emptied)
        opaque = expand(found, rows, frame.height)
    record, keys = frame.select(DECODE).get_columns()
    *top, details = record.struct.unnest().get_columns()
    parts = [*top, *details.struct.unnest().get_columns()]
    good &= parts[TOP.index("operation")].is_not_null().to_numpy()
    seen = np.ones(len(texts), dtype=np.int64)  # `user_id`
    for part in (details, *parts, *opaque):
        seen += part.is_not_null().to_numpy()
    more = good & (keys.fill_null(0).to_numpy() != seen)
    if more.any():
        # Unknown keys and nulls do no harm; a known key twice does.
        rows = np.flatnonzero(more)
        good[rows] = ~frame[rows].select(REPEATS).to_series().to_numpy()
    users = _users(user, good)
    good &= users.pop("good").fill_null(value=False).to_numpy()
    fields = pl.DataFrame(parts).select(FIELDS).to_dict() | users | opaque.to_dict()
    return pl.DataFrame([fields[name].alias(name) for name in SCHEMA]), good


def _users(texts: pl.Series, good: Mask) -> dict[str, pl.Series]:
    """The columns of USER."""
    keys = texts.set(pl.Series(~good), None).alias("user").to_frame()
    (users,) = factorize(keys, ["user"])
    distinct = [(text or "",) for text in users.distinct(keys["user"]).to_list()]
    table, places = USERS.look_up(distinct)
    found = table[pl.Series(places[users.codes])].to_dict()
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, len(texts))
    return dict.fromkeys(USERS.columns, nothing) | found


def _no_opaque(rows: int) -> pl.DataFrame:
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, rows)
    return pl.DataFrame([nothing.alias(f"{key}:json") for key in OPAQUE])


def _cut_opaque(frame: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, Mask]:
    """`rest` with `before` and `after` emptied, their texts, and where that is right."""
    good = np.ones(frame.height, dtype=np.bool_)
    found: list[pl.Series] = []
    for key in OPAQUE:
        pattern = f'"{key}": ?({OPAQUE_OBJECT})'
        texts, rest = frame.select(
            REST.str.extract(pattern).alias(f"{key}:json"),
            REST.str.replace(pattern, f'"{key}":{{}}').alias("rest"),
        ).get_columns()
        frame = pl.DataFrame([rest])
        values, parsed = read_opaque(texts.to_list())
        found.append(pl.Series(f"{key}:json", values, dtype=pl.String))
        good &= parsed
    for key, column in zip(OPAQUE, found, strict=True):
        # Not so when one was found inside the other.
        left = REST.str.contains(f'"{key}":{{}}', literal=True)
        good &= frame.select(left).to_series().to_numpy() == column.is_not_null().to_numpy()
    return frame, pl.DataFrame(found), good


def read_opaque(texts: Sequence[str | None]) -> tuple[list[str | None], Mask]:
    """Values as `parse_body` writes them, and which of the texts are JSON."""
    given = [text for text in texts if text is not None]
    whole = f"[{','.join(given)}]"
    deep = any(map(qumulo_json.is_deep, given))
    if not deep and qumulo_json.LONG_NUMBER.search(whole) is None and FLOAT.search(whole) is None:
        try:
            written = iter([orjson.dumps(value).decode() for value in orjson.loads(whole)])
        except orjson.JSONDecodeError:
            pass
        else:
            values = [None if text is None else next(written) for text in texts]
            return values, np.ones(len(texts), dtype=np.bool_)
    values = [None if text is None else qumulo_json.rewrite(text) for text in texts]
    good = [text is None or value is not None for text, value in zip(texts, values, strict=True)]
    return values, np.array(good, dtype=np.bool_)

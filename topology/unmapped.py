"""Members of what stayed unmapped: `unmapped.ext.act` is `act` of the column `unmapped.ext:json`.

Tenants read them as attributes like all others, so rules and filters can ask for them, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from schemas import ocsf

UNMAPPED: Final = "unmapped."
SIGNS: Final = frozenset("'\"\\")
"""What a member's name may not have, to be named in a path."""


def members(names: Iterable[str]) -> tuple[str, ...]:
    """Those of some attributes that may be members."""
    return tuple(sorted({name for name in names if name.startswith(UNMAPPED)}))


def with_members(events: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The events with those of `names` as columns (String, or lists of it) that are members of one
    of JSON, and that they have no column for."""
    wanted = [name for name in names if name not in events.columns]
    if not wanted:
        return events
    holders = {
        name.removesuffix(ocsf.JSON_SUFFIX): name
        for name in events.columns
        if name.endswith(ocsf.JSON_SUFFIX) and name.startswith(UNMAPPED)
    }
    found = [column for name in wanted if (column := _found(events, name, holders)) is not None]
    return events.with_columns(found) if found else events


def _found(events: pl.DataFrame, name: str, holders: Mapping[str, str]) -> pl.Series | None:
    stem = name
    while (stem := stem.rpartition(".")[0]) and stem not in holders:
        pass
    if not stem or SIGNS.intersection(name):
        return None
    return _member(events[holders[stem]], name[len(stem) + 1 :]).alias(name)


def _member(texts: pl.Series, name: str) -> pl.Series:
    path = name.split(".")
    column = pl.col("texts")
    ways = [path] if len(path) == 1 else [path, [name]]
    matches = [column.str.json_path_match("$" + "".join(map("['{}']".format, way))) for way in ways]
    values = texts.to_frame("texts").select(pl.coalesce(matches).alias("found")).to_series()
    # What begins so may be text; and no path sees through a list.
    nested = values.str.contains(r"^[\[{]").fill_null(value=False)
    named = texts.str.contains(f'"{path[-1]}"', literal=True).fill_null(value=False)
    rows = np.flatnonzero((nested | (values.is_null() & named)).to_numpy())
    if not len(rows):
        return values
    found = [_texts(text, path) for text in texts[rows].to_list()]
    lists: list[list[str] | None] = [None if v is None else [v] for v in values.to_list()]
    for row, exact in zip(rows.tolist(), found, strict=True):
        if exact is not None:
            lists[row] = exact[1] or None
    if any(exact is not None and exact[0] for exact in found):
        return pl.Series("found", lists, dtype=pl.List(pl.String))
    return pl.Series("found", [each and each[0] for each in lists], dtype=pl.String)


def _texts(text: str, path: Sequence[str]) -> tuple[bool, list[str]] | None:
    """Whether there is a list at a path or on it, and the texts of all scalars there; None for what
    is no JSON, as lone surrogates make it."""
    try:
        values = [orjson.loads(text)]
    except ValueError:
        return None
    several = False
    for step in (*path, None):
        flat: list[Any] = []
        while values:
            value = values.pop()
            if isinstance(value, list):
                several = True
                values += reversed(value)
            else:
                flat.append(value)
        values = flat
        if step is not None:
            values = [each[step] for each in flat if isinstance(each, dict) and step in each]
            values.reverse()
    return several, [
        value if isinstance(value, str) else orjson.dumps(value).decode()
        for value in values
        if value is not None and not isinstance(value, dict)
    ]

"""JSON objects flat, as xml.py has documents: paths with dots, and what repeats repeats.

Marks that converters from XML put on names (`@Name`, `#text`, `#attributes`) are left out of paths,
and an object's text comes after its attributes. Numbers stay as they are written; null is nothing.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from topology.dimension import SMALL
from topology.pairs import Flat
from topology.parse import json as json_text
from topology.parse import json_columns, nesting
from topology.parse.parsed import MalformedError
from topology.parse.skeletons import together

DEEPEST: Final = 32
MOST_PATH: Final = 256
TOO_DEEP: Final = f"JSON of over {DEEPEST} levels"
TEXT: Final = ("#text", "_", "$text")


def read(text: str) -> tuple[list[str], list[str]]:
    """Paths and texts of one object. Raises MalformedError."""
    try:
        value = orjson.loads(text)
        if json_text.INEXACT.search(text):
            value = json.loads(text, parse_int=str, parse_float=str)
    except ValueError as error:
        raise MalformedError(nesting.not_json(error, TOO_DEEP)) from None
    except RecursionError:
        raise MalformedError(TOO_DEEP) from None
    if not isinstance(value, dict):
        raise MalformedError("JSON that is no object")
    names: list[str] = []
    values: list[str] = []
    _walk(value, "", 1, names, values)
    return names, values


def _walk(value: Any, path: str, depth: int, names: list[str], values: list[str]) -> None:
    if isinstance(value, str):
        names.append(path)
        values.append(value)
    elif isinstance(value, dict) and depth <= DEEPEST:
        late: list[Any] = []
        for name, inner in value.items():
            if path and name[:1] in "@#_$":
                if name in TEXT:
                    late.append(inner)
                    continue
                name = "" if name == "#attributes" else name.removeprefix("@")  # noqa: PLW2901
            below = f"{path}.{name}" if path and name else path or name
            if len(below) > MOST_PATH:
                raise MalformedError(f"names with over {MOST_PATH} characters together")
            if type(inner) is str:
                names.append(below)
                values.append(inner)
            else:
                _walk(inner, below, depth + 1, names, values)
        for inner in late:
            _walk(inner, path, depth + 1, names, values)
    elif isinstance(value, list) and depth <= DEEPEST:
        for inner in value:
            _walk(inner, path, depth + 1, names, values)
    elif value is not None:
        if isinstance(value, dict | list):
            raise MalformedError(TOO_DEEP)
        names.append(path)
        values.append(orjson.dumps(value).decode())


def read_many(texts: pl.Series) -> tuple[Flat, dict[int, str]]:
    """The pairs of many objects by their places, and why other places have none."""
    rows = len(texts)
    if rows < SMALL:
        return _one_by_one(texts.to_list(), np.arange(rows))
    found = json_columns.read_many(texts, read)
    odd = np.flatnonzero(~found.good)
    if len(odd) == 0:
        return found.pairs, {}
    flat, failed = _one_by_one(texts[odd].to_list(), odd)
    return together(found.pairs, flat), failed


def _one_by_one(texts: Sequence[str], places: npt.NDArray[np.intp]) -> tuple[Flat, dict[int, str]]:
    names: list[str] = []
    values: list[str] = []
    counts = np.zeros(len(texts), dtype=np.int64)
    failed: dict[int, str] = {}
    for number, text in enumerate(texts):
        try:
            paths, found = read(text)
        except MalformedError as error:
            failed[int(places[number])] = str(error)
            continue
        counts[number] = len(paths)
        names += paths
        values += found
    return (
        Flat(
            np.repeat(places.astype(np.uint32), counts),
            pl.Series("name", names, dtype=pl.String),
            pl.Series("value", values, dtype=pl.String),
        ),
        failed,
    )

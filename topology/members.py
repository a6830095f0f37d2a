"""Members of JSON texts by the names that people write for them: `a.b`, `a[0].b`, `user-agent`.

A name with dots is a path; where a text has no such path, one member may have the dots in its own
name (`id.orig_h`, `labels.app.kubernetes.io/name`).
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import polars as pl

STEP: Final = re.compile(r"""([^\[\]'"\\\x00-\x1f]+)((?:\[[0-9]{1,9}\])*)""")
ELEMENT: Final = re.compile(r"\[([0-9]+)\]")
PLAIN: Final = re.compile("[A-Za-z_][A-Za-z0-9_]*")
FOUND: Final = pl.col("found")
TEXT: Final = pl.col("text")
ROUNDED: Final = [FOUND.str.contains(r"^-?[0-9.]{16,}|^-?[0-9.]+[eE]")]
"""Numbers that may have lost digits when they were read as 64 bits or as a float."""


class Path(NamedTuple):
    """As JSONPath has it, and the names and places that lead to a value."""

    written: str
    steps: tuple[str | int, ...]


def member(texts: pl.Series, name: str) -> pl.Series | None:
    """The value that each text (JSON, or null) has there: a text as it is, all else as JSON; null
    where there is none, or null itself. None for what names no member of any text."""
    parts = name.split(".")
    path = _path(parts)
    if path is None:
        return None
    found = _values(texts, path)
    for own, longer in _dotted(parts):
        if not found.null_count():
            break
        left = found.is_null() & texts.str.contains(f'"{own}"', literal=True)
        places = left.fill_null(value=False).arg_true()
        if len(places):
            found = found.scatter(places, _values(texts[places], longer))
    return found


def _path(parts: Sequence[str]) -> Path | None:
    written = "$"
    steps: list[str | int] = []
    for part in parts:
        found = STEP.fullmatch(part)
        if found is None:
            return None
        name, elements = found.groups()
        written += f".{name}" if PLAIN.fullmatch(name) else f"['{name}']"
        written += elements
        steps += [name, *map(int, ELEMENT.findall(elements))]
    return Path(written, tuple(steps))


def _dotted(parts: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """Paths on which one member has a name with dots, and that name; the longest names first."""
    for length in range(len(parts), 1, -1):
        for start in range(len(parts) - length + 1):
            name = ".".join(parts[start : start + length])
            path = _path([*parts[:start], name, *parts[start + length :]])
            if path is not None:
                yield name.partition("[")[0], path


def _values(texts: pl.Series, path: Path) -> pl.Series:
    frame = texts.to_frame("text").select(
        TEXT, TEXT.str.json_path_match(path.written).alias("found")
    )
    found = frame["found"]
    places = frame.select(ROUNDED).to_series().fill_null(value=False).arg_true()
    if len(places):
        rows = zip(texts[places].to_list(), found[places].to_list(), strict=True)
        exact = [_exact(text, path.steps, rounded) for text, rounded in rows]
        found = found.scatter(places, pl.Series(exact, dtype=pl.String))
    return found.alias(texts.name)


def _exact(text: str, steps: Sequence[str | int], rounded: str) -> str:
    """A number as it is written."""
    value: Any = json.loads(text, parse_int=str, parse_float=str)
    try:
        for step in steps:
            value = value[step]
    except (LookupError, TypeError):
        return rounded
    return value if isinstance(value, str) else rounded

"""Templates of alert attributes (topology/templates.py) as texts and as JSON. Pure."""

import datetime as dt
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import orjson

from topology.templates import Copy, Text, pieces

parsed = lru_cache(maxsize=1024)(pieces)


def text(template: str, attributes: Mapping[str, Any]) -> str:
    """The template with values; an attribute that is absent is an empty text."""
    return "".join(
        piece.text if isinstance(piece, Text) else shown(piece.field, attributes.get(piece.field))
        for piece in parsed(template)
    )


def filled(body: Any, attributes: Mapping[str, Any]) -> Any:
    """A structure of JSON whose texts are templates; a text that is one attribute and nothing else
    becomes its value, null where it is absent."""
    if isinstance(body, str):
        found = parsed(body)
        if len(found) == 1 and isinstance(found[0], Copy):
            return attributes.get(found[0].field)
        return text(body, attributes)
    if isinstance(body, Mapping):
        return {name: filled(inner, attributes) for name, inner in body.items()}
    if isinstance(body, list):
        return [filled(inner, attributes) for inner in body]
    return body


def shown(name: str, value: Any) -> str:
    """A value for people: times as ISO 8601, lists of texts with commas, objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and is_time(name):
        return iso(value)
    if isinstance(value, list) and not any(isinstance(each, dict | list) for each in value):
        return ", ".join(shown("", each) for each in value)
    return orjson.dumps(value).decode()


def is_time(name: str) -> bool:
    """Whether OCSF has milliseconds of the epoch under this name."""
    last = name.rpartition(".")[2]
    return last == "time" or last.endswith("_time")


def iso(milliseconds: int) -> str:
    """A moment in UTC; what no calendar has, as the number it is."""
    try:
        moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

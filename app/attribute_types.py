"""What a user's files write into attributes, against the types that these are known to have."""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from schemas.targets import KINDS, Kind

TYPES: Final[Mapping[Kind, tuple[Any, str]]] = {
    "long": (pl.Int64, "a whole number (cast: integer)"),
    "string": (pl.String, "text"),
    "list": (pl.List(pl.String), "a list of texts (split)"),
}
NAMES: Final[Mapping[Any, str]] = {
    pl.String: "text",
    pl.Int64: "a whole number",
    pl.Float64: "a number with decimals",
    pl.Boolean: "true or false",
}


def wrong_type(attribute: str, dtype: Any) -> str | None:
    """What is wrong with writing values of this type there; None if it is not known, or right."""
    kind = KINDS.get(attribute)
    if kind is None or dtype == TYPES[kind][0]:
        return None
    return f"gives {NAMES.get(dtype, 'a list')}; expected {TYPES[kind][1]}, as OCSF has it"

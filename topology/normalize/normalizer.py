"""What a normalizer is: parsed fields in, an events frame in OCSF columns out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import polars as pl

RECEIVED: Final = "@received"
"""Of the fields that a normalizer of one's own is given: when their record came (Int64, ms), for
parsers that it asks further."""
Normalize: TypeAlias = Callable[[pl.DataFrame, Mapping[str, str]], pl.DataFrame]
"""From the fields of a parser (`row` and its columns) and options to events.

Events have `row` (UInt32), `time` (Int64 ms, null when the text has none) and columns named as
schemas/ocsf.py says, at least one row per row of the fields, in their order; when a row gives
several, `sub` (UInt32) numbers them (records that are taken apart before, topology/unfold.py,
are none of these). `raw_data` and a missing `time` are added by the caller.
"""


@dataclass(frozen=True, slots=True)
class Normalizer:
    """One product's mapping. `version` changes when the same fields would give other events."""

    name: str
    version: str
    normalize: Normalize


class Current(Protocol):
    """A normalizer that may be another one for the next batch."""

    @property
    def current(self) -> Normalizer:
        """The one in use."""

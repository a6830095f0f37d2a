"""An attribute from what the deployment knows, or from others of the event, where it is absent."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import polars as pl

from schemas import ocsf
from topology.templates import Copy, Text
from topology.texts import as_text

Constant: TypeAlias = str | int | float | bool


class Attribute:
    """Fills one attribute of events that do not have it."""

    def __init__(self, target: str, value: Constant | Copy | Sequence[Copy | Text]) -> None:
        """`value`: the same for all, another attribute's, or a template's pieces.

        Where an attribute that it needs is absent, the target stays so.
        """
        self.name = target
        self._value: Final = value
        self._fields: Final = _fields(value)

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with the attribute; what one has already stays."""
        target = self.name
        if not events.height or not set(self._fields) <= set(events.columns):
            return events
        given = events[target] if target in events.columns else None
        if given is not None and not given.null_count():
            return events
        made = self._made(events)
        if given is not None:
            if isinstance(given.dtype, pl.List | pl.Array | pl.Struct):
                return events
            made = given.zip_with(given.is_not_null(), made.cast(given.dtype, strict=False))
        stale = ocsf.stale_codes(events.columns, target, self._fields)
        return events.drop(stale).with_columns(made.alias(target))

    def _made(self, events: pl.DataFrame) -> pl.Series:
        value = self._value
        if isinstance(value, Copy):
            return events[value.field]
        if isinstance(value, str | int | float):
            return pl.Series([value]).new_from_index(0, events.height)
        pieces = [
            pl.lit(piece.text) if isinstance(piece, Text) else pl.lit(as_text(events[piece.field]))
            for piece in value
        ]
        return events.select(pl.concat_str(pieces).alias("made"))["made"]


def _fields(value: Constant | Copy | Sequence[Copy | Text]) -> list[str]:
    """The attributes that a value is made of."""
    if isinstance(value, str | int | float):
        return []
    pieces = [value] if isinstance(value, Copy) else value
    return [piece.field for piece in pieces if isinstance(piece, Copy)]

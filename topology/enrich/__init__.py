"""Enrichers: what else is known about an event. One file a kind."""

from typing import Protocol

import polars as pl


class Enricher(Protocol):
    """Adds columns to events and never changes what the source said."""

    name: str

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with what is known about them, in the same order."""

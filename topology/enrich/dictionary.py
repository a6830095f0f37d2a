"""Dictionary enrichment: attributes of an event are looked up in a table of what is known of them.

topology/enrich/table.py says what a hit adds.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import polars as pl

from topology.enrich.matching import MATCHES
from topology.enrich.table import Table


class Dictionary:
    """Rows by the value of their key column, ready for look-ups by a whole batch."""

    def __init__(
        self,
        name: str,
        key: str,
        fields: Sequence[str],
        rows: Sequence[Mapping[str, Any]],
        *,
        match: str = "exact",
        provider: str | None = None,
    ) -> None:
        """`key`: column of the rows. `fields`: columns of the events. The last of equal keys wins.

        `match` is a name of topology.enrich.matching.MATCHES. Raises ValueError for a key that it
        cannot take.
        """
        self.name = name
        kind = MATCHES[match]
        known = {kind.normal(str(row[key])): row for row in rows}
        data = [
            {column: cell for column, cell in row.items() if column != key}
            for row in known.values()
        ]
        if match != "exact":
            # What the value matched is not the value, so it is told too.
            data = [{key: row[key], **rest} for row, rest in zip(known.values(), data, strict=True)]
        self._table: Final = Table(
            name, data, provider, values=list(known) if match == "exact" else None
        )
        matching = kind({value: place for place, value in enumerate(known, start=1)})
        self._lookups: Final = [(field, matching) for field in fields]

    def __len__(self) -> int:
        return len(self._table)

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with the dictionary's columns, or as they are where nothing is known."""
        if not events.height:
            return events
        return self._table.join(events, self._lookups, labelled=len(self._lookups) > 1)

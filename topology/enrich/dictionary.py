"""Dictionary enrichment: an event's attribute is looked up in a table of what is known about it.

A hit adds one element to OCSF's `enrichments`, `{"name": <attribute>, "value": <its value>, "type":
<dictionary>, "data": {<column>: <cell>, ...}}`, as the column `enrichments[<dictionary>]:json`, and
for rules the internal columns `@enrich.<dictionary>.<column>` (String). Matching is exact.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from schemas import ocsf
from topology.dimension import Dimension, factorize, renumber

Cell = str | int | float | bool | None


class Dictionary:
    """Rows by the value of their key column, ready for look-ups by a whole batch."""

    def __init__(self, name: str, key: str, field: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """`key`: column of the rows. `field`: column of the events. The last of equal keys wins."""
        self.name = name
        self.field = field
        known = {str(row[key]): row for row in rows}
        columns = dict.fromkeys(column for row in rows for column in row if column != key)
        self._places: Final = {value: place for place, value in enumerate(known, start=1)}
        element = f"enrichments[{name}]{ocsf.JSON_SUFFIX}"
        self._code: Final = f"{ocsf.CODE}{element}"
        # Row 0 is what a miss gets.
        cells: dict[str, list[str | None]] = {
            element: [None, *(self._element(value, key, row) for value, row in known.items())]
        }
        for column in columns:
            cells[f"@enrich.{name}.{column}"] = [
                None,
                *(_text(row.get(column)) for row in known.values()),
            ]
        self._table: Final = pl.DataFrame(cells, schema=dict.fromkeys(cells, pl.String))

    def __len__(self) -> int:
        return len(self._places)

    def _element(self, value: str, key: str, row: Mapping[str, Any]) -> str:
        """One element of `enrichments` as JSON; empty cells are left out."""
        data = {
            column: cell for column, cell in row.items() if column != key and cell not in (None, "")
        }
        element = {"name": self.field.lstrip("@"), "value": value, "type": self.name, "data": data}
        return orjson.dumps(element, option=orjson.OPT_NON_STR_KEYS, default=str).decode()

    @property
    def columns(self) -> list[str]:
        """The columns that `apply` adds."""
        return self._table.columns

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with the dictionary's columns; null where its key is not known."""
        if self.field not in events.columns or not events.height:
            return events
        values = events[self.field]
        dimension = _dimension(events, self.field)
        distinct = dimension.distinct(values).cast(pl.String).to_list()
        places = np.fromiter(
            (self._places.get(value, 0) for value in distinct), dtype=np.uint32, count=len(distinct)
        )
        if not places.any():
            return events
        code = pl.Series(self._code, places[dimension.codes])
        return events.hstack([*self._table[code].get_columns(), code])


def _dimension(events: pl.DataFrame, field: str) -> Dimension:
    """The distinct values of a column, from a code column where there is one that determines it."""
    for code in ocsf.SHARED:
        if code in events.columns and ocsf.shared_by(code, [field]):
            codes = events[code].to_numpy().astype(np.int64)
            return renumber(codes, int(codes.max(initial=0)) + 1)
    return factorize(events.select(pl.col(field).cast(pl.String)), [field])[0]


def _text(cell: Any) -> str | None:
    return None if cell in (None, "") else str(cell)

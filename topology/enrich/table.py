"""Rows of what is known, and what a hit in them adds to an event.

A hit adds one element to OCSF's `enrichments`, `{"name": <attribute>, "value": <its value>, "type":
<table>, "provider": <version of the table>, "data": {<column>: <cell>, ...}}`, as the column
`enrichments[<table>]:json`, or `enrichments[<table>.<attribute>]:json` where several attributes are
looked up. For rules it adds the internal columns `@enrich.<table>.<column>` (String), those of the
first attribute that hit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import orjson
import polars as pl

from schemas import ocsf
from topology.dimension import SMALL, Dimension, factorize, renumber
from topology.enrich.matching import MOST_REMEMBERED, Exact, Matching, Places
from topology.texts import as_text

FEW: Final = 16
"""Where fewer rows than one in so many can hit, only those are looked at."""
BRACKETS: Final = str.maketrans("[]", "()")


class Table:
    """Rows by their place, from 1 on."""

    def __init__(
        self,
        name: str,
        rows: Sequence[Mapping[str, Any]],
        provider: str | None = None,
        values: Sequence[str] | None = None,
    ) -> None:
        """Empty cells are left out. `provider` tells the version of the table, if it has one.

        `values`: the value that hits each row, where there is only one that does.
        """
        self.name = name
        self._values: Final = values
        self._by_place: Final[dict[str, pl.Series]] = {}
        head = {"type": name} if provider is None else {"type": name, "provider": provider}
        self._head: Final = f",{as_json(head)[1:-1]},"
        self._rows: Final = rows
        self._elements: dict[tuple[str, str], str] = {}
        columns = dict.fromkeys(column for row in rows for column in row)
        # Row 0 is what a miss gets.
        self._columns: Final = pl.DataFrame(
            {
                f"@enrich.{name}.{column}": [None, *(_text(row.get(column)) for row in rows)]
                for column in columns
            },
            schema={f"@enrich.{name}.{column}": pl.String for column in columns},
        )

    def __len__(self) -> int:
        return len(self._rows)

    def join(
        self, events: pl.DataFrame, lookups: Sequence[tuple[str, Matching]], *, labelled: bool
    ) -> pl.DataFrame:
        """Look up columns of events, each by its own matching; without a hit nothing is added.

        `labelled`: the elements' columns name the attributes.
        """
        added: list[pl.Series] = []
        chosen: Places | None = None
        for field, matching in lookups:
            if field not in events.columns or isinstance(
                events[field].dtype, pl.List | pl.Array | pl.Struct
            ):
                continue
            dimension, distinct = distinct_values(events, field, matching)
            places = matching.places(distinct)
            hits = np.flatnonzero(places)
            if not len(hits):
                continue
            label = f"{self.name}.{field}".translate(BRACKETS) if labelled else self.name
            added += self._element(label, field, distinct, places, dimension)
            rows = places[dimension.codes]
            chosen = rows if chosen is None else np.where(chosen, chosen, rows)
        if chosen is None:
            return events
        return events.hstack([*self._columns[pl.Series(chosen)].get_columns(), *added])

    def _element(
        self,
        label: str,
        field: str,
        distinct: Sequence[str | None],
        places: Places,
        dimension: Dimension,
    ) -> list[pl.Series]:
        """The column of an attribute's elements, and its code column; code 0 is a miss."""
        column = f"enrichments[{label}]{ocsf.JSON_SUFFIX}"
        if self._values is not None:
            code = pl.Series(f"{ocsf.CODE}{column}", places[dimension.codes])
            return [self._texts(field)[code].alias(column), code]
        hits = np.flatnonzero(places)
        numbers = np.zeros(len(places), dtype=np.uint32)
        numbers[hits] = np.arange(1, len(hits) + 1, dtype=np.uint32)
        texts: list[str | None] = [None]
        known = self._elements
        if len(known) + len(hits) > MOST_REMEMBERED:
            self._elements = known = {}
        for number, place in zip(hits.tolist(), places[hits].tolist(), strict=True):
            value = distinct[number] or ""
            text = known.get((field, value))
            if text is None:
                known[field, value] = text = self._text(field, value, place)
            texts.append(text)
        code = pl.Series(f"{ocsf.CODE}{column}", numbers[dimension.codes])
        return [pl.Series(column, texts, dtype=pl.String)[code].alias(column), code]

    def _texts(self, field: str) -> pl.Series:
        """The elements of all rows by place, made with the first hit."""
        if field not in self._by_place:
            numbered = enumerate(self._values or (), start=1)
            texts = [None, *(self._text(field, value, place) for place, value in numbered)]
            self._by_place[field] = pl.Series(texts, dtype=pl.String)
        return self._by_place[field]

    def _text(self, field: str, value: str, place: int) -> str:
        """One element as JSON."""
        hit = as_json({"name": field.lstrip("@"), "value": value})
        data = {
            column: cell for column, cell in self._rows[place - 1].items() if cell not in (None, "")
        }
        return f'{hit[:-1]}{self._head}"data":{as_json(data)}}}'


def distinct_values(
    events: pl.DataFrame, field: str, matching: Matching | None = None
) -> tuple[Dimension, Sequence[str | None]]:
    """The distinct values of a column, by code; those that `matching` rules out may be None.

    They are taken from a code column where there is one that determines the attribute.
    """
    for code in ocsf.SHARED:
        if code in events.columns and ocsf.shared_by(code, [field]):
            codes = events[code].to_numpy().astype(np.int64)
            dimension = renumber(codes, int(codes.max(initial=0)) + 1)
            return dimension, as_text(dimension.distinct(events[field])).to_list()
    column = as_text(events[field])
    if isinstance(matching, Exact) and len(column) >= SMALL:
        rows = np.flatnonzero(matching.possible(column))
        if len(rows) * FEW < len(column):
            seen: dict[str | None, int] = {None: 0}
            spread = np.zeros(len(column), dtype=np.uint32)
            values = column[rows].to_list() if len(rows) else []
            spread[rows] = [seen.setdefault(value, len(seen)) for value in values]
            return Dimension(spread, len(seen)), list(seen)
    dimension = factorize(column.to_frame(field), [field])[0]
    return dimension, dimension.distinct(column).to_list()


def as_json(value: Mapping[str, Any]) -> str:
    """A row as an event has it. Raises TypeError for what JSON cannot have."""
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS, default=str).decode()


def _text(cell: Any) -> str | None:
    return None if cell in (None, "") else str(cell)

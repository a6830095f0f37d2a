"""Enrichment by what others answer: each distinct value of a batch is looked up in what is known.

An attribute that hits adds an element to OCSF's `enrichments`, as topology/enrich/table.py has it;
its `provider` says who answered and when. Rules see `@enrich.<name>.<column>` (String; several
values in one, with commas), those of the first attribute that hit.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import orjson
import polars as pl

from schemas import ocsf
from topology.dimension import Dimension
from topology.enrich.matching import MOST_REMEMBERED
from topology.enrich.table import BRACKETS, distinct_values


class Known(NamedTuple):
    """An answer. `row`: by column a text, or several; `provider`: whose it is and of when."""

    row: Mapping[str, str | Sequence[str]]
    provider: str


class Answers(Protocol):
    """What is known of values, now."""

    def lookup(self, values: Sequence[str | None]) -> Sequence[Known | None]:
        """A column as long as `values`, which are distinct. None: nothing, or nothing yet."""


class LookedUp:
    """Looks up attributes; `beside` gives, by attribute of the same object, the column that fills
    it where the event has none: {"hostname": "hostname"} fills src_endpoint.hostname."""

    def __init__(
        self,
        name: str,
        fields: Sequence[str],
        columns: Sequence[str],
        answers: Answers,
        beside: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.answers: Final = answers
        self._fields: Final = tuple(fields)
        self._columns: Final = tuple(columns)
        self._beside: Final = dict(beside or {})
        self._elements: dict[tuple[str, str], tuple[Known, str]] = {}

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with what is known, or as they are where nothing is."""
        shown: dict[str, pl.Series] = {}
        hit: pl.Series | None = None
        added: list[pl.Series] = []
        looked_up = [
            (field, *distinct_values(events, field))
            for field in self._fields
            if events.height and field in events.columns and events[field].dtype == pl.String
        ]
        # All at once, as a batch may be held until answers come.
        wanted = list(dict.fromkeys(value for _, _, values in looked_up for value in values))
        if not wanted:
            return events
        known = dict(zip(wanted, self.answers.lookup(wanted), strict=True))
        for field, dimension, values in looked_up:
            found = [known[value] for value in values]
            if not any(found):
                continue
            added += self._element(field, values, found, dimension)
            columns = {
                column: _column([_text(each, column) for each in found], dimension)
                for column in self._columns
            }
            hits = pl.Series(np.array([each is not None for each in found])[dimension.codes])
            if hit is None:
                shown, hit = columns, hits
            else:
                shown = {name: shown[name].zip_with(hit, columns[name]) for name in shown}
                hit = hit | hits
            for attribute, column in self._beside.items():
                events = _filled(events, field, attribute, columns[column])
        if hit is None:
            return events
        return events.hstack(
            [*(each.alias(f"@enrich.{self.name}.{name}") for name, each in shown.items()), *added]
        )

    def _element(
        self,
        field: str,
        values: Sequence[str | None],
        found: Sequence[Known | None],
        dimension: Dimension,
    ) -> list[pl.Series]:
        """The column of an attribute's elements, and its code column; code 0 is a miss."""
        label = f"{self.name}.{field}".translate(BRACKETS) if len(self._fields) > 1 else self.name
        column = f"enrichments[{label}]{ocsf.JSON_SUFFIX}"
        if len(self._elements) + len(values) > MOST_REMEMBERED:
            self._elements = {}
        texts: list[str | None] = [None]
        numbers = np.zeros(len(values), dtype=np.uint32)
        for number, (value, known) in enumerate(zip(values, found, strict=True)):
            if value is not None and known is not None:
                numbers[number] = len(texts)
                texts.append(self._json(field, value, known))
        code = pl.Series(f"{ocsf.CODE}{column}", numbers[dimension.codes])
        return [pl.Series(column, texts, dtype=pl.String)[code].alias(column), code]

    def _json(self, field: str, value: str, known: Known) -> str:
        """One element; those of answers that are still the same are remembered."""
        before = self._elements.get((field, value))
        if before is not None and before[0] is known:
            return before[1]
        element: dict[str, Any] = {
            "name": field.lstrip("@"),
            "value": value,
            "type": self.name,
            "provider": known.provider,
            "data": dict(known.row),
        }
        text = orjson.dumps(element, default=list).decode()
        self._elements[field, value] = known, text
        return text


def _text(known: Known | None, column: str) -> str | None:
    cell = None if known is None else known.row.get(column)
    return cell if cell is None or isinstance(cell, str) else ",".join(cell)


def _column(texts: Sequence[str | None], dimension: Dimension) -> pl.Series:
    """A column of the events from the texts of distinct values."""
    return pl.Series(texts, dtype=pl.String)[pl.Series(dimension.codes)]


def _filled(events: pl.DataFrame, field: str, attribute: str, made: pl.Series) -> pl.DataFrame:
    """What the source said stays."""
    target = f"{field.rpartition('.')[0]}.{attribute}"
    if target in events.columns:
        given = events[target]
        if given.dtype != pl.String or not given.null_count():
            return events
        made = given.zip_with(given.is_not_null(), made)
    return events.drop(ocsf.stale_codes(events.columns, target, [field])).with_columns(
        made.alias(target)
    )

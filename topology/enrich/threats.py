"""Threat intelligence: attributes of an event are looked up in a list of indicators of compromise.

Each type of indicator has its way of matching and the attributes it is looked up in. A hit adds
what topology/enrich/table.py says; `data` has the `indicator` and its `kind` (one of KINDS) first.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.enrich.matching import Domains, Exact, Matching, Networks, Places
from topology.enrich.table import Table

ANY_ELEMENT: Final = "[]"
"""In the name of an attribute: each element of an array."""


class Folded(Exact):
    """Equal texts, whatever their case."""

    @staticmethod
    def normal(key: str) -> str:
        """In lower case."""
        return key.strip().lower()

    def places(self, values: Sequence[str | None]) -> Places:
        """The place of each value."""
        return super().places([value and value.lower() for value in values])

    def _marked(self, column: pl.Series) -> npt.NDArray[np.uint64]:
        return super()._marked(column.str.to_lowercase())


class Hashes(Folded):
    """MD5, SHA-1, SHA-2 and SHA-3 digests in hexadecimal."""

    @staticmethod
    def normal(key: str) -> str:
        """In lower case. Raises ValueError."""
        text = key.strip().lower()
        if re.fullmatch(r"[0-9a-f]{32,128}", text) is None or len(text) % 8:
            raise ValueError(f"saw {key!r}, expected 32 to 128 hexadecimal digits")
        return text


class Kind(NamedTuple):
    """How indicators of a type match, and where they are looked for."""

    matching: type[Matching]
    attributes: tuple[str, ...]


KINDS: Final[Mapping[str, Kind]] = {
    "ip": Kind(Networks, ("src_endpoint.ip", "dst_endpoint.ip", "device.ip")),
    "domain": Kind(
        Domains,
        (
            "src_endpoint.hostname",
            "dst_endpoint.hostname",
            "src_endpoint.domain",
            "dst_endpoint.domain",
            "query.hostname",
            "url.hostname",
            "http_request.url.hostname",
        ),
    ),
    "hash": Kind(
        Hashes,
        (
            "file.hashes[].value",
            "file_result.hashes[].value",
            "process.file.hashes[].value",
            "actor.process.file.hashes[].value",
        ),
    ),
    "file": Kind(
        Folded, ("file.name", "file_result.name", "process.file.name", "actor.process.file.name")
    ),
    "url": Kind(Exact, ("url.url_string", "http_request.url.url_string")),
}
"""Types of indicators."""


class Indicator(NamedTuple):
    """`value` as its source has it, `data` what else the source says of it."""

    kind: str
    value: str
    data: Mapping[str, Any]


class Threats:
    """Indicators by type, ready for look-ups by a whole batch."""

    def __init__(
        self,
        name: str,
        indicators: Sequence[Indicator],
        attributes: Mapping[str, Sequence[str]] | None = None,
        provider: str | None = None,
    ) -> None:
        """`attributes` take the place of those of KINDS. The last of equal indicators wins.

        Raises ValueError for a value that is none of its kind.
        """
        self.name = name
        rows: list[Mapping[str, Any]] = []
        keys: dict[str, dict[str, int]] = {}
        for kind, value, data in indicators:
            rows.append({"indicator": value, "kind": kind, **data})
            keys.setdefault(kind, {})[KINDS[kind].matching.normal(value)] = len(rows)
        self._table: Final = Table(name, rows, provider)
        lookups: list[tuple[str, Matching]] = []
        for kind, places in keys.items():
            matching = KINDS[kind].matching(places)
            fields = (attributes or {}).get(kind, KINDS[kind].attributes)
            lookups += [(field, matching) for field in fields]
        self._lookups: Final = tuple(lookups)

    def __len__(self) -> int:
        return len(self._table)

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with what is known of their attributes, or as they are without a hit."""
        if not events.height:
            return events
        return self._table.join(events, list(self._present(events.columns)), labelled=True)

    def _present(self, columns: Sequence[str]) -> Iterator[tuple[str, Matching]]:
        """The look-ups of a batch's columns."""
        elements = [column for column in columns if "[" in column]
        for field, matching in self._lookups:
            if ANY_ELEMENT in field:
                pattern = re.escape(field).replace(re.escape(ANY_ELEMENT), r"\[[^\]]*\]")
                found = [column for column in elements if re.fullmatch(pattern, column)]
                yield from ((column, matching) for column in found)
            elif field in columns:
                yield field, matching

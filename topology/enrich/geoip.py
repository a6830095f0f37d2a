"""Where an address is and whose it is: OCSF `location` and `autonomous_system` of its endpoint.

They are added where the source said nothing of them. `location.provider` is the version of the
table. Of an autonomous system OCSF has the number and the name, and no place for a version.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl

from topology.enrich.table import distinct_values
from topology.memo import Memo

Record: TypeAlias = Mapping[str, Any]
"""What a table has of an address, as MaxMind's GeoIP2 and GeoLite2 tables lay it out
(https://dev.maxmind.com/geoip/docs/databases)."""

SCHEMA: Final[Mapping[str, pl.DataType | type[pl.DataType]]] = {
    "location.city": pl.String,
    "location.continent": pl.String,
    "location.country": pl.String,
    "location.lat": pl.Float64,
    "location.long": pl.Float64,
    "location.postal_code": pl.String,
    "location.provider": pl.String,
    "location.region": pl.String,
    "autonomous_system.name": pl.String,
    "autonomous_system.number": pl.Int64,
}
"""Attributes of an endpoint (OCSF 1.6.0, objects geo_location and autonomous_system)."""
OBJECTS: Final = ("location.", "autonomous_system.")
NOTHING: Final = (None,) * len(SCHEMA)


class GeoIP:
    """Looks up each address once and remembers, within bounds, what was found."""

    def __init__(
        self, fields: Sequence[str], look_up: Callable[[str], Record | None], provider: str
    ) -> None:
        """`look_up` gives None for what is no address, or not in the table.

        `fields` are attributes that hold addresses; what is found stands beside each of them.
        """
        self.name = "geoip"
        self._fields: Final = tuple(fields)
        self._look_up: Final = look_up
        self._provider: Final = provider
        self._memo: Final = Memo(self._row, SCHEMA)

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events with what is known of their addresses."""
        for field in self._fields:
            if field in events.columns and events[field].dtype == pl.String and events.height:
                events = self._located(events, field)
        return events

    def _located(self, events: pl.DataFrame, field: str) -> pl.DataFrame:
        dimension, values = distinct_values(events, field)
        table, places = self._memo.look_up([(value,) for value in values])
        if not table.width:
            return events
        found = table[pl.Series(places[dimension.codes])]
        endpoint = field.rpartition(".")[0]
        # Only endpoints of a network have an autonomous system in OCSF; a device has none.
        things = OBJECTS if endpoint.endswith("_endpoint") else OBJECTS[:1]
        added = [
            column
            for thing in things
            for column in _added(
                events, f"{endpoint}.", found.select(_members(found, thing)), thing
            )
        ]
        return events.with_columns(added) if added else events

    def _row(self, address: str | None) -> tuple[Any, ...]:
        record = None if address is None else self._look_up(address)
        if record is None:
            return NOTHING
        country = _at(record, "country", "iso_code") or _at(
            record, "registered_country", "iso_code"
        )
        subdivision = _at(record, "subdivisions", 0, "iso_code")
        location = (
            _at(record, "city", "names", "en"),
            _at(record, "continent", "names", "en"),
            country,
            _at(record, "location", "latitude"),
            _at(record, "location", "longitude"),
            _at(record, "postal", "code"),
        )
        known = any(value is not None for value in location)
        return (
            *location,
            self._provider if known else None,
            f"{country}-{subdivision}" if country and subdivision else None,
            record.get("autonomous_system_organization"),
            record.get("autonomous_system_number"),
        )


def _at(value: Any, *path: str | int) -> Any:
    """A value deep in a record, or None."""
    for step in path:
        if isinstance(step, int) and isinstance(value, list):
            value = value[step] if len(value) > step else None
        elif isinstance(value, Mapping):
            value = value.get(step)
        else:
            return None
    return value


def _members(frame: pl.DataFrame, prefix: str) -> list[str]:
    return [name for name in frame.columns if name.startswith(prefix)]


def _added(events: pl.DataFrame, endpoint: str, found: pl.DataFrame, thing: str) -> list[pl.Series]:
    """The columns of an object. It is the source's or ours as a whole, so the two never mix."""
    said = np.zeros(events.height, dtype=np.bool_)
    for name in _members(events, endpoint + thing):
        said |= events[name].is_not_null().to_numpy()
    if not said.any():
        return [column.alias(endpoint + column.name) for column in found.get_columns()]
    free = pl.Series(~said)
    added = []
    for column in found.get_columns():
        name = endpoint + column.name
        others = pl.Series([None], dtype=column.dtype).new_from_index(0, len(column))
        if name in events.columns:
            others = events[name].cast(column.dtype)
        added.append(column.zip_with(free, others).alias(name))
    return added

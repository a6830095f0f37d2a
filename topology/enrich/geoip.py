"""Where an address is and whose it is: OCSF `location` and `autonomous_system` of its endpoint.

They are added where the source said nothing of them. `location.provider` is the version of the
table. Of an autonomous system OCSF has the number and the name, and no place for a version: an
element of `enrichments` tells it, with both.
"""

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from schemas import ocsf
from topology.dimension import Dimension
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
    "@told": pl.String,
}
"""Attributes of an endpoint (OCSF 1.6.0, objects geo_location and autonomous_system). `@told`: the
end of an element of `enrichments` on the latter, as JSON."""
TOLD: Final = "@told"
SYSTEM: Final = "autonomous_system."
OBJECTS: Final = ("location.", SYSTEM)
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
        if SYSTEM in things and TOLD in table.columns:
            told = zip(values, table[TOLD][pl.Series(places)].to_list(), strict=True)
            texts = [tail and _json({"name": field, "value": value})[:-1] + tail
                     for value, tail in told]  # fmt: skip
            said = _said(events, f"{endpoint}.{SYSTEM}")
            name = f"enrichments[autonomous system.{field}]{ocsf.JSON_SUFFIX}"
            return _with_element(events, name, texts, dimension, said).with_columns(added)
        return events.with_columns(added) if added else events

    def _row(self, address: str | None) -> tuple[Any, ...]:
        record = None if address is None else self._look_up(address)
        if record is None:
            return NOTHING
        country = _text(record, "country", "iso_code") or _text(
            record, "registered_country", "iso_code"
        )
        subdivision = _text(record, "subdivisions", 0, "iso_code")
        location = (
            _text(record, "city", "names", "en"),
            _text(record, "continent", "names", "en"),
            country,
            _number(record, "location", "latitude"),
            _number(record, "location", "longitude"),
            _text(record, "postal", "code"),
        )
        known = any(value is not None for value in location)
        system = _whole(record, "autonomous_system_number")
        name = _text(record, "autonomous_system_organization")
        told = None
        if system is not None or name is not None:
            data = {"number": system, "name": name}
            given = {key: value for key, value in data.items() if value is not None}
            more = {"type": SYSTEM[:-1], "provider": self._provider, "data": given}
            told = f",{_json(more)[1:]}"
        return (
            *location,
            self._provider if known else None,
            f"{country}-{subdivision}" if country and subdivision else None,
            name,
            system,
            told,
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


def _text(value: Any, *path: str | int) -> str | None:
    """A text. Tables that others made have values of other types, which are none."""
    found = _at(value, *path)
    return found if isinstance(found, str) else None


def _number(value: Any, *path: str | int) -> float | None:
    found = _at(value, *path)
    return float(found) if isinstance(found, int | float) and isfinite(found) else None


def _whole(value: Any, *path: str | int) -> int | None:
    found = _at(value, *path)
    return found if isinstance(found, int) and 0 <= found < 1 << 32 else None


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _members(frame: pl.DataFrame, prefix: str) -> list[str]:
    return [name for name in frame.columns if name.startswith(prefix)]


def _added(events: pl.DataFrame, endpoint: str, found: pl.DataFrame, thing: str) -> list[pl.Series]:
    """The columns of an object. It is the source's or ours as a whole, so the two never mix."""
    said = _said(events, endpoint + thing)
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


def _said(events: pl.DataFrame, prefix: str) -> npt.NDArray[np.bool_]:
    """Which events have any attribute of an object."""
    said = np.zeros(events.height, dtype=np.bool_)
    for name in _members(events, prefix):
        said |= events[name].is_not_null().to_numpy()
    return said


def _with_element(
    events: pl.DataFrame,
    name: str,
    texts: Sequence[str | None],
    dimension: Dimension,
    said: npt.NDArray[np.bool_],
) -> pl.DataFrame:
    """With these texts, by code, as an element of `enrichments`, but where it is `said` already."""
    column = pl.Series(name, texts, dtype=pl.String)[pl.Series(dimension.codes)].alias(name)
    code = f"{ocsf.CODE}{name}"
    if name not in events.columns and not said.any():
        return events.with_columns(column, pl.Series(code, dimension.codes))
    column = column.set(pl.Series(said), None)
    if name in events.columns:
        column = events[name].zip_with(events[name].is_not_null(), column)
    return events.drop(code, strict=False).with_columns(column)

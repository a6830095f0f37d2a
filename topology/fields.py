"""What a parser gave for some rows, by the names that people use, whatever holds it.

| parser's column | name here |
|---|---|
| `msg`, any text or number | `msg` |
| `syslog` (a structure) | `syslog.hostname` |
| `columns` (a list of texts) | `columns[3]`, from 0 |
| `ext:pairs`, `fields:pairs` | `src`, or `ext.src` where several columns of pairs have it |
| `value:json` | `a.b`, `a[0].b`: a path into the object (topology/members.py) |
| `sd:json` | `sd.ID.parameter` |
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology import members, pairs
from topology.rows import expand
from topology.texts import as_text

ELEMENT: Final = re.compile(r"(.+)\[(-?\d+)\]")
VALUE: Final = f"value{ocsf.JSON_SUFFIX}"
SD: Final = f"sd{ocsf.JSON_SUFFIX}"
TIME: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
FURTHER: Final = "further "
"""Columns that came beside one of the same name."""


def written(column: pl.Series) -> pl.Series:
    """As text; times, which are in UTC, as RFC 3339 has them."""
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.to_string(TIME)
    return as_text(column)


class View:
    """Fields of the rows of a frame, as texts. Each is made when it is first asked for."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.height = frame.height
        self._columns = {column.name: column for column in frame.get_columns()}
        self._later: set[str] = set()
        """Columns that none of the rows had at first."""
        self._found: dict[str, pl.Series | None] = {}

    def add(self, fields: pl.DataFrame, places: npt.NDArray[np.intp]) -> None:
        """What another parser gave for the rows at `places`; where it gave nothing, null.

        A column that is there already gets other values at those places. Pairs and JSON texts,
        which hold many fields, come beside those that are there, and after them.
        """
        for column in fields.get_columns():
            name = column.name
            if name == "row":
                continue
            whole = expand(column.to_frame(), places, self.height).to_series()
            known = self._columns.get(name)
            if known is not None and (column.dtype == pairs.PAIRS or name == VALUE):
                suffix = pairs.SUFFIX if column.dtype == pairs.PAIRS else ocsf.JSON_SUFFIX
                name = f"{FURTHER}{len(self._columns)}{suffix}"
            elif known is None:
                self._later.add(name)
            else:
                if known.dtype != whole.dtype:
                    known, whole = written(known), written(whole)
                whole = whole.zip_with(whole.is_not_null(), known)
            self._columns[name] = whole
        self._found.clear()

    def text(self, name: str) -> pl.Series | None:
        """The field of every row as String, or None where no row can have it."""
        if name not in self._found:
            found = self._find(name)
            self._found[name] = None if found is None else found.alias(name)
        return self._found[name]

    def frame(self, names: list[str]) -> pl.DataFrame:
        """Some fields as columns of their names; those that no row can have are left out."""
        found = [self.text(name) for name in names]
        kept = [column for column in found if column is not None]
        row = pl.Series("row", np.arange(self.height, dtype=np.uint32))
        return pl.DataFrame([row, *kept])

    def _find(self, name: str) -> pl.Series | None:
        column = self._columns.get(name)
        if column is not None and not column.dtype.is_nested():
            found = written(column)
            # What only some rows were parsed for hides nothing of the others.
            inside = self._in_pairs(name) if name in self._later and found.null_count() else None
            return found if inside is None else found.zip_with(found.is_not_null(), inside)
        stem, _, rest = name.partition(".")
        holder = self._columns.get(stem)
        if holder is not None and isinstance(holder.dtype, pl.Struct):
            inner = {field.name for field in holder.dtype.fields}
            if rest.startswith("sd.") and SD in inner:
                return members.member(holder.struct.field(SD), rest.removeprefix("sd."))
            return written(holder.struct.field(rest)) if rest in inner else None
        if stem == "sd" and SD in self._columns:
            return members.member(self._columns[SD], rest)
        element = ELEMENT.fullmatch(name)
        if element is not None and isinstance(
            self._columns.get(element[1], pl.Series()).dtype, pl.List
        ):
            return self._columns[element[1]].list.get(int(element[2]), null_on_oob=True)
        return self._in_pairs(name)

    def _in_pairs(self, name: str) -> pl.Series | None:
        """In columns of pairs, and in JSON texts."""
        stem, _, rest = name.partition(".")
        found: pl.Series | None = None
        for column, values in self._columns.items():
            if values.dtype == pairs.PAIRS:
                key = rest if column == f"{stem}{pairs.SUFFIX}" and rest else name
                value: pl.Series | None = pairs.value_of(values, key)
            elif column == VALUE or (
                column.startswith(FURTHER) and column.endswith(ocsf.JSON_SUFFIX)
            ):
                value = members.member(values, name)
            else:
                continue
            if value is not None:
                found = value if found is None else found.zip_with(found.is_not_null(), value)
        return found

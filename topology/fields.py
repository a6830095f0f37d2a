"""What a parser gave for some rows, by the names that people use, whatever holds it.

| parser's column | name here |
|---|---|
| `msg`, any text or number | `msg` |
| `syslog` (a structure) | `syslog.hostname` |
| `columns` (a list of texts) | `columns[3]`, from 0 |
| `ext:pairs`, `fields:pairs` | `src`, or `ext.src` where several columns of pairs have it |
| `value:json` | `a.b`, a path into the object |
"""

import re
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology import pairs
from topology.rows import expand
from topology.texts import as_text

ELEMENT: Final = re.compile(r"(.+)\[(-?\d+)\]")
PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")


class View:
    """Fields of the rows of a frame, as texts. Each is made when it is first asked for."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.height = frame.height
        self._columns = {column.name: column for column in frame.get_columns()}
        self._found: dict[str, pl.Series | None] = {}

    def add(self, fields: pl.DataFrame, places: npt.NDArray[np.intp]) -> None:
        """What another parser gave for the rows at `places`; where it gave nothing, null.

        A column that is there already gets other values at those places; pairs come beside those
        that are there, and after them.
        """
        for column in fields.get_columns():
            name = column.name
            if name == "row":
                continue
            whole = expand(column.to_frame(), places, self.height).to_series()
            known = self._columns.get(name)
            if known is not None and column.dtype == pairs.PAIRS:
                name = f"{len(self._columns)}{pairs.SUFFIX}"
            elif known is not None and known.dtype == whole.dtype:
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
            return as_text(column)
        stem, _, rest = name.partition(".")
        holder = self._columns.get(stem)
        if holder is not None and isinstance(holder.dtype, pl.Struct):
            inner = {field.name for field in holder.dtype.fields}
            return as_text(holder.struct.field(rest)) if rest in inner else None
        element = ELEMENT.fullmatch(name)
        if element is not None and isinstance(
            self._columns.get(element[1], pl.Series()).dtype, pl.List
        ):
            return self._columns[element[1]].list.get(int(element[2]), null_on_oob=True)
        return self._in_pairs(name, stem, rest)

    def _in_pairs(self, name: str, stem: str, rest: str) -> pl.Series | None:
        found: pl.Series | None = None
        for column, values in self._columns.items():
            if values.dtype == pairs.PAIRS:
                key = rest if column == f"{stem}{pairs.SUFFIX}" and rest else name
                value = pairs.value_of(values, key)
            elif column == f"value{ocsf.JSON_SUFFIX}" and PLAIN.fullmatch(name):
                path = pl.col(column).str.json_path_match(f"$.{name}")
                value = values.to_frame().select(path).to_series()
            else:
                continue
            found = value if found is None else found.zip_with(found.is_not_null(), value)
        return found

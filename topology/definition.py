"""Normalizers that are written in YAML: which fields of a format become which attributes.

A definition reads lines by a format, may parse a field further where a condition holds, and then
makes an event of each row by the first of its cases that fits. What is not mapped stays in
`unmapped`, so that nothing is lost by a definition that says little.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.fields import View
from topology.filters import NO_FILTERS, Filters
from topology.normalize import syslog, text
from topology.normalize.normalizer import RECEIVED, Normalizer
from topology.operations import Change
from topology.parse.parsed import Format
from topology.rows import expand

Constant: TypeAlias = str | int | float | bool
DTYPES: Final[Mapping[type, Any]] = {
    str: pl.String,
    int: pl.Int64,
    float: pl.Float64,
    bool: pl.Boolean,
}
SYSLOG: Final = frozenset(["facility", "severity", "hostname", "appname", "msg", "msgid"])
"""Fields of lines that are syslog messages and nothing else."""
NAMES: Final[Mapping[str, tuple[str, Mapping[int, str]]]] = {
    "severity_id": ("severity", ocsf.SEVERITY_NAMES),
    "status_id": ("status", ocsf.STATUS_NAMES),
}
"""Attributes that are numbers, and the one that has their name."""


@dataclass(frozen=True, slots=True)
class Value:
    """Where an attribute comes from: a constant; or the first of `fields` that a row has, or a
    template of fields; then `changes`, then `lookup`; and where that gives nothing, `default`."""

    dtype: Any
    constant: Constant | None = None
    fields: tuple[str, ...] = ()
    template: tuple[tuple[str, str], ...] = ()
    """(text, field) one after the other; the last field may be empty."""
    changes: tuple[Change, ...] = ()
    lookup: Mapping[str, Constant] | None = None
    default: Constant | None = None

    def of(self, view: View) -> pl.Series:
        """The value of every row, or null."""
        if self.constant is not None:
            return _constant(self.constant, self.dtype, view.height)
        found = self._template(view) if self.template else self._first(view)
        for change in self.changes:
            found = found.to_frame("text").select(change(pl.col("text"))).to_series()
        if self.lookup is not None:
            found = found.replace_strict(
                pl.Series(list(self.lookup), dtype=pl.String),
                pl.Series(list(self.lookup.values()), dtype=self.dtype),
                default=None,
                return_dtype=self.dtype,
            )
        if self.default is not None and found.null_count():
            found = found.fill_null(self.default)
        return found

    def _first(self, view: View) -> pl.Series:
        found: pl.Series | None = None
        for name in self.fields:
            values = view.text(name)
            if values is not None:
                found = values if found is None else found.zip_with(found.is_not_null(), values)
        return _constant(None, pl.String, view.height) if found is None else found

    def _template(self, view: View) -> pl.Series:
        """Null where one of its fields is."""
        parts = []
        columns = []
        if not any(name for _, name in self.template):
            text = "".join(before for before, _ in self.template)
            return _constant(text, pl.String, view.height)
        for number, (before, name) in enumerate(self.template):
            parts.append(pl.lit(before))
            if name:
                values = view.text(name)
                if values is None:
                    return _constant(None, pl.String, view.height)
                columns.append(values.alias(str(number)))
                parts.append(pl.col(str(number)))
        return pl.DataFrame(columns).select(pl.concat_str(parts)).to_series()


def _constant(value: Constant | None, dtype: Any, rows: int) -> pl.Series:
    return pl.Series([value], dtype=dtype).new_from_index(0, rows)


@dataclass(frozen=True, slots=True)
class Further:
    """A field, the first of several that a row has, that is parsed by another format; in rows where
    the condition `when` holds."""

    fields: tuple[str, ...]
    parser: Format
    options: Mapping[str, str]
    when: Filters = NO_FILTERS


@dataclass(frozen=True, slots=True)
class Case:
    """Events of one kind: OCSF class and attributes. `when`: number of a condition; None: all
    others."""

    class_uid: int
    attributes: Mapping[str, Value]
    when: int | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """One definition. `conditions`: those of its cases, over fields, by number."""

    name: str
    version: str
    product: str
    vendor: str | None = None
    further: Sequence[Further] = ()
    cases: Sequence[Case] = ()
    conditions: Filters = NO_FILTERS

    @property
    def normalizer(self) -> Normalizer:
        """As the topology has it."""
        return Normalizer(self.name, self.version, self.normalize)

    def normalize(self, fields: pl.DataFrame, options: Mapping[str, str]) -> pl.DataFrame:
        """From the fields of its format. One event per row."""
        view = View(fields)
        found = [self._parse(view, fields, further) for further in self.further]
        whole = syslog if SYSLOG.issubset(fields.columns) else text
        base = whole.normalize(fields, options)
        time = base["time"]
        for times in found:
            if times is not None and time.null_count():
                time = time.zip_with(time.is_not_null(), times)
        base = base.with_columns(
            time,
            pl.lit(self.product).alias("metadata.product.name"),
            pl.lit(self.vendor, pl.String).alias("metadata.product.vendor_name"),
            pl.lit(self.name).alias("metadata.log_name"),
        )
        holds = _holding(self.conditions, view)
        left = np.ones(view.height, dtype=np.bool_)
        parts: list[pl.DataFrame] = []
        for case in self.cases:
            chosen = left if case.when is None else left & holds[case.when]
            if chosen.any():
                parts.append(self._events(view, base, case, chosen))
                left = left & ~chosen
        if left.any():
            parts.append(base.filter(pl.Series(left)))
        if len(parts) == 1:
            return parts[0]
        return pl.concat(parts, how="diagonal").sort("row")

    @staticmethod
    def _parse(view: View, fields: pl.DataFrame, further: Further) -> pl.Series | None:
        """Adds to `view` what is found. Returns the times of the rows, as far as it says them."""
        values = Value(pl.String, fields=further.fields).of(view)
        wanted = values.is_not_null().to_numpy()
        for holds in _holding(further.when, view):
            wanted = wanted & holds
        places = np.flatnonzero(wanted)
        if not len(places):
            return None
        rows = pl.Series(places)
        texts = [pl.Series("row", places.astype(np.uint32)), values[rows].alias("text")]
        if RECEIVED in fields.columns:
            texts.append(fields[RECEIVED][rows].alias("received"))
        found = further.parser.parse(pl.DataFrame(texts), further.options).fields
        at = found["row"].to_numpy().astype(np.intp)
        view.add(found, at)
        times = text.times(found)
        if times is None:
            return None
        return expand(times.to_frame("time"), at, view.height).to_series()

    def _events(
        self, view: View, base: pl.DataFrame, case: Case, chosen: npt.NDArray[np.bool_]
    ) -> pl.DataFrame:
        rows = pl.Series(chosen)
        columns = {name: value.of(view).filter(rows) for name, value in case.attributes.items()}
        kept = base.filter(rows)
        for name, column in columns.items():
            if name in kept.columns and kept[name].dtype == column.dtype and column.null_count():
                columns[name] = column.zip_with(column.is_not_null(), kept[name])
        count = kept.height
        activity = columns.get("activity_id", _constant(0, pl.Int64, count)).fill_null(0)
        columns |= {
            "class_uid": _constant(case.class_uid, pl.Int64, count),
            "class_name": _constant(ocsf.CLASS_NAMES[case.class_uid], pl.String, count),
            "category_uid": _constant(case.class_uid // 1000, pl.Int64, count),
            "activity_id": activity,
            "type_uid": activity + case.class_uid * 100,
        }
        for number, (name, names) in NAMES.items():
            if number in columns and name not in columns:
                values = pl.Series(list(names.values()), dtype=pl.String)
                columns[name] = columns[number].replace_strict(
                    pl.Series(list(names), dtype=pl.Int64), values, default=None
                )
        return kept.with_columns([column.alias(name) for name, column in columns.items()])


def _holding(conditions: Filters, view: View) -> list[npt.NDArray[np.bool_]]:
    """Where each condition holds."""
    return conditions.holding(view.frame(conditions.columns)) if conditions else []

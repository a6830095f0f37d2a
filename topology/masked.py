"""Events of a batch as a tenant with a mask may see them, in columns; each value is hashed once."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf
from topology.enrich.table import distinct_values
from topology.mask import MARK, Mask, formatted
from topology.repeats import Repeat, flat, repeats

MASKED: Final = "masked"
"""Stands where an attribute is dropped that OCSF asks for."""
REQUIRED: Final = (".file.name", ".file_result.name", ".service.name", ".api.operation")
"""Ends of the texts that OCSF requires of the objects that have them."""
IDENTIFYING: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("name", "uid"),
    "endpoint": ("name", "ip", "uid", "hostname", "svc_name", "interface_name", "domain"),
    "device": ("name", "ip", "uid", "hostname", "interface_name"),
}
"""By the end of an object's name: attributes of which OCSF asks for at least one."""


class Masked:
    """The events of a batch as one tenant may see them. Everything is worked out once."""

    def __init__(
        self, mask: Mask, events: pl.DataFrame, known: dict[str, Repeat | None] | None = None
    ) -> None:
        """`known`: what was found out of the same events for masks with the same actions."""
        self._mask = mask
        self._events = events
        self._columns = mask.columns(events.columns)
        self._texts = {
            name
            for name, column in zip(events.columns, events.iter_columns(), strict=True)
            if column.dtype == pl.String or column.dtype.is_nested()
        }
        self._repeats = {} if known is None else known

    def feed(self) -> pl.DataFrame:
        """The events with hashes for what is hashed, and without what is dropped."""
        events, found = self._events, self._columns
        gone = set(found.free)
        changed: list[pl.Series] = []
        stale: set[str] = set()
        for name, action in found.named.items():
            if name.startswith("@"):
                continue
            if action == "hash" and events[name].dtype == pl.String:
                changed.append(self._hashed(name))
            elif _required(name):
                changed.append(_masked(events[name]))
            else:
                gone.add(name)
        written = [name for name in found.checked if ocsf.is_written(name)]
        for name, repeat in self._repeated(written).items():
            changed.append(self._without(name, repeat))
            stale.update(ocsf.stale_codes(events.columns, name, [name, *found.values]))
        out = events.with_columns(changed) if changed else events
        out = out.drop([*gone, *stale])
        touched = [*found.named, *(column.name for column in changed)]
        return _identified(events, out, touched)

    def shown(self, columns: Sequence[str]) -> pl.DataFrame:
        """Some columns as alerts and record keys may show them: what is dropped, too, as a hash,
        with MARK before it, so that equal values stay equal and others do not."""
        events, found = self._events, self._columns
        names = [name for name in dict.fromkeys(columns) if name in events.columns]
        repeated = self._repeated([name for name in names if name in found.checked])
        out = []
        for name in names:
            action = "drop" if name in found.free else found.named.get(name)
            if action is not None:
                out.append(self._hashed(name, marked=action == "drop"))
            elif name in repeated:
                out.append(self._shown(name, repeated[name]))
            else:
                out.append(events[name])
        return pl.DataFrame(out)

    def keys(self, column: str) -> pl.DataFrame:
        """The column that keys the records."""
        shown = self.shown([column])
        if column not in shown.columns or shown[column].dtype != pl.String:
            return shown
        return shown.select(pl.col(column).str.strip_prefix(MARK))

    def _repeated(self, names: Sequence[str]) -> dict[str, Repeat]:
        """Of these columns those that repeat a masked value."""
        new = [name for name in names if name not in self._repeats and name in self._texts]
        if new:
            named = self._columns.named
            values = [
                name for name in self._columns.values if self._events[name].dtype == pl.String
            ]
            values = _different(self._events, values)
            alike = {name for name in values if named[name] == "hash"}
            known = repeats(self._events, values, new, alike)
            self._repeats |= {name: known.get(name) for name in new}
        return {name: repeat for name in names if (repeat := self._repeats.get(name)) is not None}

    def _hashed(self, name: str, *, marked: bool = False) -> pl.Series:
        column = flat(self._events[name])
        dimension, texts = distinct_values(column.to_frame(name).hstack(self._codes()), name)
        made = self._logged_users(texts) if name == "@user" else self._mask.hashes(texts)
        if marked:
            made = [None if text is None else MARK + text for text in made]
        return pl.Series(name, made, dtype=pl.String)[dimension.number].alias(name)

    def _codes(self) -> list[pl.Series]:
        return [self._events[code] for code in ocsf.SHARED if code in self._events.columns]

    def _logged_users(self, texts: Sequence[str | None]) -> list[str | None]:
        r"""`AD\alice` with the parts as they are in the event: each hashed for itself; without the
        domain as a whole, for others may have that name elsewhere."""
        parts = [(text or "").partition("\\") for text in texts]
        domain = self._mask.action("actor.user.domain")
        out = []
        for text, (before, separator, after), name in zip(
            texts, parts, self._mask.hashes([after for _, _, after in parts]), strict=True
        ):
            if not (before and separator and after) or domain == "drop":
                out += self._mask.hashes([text])
            elif domain is None:
                out.append(f"{before}\\{name}")
            else:
                out.append(f"{self._mask.hashes([before])[0]}\\{name}")
        return out

    def _without(self, name: str, repeat: Repeat) -> pl.Series:
        """A column without its repeats: hashed where they are just the value and that is hashed."""
        column = self._events[name]
        if column.dtype != pl.String:
            keep = np.ones(len(column), dtype=np.bool_)
            keep[repeat.rows] = False
            nothing = pl.Series([None], dtype=column.dtype).new_from_index(0, len(column))
            return column.zip_with(pl.Series(keep), nothing).alias(name)
        hashes = self._mask.hashes(column[repeat.rows].to_list())
        instead = MASKED if _required(name) else None
        hashed = not formatted(name)
        texts = [
            text if equal and hashed else instead
            for text, equal in zip(hashes, repeat.equal.tolist(), strict=True)
        ]
        return _scattered(column, repeat, texts)

    def _shown(self, name: str, repeat: Repeat) -> pl.Series:
        column = flat(self._events[name])
        hashes = self._mask.hashes(column[repeat.rows].to_list())
        texts = [
            text if equal or text is None else MARK + text
            for text, equal in zip(hashes, repeat.equal.tolist(), strict=True)
        ]
        return _scattered(column, repeat, texts)


def _scattered(column: pl.Series, repeat: Repeat, texts: Sequence[str | None]) -> pl.Series:
    """A column with other texts at some rows."""
    places = np.zeros(len(column), dtype=np.uint32)
    places[repeat.rows] = np.arange(1, len(texts) + 1, dtype=np.uint32)
    others = pl.Series([None, *texts], dtype=pl.String)[pl.Series(places)]
    return column.zip_with(pl.Series(places == 0), others).alias(column.name)


def _masked(column: pl.Series) -> pl.Series:
    """MASKED where there was anything."""
    texts = pl.Series([None, MASKED], dtype=pl.String)
    return texts[column.is_not_null().cast(pl.UInt32)].alias(column.name)


def _different(events: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """Columns without those that say the same as one before them."""
    kept: list[str] = []
    for name in names:
        if not any(events[name].eq_missing(events[other]).all() for other in kept):
            kept.append(name)
    return kept


def _required(name: str) -> bool:
    return f".{name}".endswith(REQUIRED)


def _identified(before: pl.DataFrame, after: pl.DataFrame, touched: Sequence[str]) -> pl.DataFrame:
    """MASKED for the name of objects that have lost all that identified them."""
    for stem in dict.fromkeys(name.rpartition(".")[0] for name in touched):
        members = next((each for end, each in IDENTIFYING.items() if stem.endswith(end)), ())
        lost = _any(before, stem, members) & ~_any(after, stem, members)
        if lost.any():
            target = f"{stem}.name"
            named = pl.Series([None, MASKED], dtype=pl.String)[pl.Series(lost.astype(np.uint32))]
            if target in after.columns:
                given = after[target]
                named = given.zip_with(given.is_not_null(), named)
            stale = ocsf.stale_codes(after.columns, target, [f"{stem}.{each}" for each in members])
            after = after.drop(stale).with_columns(named.alias(target))
    return after


def _any(events: pl.DataFrame, stem: str, members: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Rows of which any of an object's members has a value."""
    found = np.zeros(events.height, dtype=np.bool_)
    for member in members:
        name = f"{stem}.{member}"
        if name in events.columns:
            found |= events[name].is_not_null().to_numpy()
    return found

"""A frame's columns as the atoms of rules read them, and sets of rows as the bits of integers.

A set of rows is a Python integer with one bit a row: and, or and not over 10,000 rows cost 0.2 µs,
and an empty set, which most are, costs nothing.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.dimension import Codes, factorize
from topology.mask import OURS
from topology.match.addresses import Addresses
from topology.texts import as_text, column_folded, folded

KEYWORDS = "*"
"""Name of the pseudo-column that keyword searches read: `raw_data`, and values that it may spell
otherwise; every value where there is none."""
RAW = "raw_data"

ESCAPES = ["\\", "&"]
"""What begins the ways of JSON and of XML to write a character."""
BETWEEN = "\0"
SMALL = 64
"""Up to so many elements a Python loop over regular expressions is cheaper than Polars."""
PLAIN = 512
"""The same for comparisons of text."""
LISTED = 4_096
"""Up to so many elements of a column all of them are made Python objects, once, for such loops."""
SAMPLE = 1024
FEW = 96
SHARE = 4

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int64]


def pack(mask: Mask) -> int:
    """The set of rows where the mask is true."""
    return int.from_bytes(np.packbits(mask, bitorder="little").tobytes(), "little")


def unpack(rows: int, height: int) -> Positions:
    """Sorted positions of the rows in a set."""
    data = np.frombuffer(rows.to_bytes((height + 7) // 8, "little"), dtype=np.uint8)
    return np.flatnonzero(np.unpackbits(data, count=height, bitorder="little"))


class Column:
    """One column as a series of elements that atoms are tested on.

    Three layouts: one element a row; one element for each distinct value, where few values repeat
    (`codes`: row → element); several elements a row, for lists (`owners`: element → row).
    """

    def __init__(
        self,
        elements: pl.Series,
        height: int,
        codes: Codes | None = None,
        owners: Positions | None = None,
    ) -> None:
        self.elements = elements
        self.height = height
        self.codes = codes
        self.owners = owners

    @classmethod
    def of(cls, series: pl.Series) -> "Column":
        """The layout that suits a column of a frame."""
        height = len(series)
        if isinstance(series.dtype, pl.List | pl.Array):
            frame = series.to_frame("value").with_row_index("row").explode("value").drop_nulls()
            return cls(frame["value"], height, owners=frame["row"].cast(pl.Int64).to_numpy())
        if height <= FEW or series.dtype != pl.String:
            return cls(series, height)
        if height <= SAMPLE:
            texts = series.to_list()
            numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
            if len(numbers) > height // SHARE:
                return cls(series, height)
            codes = np.fromiter(map(numbers.__getitem__, texts), np.uint32, height)
            return cls(pl.Series(series.name, list(numbers), dtype=pl.String), height, codes=codes)
        if len(set(series[:SAMPLE].to_list())) > SAMPLE // 2:
            return cls(series, height)
        (values,) = factorize(series.to_frame("value"), ["value"])
        if values.size > height // SHARE:
            return cls(series, height)
        return cls(values.distinct(series), height, codes=values.codes)

    @property
    def whole(self) -> bool:
        """Whether a test always sees all elements, so that its result holds for all rows."""
        return self.codes is not None or self.owners is not None

    @cached_property
    def texts(self) -> pl.Series:
        """Elements as String: numbers in decimal, booleans as true and false."""
        return as_text(self.elements)

    @cached_property
    def lowered(self) -> pl.Series:
        """Elements as String in lower case."""
        return lower(self.texts)

    @cached_property
    def _text_list(self) -> list[str | None]:
        return self.texts.to_list()

    @cached_property
    def _lowered_list(self) -> list[str | None]:
        return self.lowered.to_list()

    def values(self, picked: Positions | None, *, lowered: bool) -> list[str | None]:
        """The picked elements as `texts` or as `lowered`."""
        if picked is None:
            return self._lowered_list if lowered else self._text_list
        if len(self.elements) > LISTED:
            found: list[str | None] = (self.lowered if lowered else self.texts)[picked].to_list()
            return found
        values = self._lowered_list if lowered else self._text_list
        return [values[place] for place in picked.tolist()]

    def count(self, picked: Positions | None) -> int:
        """How many elements are picked."""
        return len(self.elements) if picked is None else len(picked)

    @cached_property
    def numbers(self) -> pl.Series:
        """Elements as numbers; null where there is none. Booleans are no numbers."""
        if self.elements.dtype.is_numeric():
            return self.elements
        if self.elements.dtype == pl.String:
            found = self.elements.str.strip_chars().cast(pl.Float64, strict=False)
            # `nan` and `inf` are texts, and nan the greatest number of all.
            endless = ~found.is_finite().fill_null(value=True)
            return found.set(endless, None) if endless.any() else found
        return pl.Series("", [None] * len(self.elements), dtype=pl.Float64)

    @cached_property
    def addresses(self) -> Addresses:
        """Elements as addresses."""
        return Addresses(self.texts)

    @cached_property
    def missing(self) -> int:
        """Rows without a value."""
        if self.owners is not None:
            present = np.zeros(self.height, dtype=np.bool_)
            present[self.owners] = True
            return pack(~present)
        if not self.elements.null_count():
            return 0
        nulls = np.asarray([value is None for value in self.elements.to_list()])
        return pack(nulls if self.codes is None else nulls[self.codes])

    def pick(self, alive: int, everything: int) -> Positions | None:
        """Elements to test when only the rows `alive` matter; None for all of them."""
        if self.whole or alive == everything:
            return None
        return unpack(alive, self.height)

    def spread(self, mask: Mask, picked: Positions | None) -> int:
        """Rows that have an element for which the mask (over the picked elements) is true."""
        if picked is not None:
            full = np.zeros(self.height, dtype=np.bool_)
            full[picked[mask]] = True
            return pack(full)
        if self.codes is not None:
            return pack(mask[self.codes])
        if self.owners is not None:
            full = np.zeros(self.height, dtype=np.bool_)
            full[self.owners[mask]] = True
            return pack(full)
        return pack(mask)


def lower(texts: pl.Series) -> pl.Series:
    """Texts in lower case."""
    if len(texts) > PLAIN // 2:
        return column_folded(texts)
    found = [None if text is None else folded(text) for text in texts.to_list()]
    return pl.Series(texts.name, found, dtype=pl.String)


class Keywords(Column):
    """All values of each event in one text, NUL between; put together only when it is read.

    `parts` hold the same values: columns that rules read anyway, and what is left, in one.
    """

    def __init__(self, events: pl.DataFrame, known: Mapping[str, Column | None]) -> None:
        self._flat = [series for series in events.iter_columns() if _has_texts(series.dtype)]
        self._known = known
        self.height = events.height
        self.codes = self.owners = None

    @cached_property
    def elements(self) -> pl.Series:  # type: ignore[override]  # made on first use
        return self._joined(self._flat)

    @cached_property
    def parts(self) -> list[Column]:
        """Columns; a text without NUL is in one of them if it is in the whole."""
        found = {series.name: self._known.get(series.name) for series in self._flat}
        rest = [series for series in self._flat if found[series.name] is None]
        parts = [column for column in found.values() if column is not None]
        return [*parts, Column(self._joined(rest), self.height)] if rest else parts

    def _joined(self, series: Sequence[pl.Series]) -> pl.Series:
        if not series:
            return pl.repeat(None, self.height, dtype=pl.String, eager=True)
        texts = [_text_of(each) for each in series]
        return pl.select(pl.concat_str(texts, separator=BETWEEN, ignore_nulls=True)).to_series()


def _has_texts(dtype: pl.DataType) -> bool:
    """Whether values are scalars or lists of them."""
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    return not inner.is_nested()


def _text_of(series: pl.Series) -> pl.Series:
    """A series as String, with all elements of a list."""
    if isinstance(series.dtype, pl.List):
        return series.cast(pl.List(pl.String)).list.join(BETWEEN, ignore_nulls=True)
    return as_text(series)


class View:
    """One batch of events: its columns, made on first use, and all rows as a set."""

    def __init__(self, events: pl.DataFrame) -> None:
        self.events = events
        self.height = events.height
        self.everything = (1 << events.height) - 1
        self._columns: dict[str, Column | None] = {}

    def column(self, name: str) -> Column | None:
        """The column, or None where the events have none of that name."""
        if name not in self._columns:
            self._columns[name] = self._make(name)
        return self._columns[name]

    def _make(self, name: str) -> Column | None:
        if name == KEYWORDS:
            if RAW in self.events.columns:
                return self._lines(self.events[RAW])
            return Keywords(self.events, self._columns)
        return Column.of(self.events[name]) if name in self.events.columns else None

    def _lines(self, lines: pl.Series) -> Column:
        """The original lines; where one may spell its values otherwise, or is not kept, the values
        beside it, but for the words of OCSF's."""
        odd = lines.str.contains_any(ESCAPES).fill_null(value=True)
        rows = np.flatnonzero(odd.to_numpy())
        if not len(rows):
            return Column.of(lines)
        names = [
            name
            for name, dtype in self.events.schema.items()
            if dtype in (pl.String, pl.List(pl.String)) and name != RAW and name not in OURS
        ]
        values = Keywords(self.events.select(names)[rows], {}).elements
        owners = np.concatenate((np.arange(self.height), rows))
        return Column(pl.concat([lines, values.alias(RAW)]), self.height, owners=owners)

    def taken(self, name: str, rows: int) -> pl.Series | None:
        """Values of some rows; None for an absent column."""
        if name not in self.events.columns:
            return None
        series = self.events[name]
        return series if rows == self.everything else series[unpack(rows, self.height)]

    def spread(self, mask: Mask, rows: int) -> int:
        """The rows among `rows` for which the mask, one truth for each of them, is true."""
        if rows == self.everything:
            return pack(mask)
        full = np.zeros(self.height, dtype=np.bool_)
        full[unpack(rows, self.height)[mask]] = True
        return pack(full)

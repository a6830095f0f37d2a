"""JSON objects that are alike but for their values, cut at their quotes.

Where no text has a quote inside, the quotes of an object are the ends of its texts, so that one cut
at each gives names, values and what is between them. Objects with the same names and signs between
them have them at the same places: one of them is read by the exact path, the others are compared.
That costs half of two passes of a regular expression over each (json_columns.py).
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.parse.skeletons import Plan

Rows = npt.NDArray[np.intp]

MOST_TEMPLATES: Final = 32
NUMBER: Final = r":[ ]?(-?[0-9][0-9.eE+-]*)"
"""As json_columns.py has it; there is one in a piece at most."""
PIECE: Final = pl.col("piece")
WITHOUT_NUMBER: Final = [PIECE.str.replace(NUMBER, "")]
NUMBER_OF: Final = [PIECE.str.extract(NUMBER, 1)]
TEXT: Final = pl.col("text")
CUT: Final = [TEXT.str.split('"')]


class Pieces(NamedTuple):
    """All pieces of all texts, and where those of each begin and how many they are."""

    flat: pl.Series
    starts: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]

    def at(self, rows: Rows, places: npt.NDArray[np.int64]) -> pl.Series:
        """The pieces at these places of each row, row by row."""
        return self.flat[pl.Series((self.starts[rows][:, None] + places).ravel())]


class Template(NamedTuple):
    """`slots`: the piece in which each value is; `numbers`: which of the slots are numbers."""

    plan: Plan
    slots: npt.NDArray[np.int64]
    numbers: npt.NDArray[np.bool_]


class Alike(NamedTuple):
    """`codes`: the plan of each row, the last one (None) where no template fits; of the others
    `counts` slots each and their `values`, one after the other."""

    plans: list[Plan | None]
    codes: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint32]
    values: pl.Series
    numbers: npt.NDArray[np.bool_]


def match(texts: pl.Series, slot: re.Pattern[str], plan: Callable[[str], Plan | None]) -> Alike:
    """Texts without quotes inside of texts. `plan` is that of a text whose slots are found."""
    lists = texts.alias("text").to_frame().select(CUT).to_series()
    counts = pairs.lengths(lists).astype(np.int64)
    flat = lists.explode(empty_as_null=False, keep_nulls=False)
    pieces = Pieces(flat, np.cumsum(counts) - counts, counts)
    found: list[tuple[Template, Rows]] = []
    left = np.arange(len(texts))
    for _ in range(MOST_TEMPLATES):
        if not len(left):
            break
        template = _template(texts[int(left[0])], slot, plan)
        if template is None:
            left = left[1:]
            continue
        same = left[counts[left] == counts[left[0]]]
        alike = same[_equal(pieces, template, same)]
        found.append((template, alike))
        left = np.setdiff1d(left, alike, assume_unique=True)
    return _arranged(pieces, found, len(texts))


def _template(
    text: str, slot: re.Pattern[str], plan: Callable[[str], Plan | None]
) -> Template | None:
    chosen = plan(text)
    if chosen is None:
        return None
    slots, numbers = [], []
    for found in slot.finditer(text):
        quotes = text.count('"', 0, found.start())
        is_number = not found[0].endswith('"')
        slots.append(quotes if is_number else quotes + 1)
        numbers.append(is_number)
    return Template(chosen, np.array(slots, dtype=np.int64), np.array(numbers, dtype=np.bool_))


def _equal(pieces: Pieces, template: Template, rows: Rows) -> npt.NDArray[np.bool_]:
    """Which rows, the first of which is the template, differ from it in its slots alone."""
    others = np.setdiff1d(np.arange(pieces.counts[rows[0]]), template.slots)
    wanted = pieces.at(rows[:1], others)
    repeated = wanted[pl.Series(np.tile(np.arange(len(others), dtype=np.uint32), len(rows)))]
    same: npt.NDArray[np.bool_] = (pieces.at(rows, others) == repeated).to_numpy()
    equal: npt.NDArray[np.bool_] = np.all(same.reshape(len(rows), -1), axis=1)
    for place in template.slots[template.numbers]:
        found = pieces.at(rows, np.array([place])).alias("piece").to_frame()
        rest = found.select(WITHOUT_NUMBER).to_series()
        # A piece without a number is longer than what is behind the template's.
        equal &= (rest == rest[0]).to_numpy()
    return equal


def _arranged(pieces: Pieces, found: list[tuple[Template, Rows]], height: int) -> Alike:
    codes = np.full(height, len(found), dtype=np.uint32)
    counts = np.zeros(height, dtype=np.int64)
    for code, (template, rows) in enumerate(found):
        codes[rows] = code
        counts[rows] = len(template.slots)
    offsets = np.cumsum(counts) - counts
    source = np.empty(int(counts.sum()), dtype=np.int64)
    numbers = np.zeros(len(source), dtype=np.bool_)
    for template, rows in found:
        places = offsets[rows][:, None] + np.arange(len(template.slots))
        source[places] = pieces.starts[rows][:, None] + template.slots
        numbers[places] = template.numbers
    values = pieces.flat[pl.Series(source)]
    written = np.flatnonzero(numbers)
    if len(written):
        texts = values[written].alias("piece").to_frame().select(NUMBER_OF).to_series()
        values = values.scatter(written, texts)
    plans: list[Plan | None] = [template.plan for template, _ in found]
    return Alike([*plans, None], codes, counts.astype(np.uint32), values, numbers)

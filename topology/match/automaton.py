"""One Aho-Corasick pass over a column answers all its equals, startswith, endswith and contains.

Each value is put between two marks, so that one automaton tells the four apart: `\\x02v\\x03` for
equals, `\\x02v` for startswith, `v\\x03` for endswith, `v` for contains.
"""

from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import accumulate, chain

import ahocorasick_rs
import numpy as np
import numpy.typing as npt
import polars as pl

from topology.match.atoms import Atom, OneOf, Text
from topology.match.columns import Column

FIRST, LAST = "\x02", "\x03"
TOGETHER = 64
"""Patterns whose rows are put together at a time, so that they stay in the processor's cache."""
MANY = 3_000
"""From so many elements on it is cheaper that Polars builds an automaton for the batch."""


def patterns(atom: Atom) -> list[str] | None:
    """What to look for on behalf of an atom; None if an automaton cannot answer it.

    One-byte texts are left out: they would be found in every value.
    """
    if isinstance(atom, OneOf):
        texts, before, after = sorted(atom.texts), FIRST, LAST
    elif isinstance(atom, Text) and not atom.cased:
        texts = [atom.text]
        before = FIRST if atom.how in ("equals", "startswith") else ""
        after = LAST if atom.how in ("equals", "endswith") else ""
    else:
        return None
    if any(FIRST in text or LAST in text for text in texts):
        return None
    found = [before + text + after for text in texts]
    return found if min(len(text.encode()) for text in found) > 1 else None


class Automaton:
    """The patterns of one column and the atoms that each of them makes true."""

    def __init__(self, atoms: Mapping[int, Atom]) -> None:
        owners: dict[str, list[int]] = {}
        for number, atom in atoms.items():
            for pattern in patterns(atom) or ():
                owners.setdefault(pattern, []).append(number)
        self.atoms = tuple(atoms)
        self.patterns = tuple(owners)
        self.owners = tuple(tuple(numbers) for numbers in owners.values())

    @cached_property
    def _built(self) -> ahocorasick_rs.BytesAhoCorasick:
        return ahocorasick_rs.BytesAhoCorasick([pattern.encode() for pattern in self.patterns])

    @cached_property
    def _names(self) -> pl.Enum:
        return pl.Enum(self.patterns)

    def scan(self, column: Column, known: list[int | None], true: set[int]) -> None:
        """Put into `known`, for each atom of this column that holds anywhere, the rows where it
        does, and its number into `true`; `known` has no rows for all of them before."""
        wide = len(column.elements) >= MANY
        found, elements = (self._find_wide if wide else self._find)(column)
        if not len(found):
            return
        present = np.zeros(len(self.patterns), dtype=np.bool_)
        present[found] = True
        hit = np.flatnonzero(present)
        places = (np.cumsum(present) - 1)[found]
        sets = _sets(column, len(hit), places, elements)
        for pattern, rows in zip(hit.tolist(), sets, strict=True):
            for number in self.owners[pattern]:
                known[number] = (known[number] or 0) | rows
            true.update(self.owners[pattern])

    def _find(self, column: Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Pattern and element of each occurrence."""
        values = [
            "" if value is None else f"{FIRST}{value}{LAST}"
            for value in column.values(None, lowered=True)
        ]
        text = "".join(values)
        if not text.count(FIRST) == text.count(LAST) == len(values) - values.count(""):
            values = _marked(column.lowered).to_list()
            text = "".join(values)
        if text.isascii():
            ends = np.fromiter(accumulate(map(len, values)), np.int64, len(values))
        else:
            ends = np.cumsum([len(value.encode()) for value in values])
        hits = self._built.find_matches_as_indexes(text.encode(), overlapping=True)
        flat = np.fromiter(chain.from_iterable(hits), dtype=np.int64, count=3 * len(hits))
        table = flat.reshape(-1, 3)
        return table[:, 0], np.searchsorted(ends, table[:, 1], side="right")

    def _find_wide(self, column: Column) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        marked = _marked(column.lowered)
        lists = marked.str.extract_many(list(self.patterns), overlapping=True)
        counts = lists.list.len().to_numpy()
        texts = lists.explode(empty_as_null=False, keep_nulls=False)
        found = texts.cast(self._names).to_physical().cast(pl.Int64).to_numpy()
        return found, np.repeat(np.arange(len(marked)), counts)


def _marked(lowered: pl.Series) -> pl.Series:
    """Values between marks; a null has none and is empty. Marks inside a value are replaced."""
    if lowered.str.contains_any([FIRST, LAST]).any():
        lowered = lowered.str.replace_many([FIRST, LAST], ["\ufffd", "\ufffd"])
    return pl.select(pl.lit(FIRST) + lowered + pl.lit(LAST)).to_series().fill_null("")


def _sets(
    column: Column,
    patterns: int,
    places: npt.NDArray[np.intp],
    elements: npt.NDArray[np.int64],
) -> Iterable[int]:
    """For each pattern the set of rows that have one of its elements."""
    masks = np.zeros((patterns, len(column.elements)), dtype=np.bool_)
    masks[places, elements] = True
    if column.owners is not None:
        for mask in masks:
            yield column.spread(mask, None)
        return
    for start in range(0, patterns, TOGETHER):
        some = masks[start : start + TOGETHER]
        if column.codes is not None:
            some = some[:, column.codes]
        packed = np.packbits(some, axis=1, bitorder="little")
        content, width = packed.tobytes(), packed.shape[1]
        for at in range(0, len(content), width):
            yield int.from_bytes(content[at : at + width], "little")

"""Structured texts by the skeletons that they share.

What a log writes repeats: its texts differ in values, the slots, and hardly in the rest, their
skeleton. The exact path reads a skeleton once, with numbered marks in its slots, and so finds which
slot has which name; the values of all texts are then put in place by index.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.dimension import Dimension
from topology.pairs import Flat

LONGEST = 4096
"""Longer skeletons are for the exact path, so that what is remembered stays small."""


class Plan(NamedTuple):
    """The names of a skeleton's pairs; for each the slot of its value, or -1 - n for the constant
    n. `blank`: slots that have to be blank. `total`: how many slots there are."""

    names: tuple[str, ...]
    slots: npt.NDArray[np.int64]
    constants: tuple[str, ...]
    blank: npt.NDArray[np.int64]
    total: int


class Slots(NamedTuple):
    """How many each text has, all their values one after the other, and which of them make their
    text one for the exact path."""

    counts: npt.NDArray[np.uint32]
    values: pl.Series
    bad: npt.NDArray[np.intp]


class Found(NamedTuple):
    """Pairs of all rows, and for which rows they are right."""

    pairs: Flat
    good: npt.NDArray[np.bool_]


NOT_BLANK = [pl.col("slot").str.strip_chars(" \t\n\ufeff") != ""]


def plan_of(
    names: Sequence[str], values: Sequence[int | str], blank: Sequence[int], total: int
) -> Plan | None:
    """`values`: slots and constants. None unless each slot is used once."""
    constants = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    slots = [-1 - constants.index(value) if isinstance(value, str) else value for value in values]
    if sorted([*(slot for slot in slots if slot >= 0), *blank]) != list(range(total)):
        return None
    return Plan(
        tuple(names),
        np.array(slots, dtype=np.int64),
        tuple(constants),
        np.array(blank, dtype=np.int64),
        total,
    )


def arrange(plans: Sequence[Plan | None], codes: npt.NDArray[np.uint32], slots: Slots) -> Found:
    """`codes`: which plan is that of each text; None for those of the exact path."""
    counts = slots.counts.astype(np.int64)
    known = np.array([-1 if plan is None else plan.total for plan in plans], dtype=np.int64)
    good = known[codes] == counts
    good[np.repeat(np.arange(len(counts)), counts)[slots.bad]] = False
    return Found(_placed(plans, codes, good, np.cumsum(counts) - counts, slots.values), good)


def _placed(
    plans: Sequence[Plan | None],
    codes: npt.NDArray[np.uint32],
    good: npt.NDArray[np.bool_],
    starts: npt.NDArray[np.int64],
    values: pl.Series,
) -> Flat:
    """The pairs of all good rows. Clears `good` where a slot is not blank that has to be."""
    constants = {text: None for plan in plans if plan is not None for text in plan.constants}
    numbered = {text: len(values) + number for number, text in enumerate(constants)}
    values = pl.concat([values, pl.Series(values.name, list(constants), dtype=pl.String)])
    by_code = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(plans)))
    names: dict[str, int] = {}
    places, numbers, sources = [], [], []
    for plan, alike in zip(plans, np.split(by_code, ends[:-1]), strict=True):
        rows = alike[good[alike]]
        if plan is None or len(rows) == 0:
            continue
        if len(plan.blank):
            between = (starts[rows, None] + plan.blank).ravel()
            filled = values[pl.Series(between)].to_frame("slot").select(NOT_BLANK).to_series()
            good[np.repeat(rows, len(plan.blank))[filled.to_numpy()]] = False
            rows = alike[good[alike]]
        fixed = np.array([numbered[text] for text in plan.constants] or [0], dtype=np.int64)
        is_fixed = plan.slots < 0
        source = starts[rows, None] + plan.slots
        source[:, is_fixed] = fixed[-1 - plan.slots[is_fixed]]
        known = np.array(
            [names.setdefault(name, len(names)) for name in plan.names], dtype=np.int64
        )
        sources.append(source.ravel())
        numbers.append(np.tile(known, len(rows)))
        places.append(np.repeat(rows, len(plan.slots)))
    if not places:
        return Flat(np.empty(0, dtype=np.uint32), values[:0], values[:0])
    place = np.concatenate(places)
    order = np.argsort(place, kind="stable")
    numbering = Dimension(np.concatenate(numbers)[order].astype(np.uint32), len(names))
    return Flat(
        place[order].astype(np.uint32),
        pl.Series(list(names), dtype=pl.String)[numbering.number],
        values[pl.Series(np.concatenate(sources)[order])],
        numbering,
    )


def together(first: Flat, second: Flat) -> Flat:
    """The pairs of different places, in the order of these."""
    places = np.concatenate([first.places, second.places])
    order = np.argsort(places, kind="stable")
    index = pl.Series(order)
    names = pl.concat([first.names.alias("name"), second.names.alias("name")])[index]
    values = pl.concat([first.values.alias("value"), second.values.alias("value")])[index]
    return Flat(places[order], names, values)


def as_pairs(found: Found) -> pl.Series:
    """The column of pairs."""
    return pairs.build(found.pairs, len(found.good))

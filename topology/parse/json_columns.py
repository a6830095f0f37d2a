"""Many JSON objects flat at once (as flat_json.py has one), by the skeletons that they share.

The slots are texts and numbers that are values of names. A colon and a quote inside a text are
taken for the start of a slot too; but then the skeleton, with a mark between quotes in place of the
slot, is no JSON, as a text would end there and go on, and is left to the exact path.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson
import polars as pl

from topology import pairs
from topology.dimension import SMALL, factorize
from topology.pairs import Flat
from topology.parse import json_templates
from topology.parse.parsed import MalformedError
from topology.parse.skeletons import LONGEST, Found, Plan, Slots, arrange, plan_of, together

MARK: Final = "\x1f"
SLOT: Final = r':[ ]?(?:"(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*)'
PATTERN: Final = re.compile(SLOT)
TEXT: Final = pl.col("text")
QUOTE_INSIDE: Final = [TEXT.str.contains('\\"', literal=True)]
UNUSUAL: Final = "[\x00-\x1f]"
SLOTTED: Final = pl.col("slot")
IS_TEXT: Final = SLOTTED.str.ends_with('"').alias("is_text")
QUOTE: Final = pl.col("is_text").cast(pl.Int64)
BEGIN: Final = 1 + SLOTTED.str.starts_with(": ").cast(pl.Int64) + QUOTE
INNER: Final = [
    SLOTTED.cast(pl.Binary)
    .bin.slice(BEGIN, SLOTTED.str.len_bytes().cast(pl.Int64) - BEGIN - QUOTE)
    .cast(pl.String)
]
"""Without the colon, a blank and, around texts, quotes: a slice of bytes costs a third of stripping
them one by one."""
ESCAPED: Final = [SLOTTED.str.contains("\\", literal=True)]
NUMBER: Final = r"^(?:-?[1-9][0-9]*|0)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$"
BROKEN: Final = [~SLOTTED.str.contains(NUMBER)]
LARGEST: Final = 1 << 26
"""Bytes of a batch that are copied to be looked at together."""
MOST_SKELETONS: Final = 4
"""Of so many texts one may have a skeleton of its own; else columns are no quicker."""

Read = Callable[[str], tuple[list[str], list[str]]]


def read_many(texts: pl.Series, read: Read) -> Found:
    """What `read` gives for each object."""
    frame = texts.to_frame("text")
    if _any_control(texts):
        odd = frame.select(TEXT.str.contains(UNUSUAL)).to_series()
        frame = frame.select(pl.when(~odd).then(TEXT).otherwise(pl.lit("")).alias("text"))
    plain = np.flatnonzero(~frame.select(QUOTE_INSIDE).to_series().to_numpy())
    if len(plain) < SMALL:
        return _by_slots(frame, read)
    whole = len(plain) == len(texts)
    chosen = (frame if whole else frame[plain])["text"]
    alike = json_templates.match(chosen, PATTERN, lambda text: _plan_of(text, read))
    values, bad = _checked(alike.values, np.flatnonzero(alike.numbers))
    found = arrange(alike.plans, alike.codes, Slots(alike.counts, values, bad))
    unlike = alike.codes == len(alike.plans) - 1
    if whole and not unlike.any():
        return found
    is_left = np.ones(len(texts), dtype=np.bool_)
    is_left[plain[~unlike]] = False
    left = np.flatnonzero(is_left)
    rest = _by_slots(frame[left], read)
    good = np.zeros(len(texts), dtype=np.bool_)
    good[plain] = found.good
    good[left] = rest.good
    return Found(together(_moved(found.pairs, plain), _moved(rest.pairs, left)), good)


def _moved(flat: Flat, rows: npt.NDArray[np.intp]) -> Flat:
    return flat._replace(places=rows[flat.places].astype(np.uint32))


def _by_slots(frame: pl.DataFrame, read: Read) -> Found:
    """As `read_many`, whatever the texts have inside."""
    skeletons, slots = frame.select(
        TEXT.str.replace_all(SLOT, MARK).alias("skeleton"),
        TEXT.str.extract_all(SLOT).alias("slots"),
    ).get_columns()
    (structure,) = factorize(skeletons.to_frame(), ["skeleton"])
    plans: list[Plan | None] = [None] * structure.size
    if structure.size * MOST_SKELETONS <= frame.height:
        plans = [_plan(each, read) for each in structure.distinct(skeletons).to_list()]
    values, bad = _values(slots.explode(empty_as_null=False, keep_nulls=False).to_frame("slot"))
    return arrange(plans, structure.codes, Slots(pairs.lengths(slots), values, bad))


def _plan_of(text: str, read: Read) -> Plan | None:
    return _plan(PATTERN.sub(MARK, text), read)


def _any_control(texts: pl.Series) -> bool:
    """Whether any text may have a control character: one look over all bytes together, which is
    for batches that are no burden to copy."""
    if (texts.str.len_bytes().sum() or 0) > LARGEST:
        return True
    whole: str = texts.str.join("").item()
    return bool((np.frombuffer(whole.encode(), dtype=np.uint8) < 0x20).any())


def _values(slots: pl.DataFrame) -> tuple[pl.Series, npt.NDArray[np.intp]]:
    """The texts in slots, and which of them are for the exact path."""
    slots = slots.with_columns(IS_TEXT)
    numbers = np.flatnonzero(~slots["is_text"].to_numpy())
    return _checked(slots.select(INNER).to_series(), numbers)


def _checked(
    values: pl.Series, numbers: npt.NDArray[np.intp]
) -> tuple[pl.Series, npt.NDArray[np.intp]]:
    """Values as they are meant, and which of them are for the exact path; some are numbers."""
    broken = values[numbers].to_frame("slot").select(BROKEN).to_series()
    bad = numbers[broken.to_numpy()]
    places = np.flatnonzero(values.to_frame("slot").select(ESCAPED).to_series().to_numpy())
    if len(places):
        quoted = values[places].to_list()
        try:
            texts = orjson.loads('["' + '","'.join(quoted) + '"]')
        except orjson.JSONDecodeError:
            return values, np.concatenate([bad, places])
        values = values.scatter(places, pl.Series(texts, dtype=pl.String))
    return values, bad


@lru_cache(maxsize=512)
def _plan(skeleton: str, read: Read) -> Plan | None:
    """None for a skeleton whose texts are for the exact path."""
    if r"\u001" in skeleton or not skeleton or len(skeleton) > LONGEST:
        return None
    *parts, last = skeleton.split(MARK)
    filled = "".join(f'{part}:"\\u001f{number}"' for number, part in enumerate(parts)) + last
    try:
        names, values = read(filled)
    except MalformedError:
        return None
    found = [int(value[1:]) if value.startswith(MARK) else value for value in values]
    return plan_of(names, found, [], len(parts))

"""Many XML documents at once, for documents that look like nearly all do.

What differs between the documents of a log are texts and values of attributes; the rest is their
skeleton (skeletons.py). A document is well-formed if its skeleton is and its texts and values hold
nothing but characters, which UNUSUAL and REFERENCE see to; all others are for the exact path.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from topology import pairs
from topology.dimension import factorize
from topology.parse.parsed import MalformedError
from topology.parse.skeletons import LONGEST, Found, Plan, Slots, arrange, plan_of

VALUE_MARK: Final = "\x1f"
TEXT_MARK: Final = "\x1e"
VALUE: Final = "='[^'<]*'" + "|" + '="[^"<]*"'
LEAF: Final = ">[^<]*</"
SLOT: Final = f"{LEAF}|{VALUE}"
DECLARATION: Final = (
    r"^<\?xml version=['\"]1\.0['\"](?: encoding=['\"][Uu][Tt][Ff]-8['\"])?"
    r"(?: standalone=['\"](?:yes|no)['\"])? ?\?>[ \t\r\n]*"
)
TEXT: Final = pl.col("text")
TRIMMED: Final = TEXT.str.strip_chars_start(" \t\r\n\ufeff").str.strip_chars_end(" \t\r\n")
DECLARED: Final = TEXT.str.starts_with("<?").any()
UNUSUAL: Final = "[\x00-\x08\x0b-\x1f\ufffe\uffff]|<[!?]|]]>"
"""Characters that are none of XML's or change when it is read, and what is neither tag nor text."""
MARKED: Final = TEXT.str.replace_all(VALUE, VALUE_MARK).str.replace_all(LEAF, TEXT_MARK)
REFERENCE: Final = "&(?:lt|gt|amp|quot|apos|#(?:9|10|13|x9|xA|xD|xa|xd));"
ENTITIES: Final = {
    "&lt;": "<",
    "&gt;": ">",
    "&amp;": "&",
    "&quot;": '"',
    "&apos;": "'",
    **dict.fromkeys(("&#9;", "&#x9;"), "\t"),
    **dict.fromkeys(("&#10;", "&#xA;", "&#xa;"), "\n"),
    **dict.fromkeys(("&#13;", "&#xD;", "&#xd;"), "\r"),
}
SLOTTED: Final = pl.col("slot")
BYTES: Final = SLOTTED.cast(pl.Binary)
IS_LEAF: Final = SLOTTED.str.starts_with(">")
INNER: Final = BYTES.bin.slice(
    pl.when(IS_LEAF).then(1).otherwise(2), SLOTTED.str.len_bytes() - 3
).cast(pl.String)
"""`>text</` and `='value'` have three characters that are not the text."""
REFERRING: Final = SLOTTED.str.contains("&", literal=True).alias("referring")
BROKEN: Final = (~IS_LEAF & SLOTTED.str.contains("[\t\n]")).alias("broken")
"""White space in an attribute's value is changed when it is read."""
RESOLVED: Final = SLOTTED.str.replace_many(ENTITIES)
UNKNOWN: Final = (
    SLOTTED.str.count_matches("&", literal=True) != SLOTTED.str.count_matches(REFERENCE)
).alias("unknown")
MARKS: Final = re.compile(f"{VALUE_MARK}|{TEXT_MARK}")

Read = Callable[[str], list[tuple[str, str]]]


def read_many(texts: pl.Series, read: Read) -> Found:
    """What `read` gives for each document."""
    frame = texts.to_frame("text").select(TRIMMED)
    if frame.select(DECLARED).item():
        frame = frame.select(TEXT.str.replace(DECLARATION, ""))
    odd = frame.select(TEXT.str.contains(UNUSUAL)).to_series()
    frame = frame.select(pl.when(~odd).then(TEXT).otherwise(pl.lit("")).alias("text"))
    skeletons, slots = frame.select(
        MARKED.alias("skeleton"), TEXT.str.extract_all(SLOT).alias("slots")
    ).get_columns()
    (structure,) = factorize(skeletons.to_frame(), ["skeleton"])
    plans = [
        _plan(each, read) if len(each) <= LONGEST else None
        for each in structure.distinct(skeletons).to_list()
    ]
    values, bad = _values(slots.explode(empty_as_null=False, keep_nulls=False).to_frame("slot"))
    return arrange(plans, structure.codes, Slots(pairs.lengths(slots), values, bad))


def _values(slots: pl.DataFrame) -> tuple[pl.Series, npt.NDArray[np.intp]]:
    """The texts in slots, and which of them are for the exact path."""
    texts, referring, broken = slots.select(INNER.alias("slot"), REFERRING, BROKEN).get_columns()
    bad = np.flatnonzero(broken.to_numpy())
    places = np.flatnonzero(referring.to_numpy())
    if len(places):
        resolved, unknown = texts[places].to_frame("slot").select(RESOLVED, UNKNOWN).get_columns()
        texts = texts.scatter(places, resolved)
        bad = np.concatenate([bad, places[unknown.to_numpy()]])
    return texts, bad


@lru_cache(maxsize=512)
def _plan(skeleton: str, read: Read) -> Plan | None:
    """None for a skeleton whose documents are for the exact path."""
    if "'" in skeleton or '"' in skeleton or "&" in skeleton or not skeleton:
        return None
    blank: list[int] = []
    count = 0

    def numbered(mark: re.Match[str]) -> str:
        nonlocal count
        count += 1
        if mark[0] == VALUE_MARK:
            return f"='{count}'"
        before = skeleton[: mark.start()]
        if before.endswith("/") or before.rfind("<") < before.rfind(TEXT_MARK):
            blank.append(count - 1)
            return "></"
        return f">{count}</"

    try:
        found = read(MARKS.sub(numbered, skeleton))
    except MalformedError:
        return None
    if any(value and not value.isdecimal() for _, value in found):
        return None
    names = [name for name, _ in found]
    return plan_of(names, [int(value) - 1 if value else "" for _, value in found], blank, count)

"""Values of any column as text, the same wherever a rule, a group or a key reads them."""

import hashlib
from collections.abc import Sequence
from typing import Final

import polars as pl

FINAL_SIGMA: Final = ("\u03c2", "\u03c3")
"""The one letter whose small form depends on what follows it, and the other form. What is compared
must not: the same text stands alone in one place and in front of more in another."""
LONGEST: Final = 8_192
"""Characters of a value that detection keeps as it is. A group is in the key and the value of its
matches, in keys of stores and twice in its alert: as long as a line may be, it would fit none."""
BEGINNING: Final = 2_000
"""Characters that are kept of a longer one."""
CUT: Final = " characters, BLAKE2b "
ENDING: Final = 80
"""Characters at most that follow these."""


def as_text(series: pl.Series) -> pl.Series:
    """A series as String; whole floats keep their `.0`, nested values become JSON, but for the one
    element of a list, which is as if it were alone, and an empty list, which is no value."""
    if series.dtype == pl.String:
        return series
    if series.dtype in (pl.Binary, pl.Null):
        return series.cast(pl.String, strict=False)
    if isinstance(series.dtype, pl.Struct):
        return series.struct.json_encode()
    if isinstance(series.dtype, pl.List):
        return _list_text(series)
    return series.cast(pl.String)


def _list_text(series: pl.Series) -> pl.Series:
    """Each list as text. Whether an attribute is a list in a batch depends on the others in it."""
    written = pl.struct(pl.col("v")).struct.json_encode().str.slice(len('{"v":')).str.head(-1)
    found = series.to_frame("v").select(
        "v", pl.col("v").list.len().alias("n"), written.alias("text")
    )
    alone = as_text(found["v"].list.first())
    several = found["text"].set(found["n"].fill_null(0) == 0, None)
    return several.zip_with(~(found["n"] == 1).fill_null(value=False), alone).alias(series.name)


def folded(text: str) -> str:
    """A text as it is compared without regard to case."""
    return text.lower().replace(*FINAL_SIGMA)


def column_folded(texts: pl.Series) -> pl.Series:
    """The same of a column (String)."""
    found = texts.str.to_lowercase()
    if found.str.contains(FINAL_SIGMA[0], literal=True).any():
        return found.str.replace_all(*FINAL_SIGMA, literal=True)
    return found


def shortened(text: str, longest: int = LONGEST, beginning: int = BEGINNING) -> str:
    """A text that is too long as its beginning, its length and a hash, which tells it from others
    that begin alike."""
    if len(text) <= longest:
        return text
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    return f"{text[:beginning]}… ({len(text)}{CUT}{digest})"


def is_shortened(text: str) -> bool:
    """Whether `shortened` made it."""
    return text.endswith(")") and CUT in text[-ENDING:]


def all_shortened(
    texts: Sequence[str | None], longest: int = LONGEST, beginning: int = BEGINNING
) -> list[str | None]:
    """Each of them."""
    return [
        text if text is None or len(text) <= longest else shortened(text, longest, beginning)
        for text in texts
    ]


def column_shortened(
    texts: pl.Series, longest: int = LONGEST, beginning: int = BEGINNING
) -> pl.Series:
    """The same of a column (String), which costs next to nothing where nothing is too long."""
    most = texts.str.len_bytes().max()
    if not isinstance(most, int) or most <= longest:
        return texts
    return pl.Series(
        texts.name, all_shortened(texts.to_list(), longest, beginning), dtype=pl.String
    )

"""Many Partials at once, in columns: the bytes of schemas.packed without a loop over groups.

Columns of Binary are put after each other by the columns engine; what belongs to one group is a
slice of one long value.
"""

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import packed

Places = npt.NDArray[np.int64]
FEW: Final = 1_024
"""Parts up to which a loop is quicker than the fixed cost of columns: 0.1 µs each, and 0.6 ms."""


@cache
def _table(size: int) -> pl.Series:
    """The Avro longs from 0 on."""
    return pl.Series([packed.long(number) for number in range(size)], dtype=pl.Binary)


def longs(numbers: pl.Series) -> pl.Series:
    """Numbers that are not negative as Avro longs (Binary)."""
    greatest = int(numbers.max() or 0)  # type: ignore[arg-type]  # of integers
    if greatest < 1 << 16:
        return _table(1 << max(10, greatest.bit_length())).gather(numbers.cast(pl.UInt32))
    return pl.Series(map(packed.long, numbers.to_list()), dtype=pl.Binary)


def with_length(column: pl.Series) -> pl.Series:
    """Binary values as Avro bytes or strings: each after its length."""
    return longs(column.bin.size()) + column


def slices(content: bytes, starts: Places, sizes: Places) -> pl.Series:
    """Parts of one long value (Binary)."""
    if len(starts) <= FEW:
        bounds = zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
        return pl.Series([content[first:end] for first, end in bounds], dtype=pl.Binary)
    places = pl.DataFrame({"start": starts, "size": sizes})
    part = pl.lit(content, dtype=pl.Binary).bin.slice(pl.col("start"), pl.col("size"))
    return places.select(part).to_series()


def joined(texts: pl.Series, separator: str, firsts: Places, counts: Places) -> pl.Series:
    """Texts of consecutive rows in one value for each group (Binary).

    A group has `counts` rows from `firsts` on; the groups cover all rows in order.
    """
    ends = np.cumsum(texts.str.len_bytes().to_numpy().astype(np.int64) + len(separator.encode()))
    content = texts.str.join(separator)[0].encode()
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))[firsts]
    sizes = ends[firsts + counts - 1] - len(separator.encode()) - starts
    return slices(content, starts, sizes)


def head_ends(groups: Sequence[pl.Series]) -> pl.Series:
    """What follows tenant and name in the heads of groups; `groups` has a column for each field."""
    count = packed.long(len(groups))
    columns = [with_length(group.cast(pl.Binary)).alias(str(at)) for at, group in enumerate(groups)]
    expression = pl.lit(count)
    for column in columns:
        expression = expression + pl.col(column.name)
    return pl.DataFrame(columns).select(expression + pl.lit(b"\0")).to_series()


def partials(
    opening: bytes,
    heads: pl.Series | bytes,
    matches: tuple[pl.Series, pl.Series, pl.Series | None, pl.Series | None],
    source: bytes,
) -> pl.Series:
    """Partials from `packed.opening`, `head_ends` (or the same for all), and `text` of the source.

    `matches`: times, uids, values and evidence of each; None for those that have none.
    """
    members = {"head": heads} if isinstance(heads, pl.Series) else {}
    expression = pl.lit(opening)
    expression = expression + (pl.lit(heads) if isinstance(heads, bytes) else pl.col("head"))
    for number, member in enumerate(matches):
        if member is None:
            expression = expression + pl.lit(b"\0")
        else:
            members |= {f"size {number}": longs(member.bin.size()), str(number): member}
            expression = expression + pl.col(f"size {number}") + pl.col(str(number))
    return pl.DataFrame(members).select(expression + pl.lit(source)).to_series()

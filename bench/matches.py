"""Events that rules match, and batches of `matches` as sub-topology 2 reads them, in memory.

Times are in ms; events come at 10,000 a second.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.codec import encode
from topology.records import Batch
from topology.rules import Records

BATCH = 20_000
BASE_MS = 1_769_522_400_000
RATE_PER_MS = 10

Values = list[bytes | None]


def events(
    rows: npt.NDArray[np.int64], users: npt.NDArray[np.int64], paths: npt.NDArray[np.int64]
) -> pl.DataFrame:
    """The rows-th events of a stream: `time`, `metadata.uid`, `user` and `path`."""
    user, path, row = pl.Series("user", users), pl.Series("path", paths), pl.Series(rows)
    return pl.DataFrame(
        {
            "time": BASE_MS + rows // RATE_PER_MS,
            "metadata.uid": pl.select(pl.format("AbCdEfGhIjK-3-{}", row)).to_series(),
            "user": pl.select(pl.format("AD\\user{}", user)).to_series(),
            "path": pl.select(pl.format("/share/folder/{}.docx", path)).to_series(),
        }
    )


def flattened(records: Records) -> tuple[Values, Values]:
    """Keys and values, one by one."""
    batched = [value for _, value in records.batches]
    return [*plain(records.keys), *[b""] * len(batched)], [*plain(records.values), *batched]


def plain(column: Sequence[bytes | None] | pl.Series) -> Values:
    """Keys or values as a list."""
    return column.to_list() if isinstance(column, pl.Series) else list(column)


def batch(keys: Values, values: Values, *, watermark: int | None = None) -> Batch:
    """Records of one partition, and behind them the watermark of its source `s`, if given."""
    if watermark is not None:
        mark = {"topic": "raw.s", "partition": 0, "watermark": watermark}
        keys, values = [*keys, b""], [*values, encode("Watermark", mark)]
    count = len(values)
    return Batch(
        "matches",
        np.zeros(count, np.int32),
        np.arange(count, dtype=np.int64),
        np.full(count, BASE_MS, np.int64),
        keys,
        values,
    )

"""Values of any column as text, the same wherever a rule, a group or a key reads them."""

import polars as pl


def as_text(series: pl.Series) -> pl.Series:
    """A series as String; whole floats keep their `.0`, nested values become JSON."""
    if series.dtype == pl.String:
        return series
    if series.dtype in (pl.Binary, pl.Null):
        return series.cast(pl.String, strict=False)
    if isinstance(series.dtype, pl.Struct):
        return series.struct.json_encode()
    return series.cast(pl.String)

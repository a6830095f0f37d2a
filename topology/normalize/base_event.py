"""Columns that every Base Event (class 0) of OCSF has: an event of which only the text is known."""

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import ocsf

UNKNOWN: Final = 0
SEVERITIES: Final = pl.Series([ocsf.SEVERITY_NAMES[number] for number in range(7)])


def base_event(
    rows: int, severity: npt.NDArray[np.int64], product: pl.Series, log_name: str
) -> dict[str, pl.Series]:
    """`severity`: OCSF severity_id per row. `product`: its name per row."""

    def constant(value: int | str) -> pl.Series:
        return pl.Series([value]).new_from_index(0, rows)

    return {
        "activity_id": constant(UNKNOWN),
        "category_uid": constant(UNKNOWN),
        "class_uid": constant(ocsf.BASE_EVENT),
        "class_name": constant(ocsf.CLASS_NAMES[ocsf.BASE_EVENT]),
        "type_uid": constant(ocsf.BASE_EVENT * 100 + UNKNOWN),
        "severity_id": pl.Series(severity),
        "severity": SEVERITIES[pl.Series(severity)],
        "metadata.version": constant(ocsf.VERSION),
        "metadata.product.name": product,
        "metadata.log_name": constant(log_name),
    }

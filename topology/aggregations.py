"""The aggregations of a source, with conditions in the syntax of Sigma, as filters have them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from topology.aggregate.aggregation import Aggregation
from topology.filters import NO_FILTERS, Filters


@dataclass(frozen=True, slots=True)
class Aggregations:
    """Those of one source, in order: an event belongs to the first that wants it.

    There may be none of them: then what is still open is closed, and nothing is opened.
    """

    entries: tuple[Aggregation, ...] = ()
    conditions: Filters = NO_FILTERS

    @property
    def window_ms(self) -> int:
        """The longest window."""
        return max((entry.window_ms for entry in self.entries), default=0)

    def holding(self, events: pl.DataFrame) -> Sequence[npt.NDArray[np.bool_]]:
        """The rows that each condition matches."""
        return self.conditions.holding(events) if self.conditions else ()

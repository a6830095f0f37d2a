"""What a correlation type has to offer: a scan over matches in their order."""

import math
from fractions import Fraction
from typing import Protocol, TypeAlias

from topology.rules import Correlation

Value: TypeAlias = str | tuple[str, ...] | None
"""What a correlation counts of a match: the field's text, or a tuple for several fields."""


class Scan(Protocol):
    """Takes matches in their order and says where the condition comes true.

    Only for gte and gt, which are judged at each match for the window that ends with it.
    """

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether the condition holds in `(time - timespan, time]`."""


def threshold(count: float) -> int | Fraction:
    """The number of a condition, exactly as it is written."""
    return Fraction(repr(count)) if isinstance(count, float) else count


def needed(correlation: Correlation) -> int:
    """The least number that fulfils a gte or gt condition."""
    count = correlation.count
    return max(1, math.ceil(count) if correlation.operator == "gte" else math.floor(count) + 1)

"""What a correlation type has to offer: a scan over matches in (time, uid) order."""

import math
from typing import Protocol, TypeAlias

from topology.rules import Correlation

Value: TypeAlias = str | tuple[str, ...] | None
"""What a correlation counts of a match: the field's text, or a tuple for several fields."""


class Scan(Protocol):
    """Takes matches in (time, uid) order and says where the condition comes true.

    Only for conditions that more matches cannot make false again (gte, gt).
    """

    def add(self, time: int, value: Value) -> bool:
        """Take the next match; whether the condition holds in `(time - timespan, time]`."""


def needed(correlation: Correlation) -> int:
    """The least number that fulfils a gte or gt condition."""
    count = correlation.count
    return max(1, math.ceil(count) if correlation.operator == "gte" else math.floor(count) + 1)

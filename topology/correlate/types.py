"""The correlation types, by their names in rules. A new type is a file and a line here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from topology.correlate.event_count import EventCount
from topology.correlate.scan import Scan, Value
from topology.correlate.value_count import ValueCount
from topology.rules import Correlation


@dataclass(frozen=True, slots=True)
class CorrelationType:
    """How a type looks for its condition, and what its condition compares in a whole window."""

    scan: Callable[[Correlation], Scan]
    measure: Callable[[Sequence[Value]], float]
    counts_values: bool = False


def _distinct(values: Sequence[Value]) -> int:
    return len(set(values))


TYPES: Mapping[str, CorrelationType] = {
    "event_count": CorrelationType(EventCount, len),
    "value_count": CorrelationType(ValueCount, _distinct, counts_values=True),
}

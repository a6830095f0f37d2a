"""The correlation types, by their names in rules. A new type is a file and a line here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from topology.correlate.event_count import EventCount
from topology.correlate.numeric import Average, Number, Numeric, Percentile, Statistic, Sum, whole
from topology.correlate.scan import Scan, Value, needed
from topology.correlate.temporal import any_order, in_order, rules_seen, steps_seen
from topology.correlate.value_count import ValueCount
from topology.rules import Correlation


@dataclass(frozen=True, slots=True)
class CorrelationType:
    """How a type looks for its condition, and what its condition compares in a whole window.

    `one_may_do`: whether a single match can make a condition true, whatever number that names.
    """

    scan: Callable[[Correlation], Scan]
    measure: Callable[[Correlation, Sequence[Value]], Number | None]
    counts_values: bool = False
    one_may_do: bool = False


def _matches(_: Correlation, values: Sequence[Value]) -> int:
    return len(values)


def _distinct(_: Correlation, values: Sequence[Value]) -> int:
    return len(set(values))


def _numeric(statistic: Callable[[Correlation], Statistic]) -> CorrelationType:
    return CorrelationType(
        scan=lambda correlation: Numeric(correlation, statistic(correlation)),
        measure=lambda correlation, values: whole(statistic(correlation), values),
        one_may_do=True,
    )


TYPES: Mapping[str, CorrelationType] = {
    "event_count": CorrelationType(EventCount, _matches),
    "value_count": CorrelationType(ValueCount, _distinct, counts_values=True),
    "temporal": CorrelationType(any_order, rules_seen, one_may_do=True),
    "temporal_ordered": CorrelationType(in_order, steps_seen),
    "value_sum": _numeric(Sum),
    "value_avg": _numeric(Average),
    "value_percentile": _numeric(Percentile),
    "value_median": _numeric(Percentile),
}


def fewest(correlation: Correlation) -> int:
    """The least number of matches with which a gte or gt condition can be true."""
    return 1 if TYPES[correlation.type].one_may_do else needed(correlation)

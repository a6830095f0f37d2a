"""What a lane has done so far; written by its thread, read by others."""

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(slots=True)
class Totals:
    """Counts of records since the start, where not said otherwise."""

    delivered: int = 0
    """Which the receiver has."""
    retried: int = 0
    """Under way when a connection was lost, and so sent again."""
    refused: int = 0
    """Which the receiver refused for good, and which were kept with its reason."""
    skipped: int = 0
    """Which are not for the receiver: alerts that a response does not choose, or has answered."""
    summed: int = 0
    """Which the receiver is told of in a summary, because they were too many."""
    expired: int = 0
    """Offsets that retention removed before they were delivered."""
    failures: int = 0
    """Connections lost or not made."""
    lag: int | None = None
    """Offsets between what the receiver has and the end of the partitions, as of now; None where it
    is not known."""
    connected: str = ""
    """The address, as of now."""


COUNTS = tuple(each.name for each in fields(Totals) if each.type == "int" or each.type is int)


def added(totals: Iterable[Totals]) -> Totals:
    """The sum of lanes."""
    result = Totals()
    for each in totals:
        for name in COUNTS:
            setattr(result, name, getattr(result, name) + getattr(each, name))
        if each.lag is not None:
            result.lag = (result.lag or 0) + each.lag
        result.connected = ", ".join(filter(None, (result.connected, each.connected)))
    return result

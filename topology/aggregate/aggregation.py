"""What an aggregation says: which events are similar, and what becomes of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aggregation:
    """Events of one type with equal values of `by` in one tumbling event-time window are one event.

    `by` are attributes; absent is a value of its own. `window_ms` is the length of the windows,
    which are aligned to the epoch. `keep`: attributes, or objects, that the event has of the first
    one beside those of `by`; None: all of them. `limit`: at most so many events in one.
    `originals`: they go on as well. `when`: number of a condition
    (topology/aggregations.py); None: all events.
    """

    name: str
    by: tuple[str, ...]
    window_ms: int
    keep: tuple[str, ...] | None = None
    limit: int | None = None
    originals: bool = False
    when: int | None = None

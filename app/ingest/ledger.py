"""What a listener received and what became of it: received = published + refused + in flight."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True)
class Ledger:
    """Counters of one listener since it started. All are messages unless the name says otherwise.

    `empty` lines are no messages and `incomplete` ones are received like others: their bytes go to
    the raw topic as they came, count of octets included, and become dead letters there.
    """

    protocol: str
    source: str
    address: str = ""
    received: int = 0
    bytes: int = 0
    empty: int = 0
    oversize: int = 0
    dropped_bytes: int = 0
    malformed: int = 0
    incomplete: int = 0
    connections: int = 0
    connections_total: int = 0
    connections_refused: int = 0
    pauses: int = 0
    published: int = 0
    in_flight: int = 0
    retried: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def balanced(self) -> bool:
        """Whether every message received is accounted for."""
        return self.received == self.published + self.refused.total() + self.in_flight

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `balanced`."""
        return {**asdict(self), "refused": dict(self.refused), "balanced": self.balanced}

"""What a listener received and what became of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.ingest.publisher import Publisher
    from app.ingest.spill import Spill


@dataclass(slots=True)
class Ledger:
    """Counters of one listener since it started. All are messages unless the name says otherwise.

    received + recovered = published + spooled + refused + dropped + in flight. `recovered` messages
    were in the spool when the listener started. `dropped` ones found it full; those that the kernel
    dropped before they were received are `kernel_drops`.

    `empty` lines are no messages and `incomplete` ones are received like others: their bytes go to
    the raw topic as they came, count of octets included, and become dead letters there.
    """

    protocol: str
    source: str
    address: str = ""
    received: int = 0
    recovered: int = 0
    bytes: int = 0
    empty: int = 0
    oversize: int = 0
    dropped_bytes: int = 0
    malformed: int = 0
    incomplete: int = 0
    connections: int = 0
    connections_total: int = 0
    connections_refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    pauses: int = 0
    published: int = 0
    in_flight: int = 0
    spooled: int = 0
    spooled_bytes: int = 0
    dropped: int = 0
    kernel_drops: int = 0
    retried: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    acknowledgements: int = 0
    acknowledgement_s: float = 0.0

    @property
    def balanced(self) -> bool:
        """Whether every message received is accounted for."""
        became = self.published + self.spooled + self.refused.total() + self.dropped
        return self.received + self.recovered == became + self.in_flight

    def add_publishers(self, publishers: Sequence["Publisher"], spills: Sequence["Spill"]) -> None:
        """Bring what publishers and spools know up to date."""
        self.in_flight = sum(each.in_flight for each in publishers)
        self.published = sum(each.published for each in publishers)
        self.retried = sum(each.retried for each in publishers)
        self.refused = sum((each.refused for each in publishers), Counter())
        self.acknowledgements = sum(each.receipts for each in publishers)
        self.acknowledgement_s = sum(each.latency_s for each in publishers)
        self.spooled = sum(each.spooled for each in spills)
        self.spooled_bytes = sum(each.spool.size for each in spills)
        self.recovered = sum(each.spool.recovered for each in spills)
        self.dropped = sum(each.spool.dropped for each in spills)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with `balanced`."""
        plain = {"refused": dict(self.refused), "faults": dict(self.faults)}
        return {**asdict(self), **plain, "balanced": self.balanced}

"""What a copy has done so far, for its ledger."""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Totals:
    """What was copied so far. Replaced as a whole, so that a reader never sees half of it."""

    copied: int = 0
    bytes: int = 0
    empty: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    transactions: int = 0
    transaction_s: float = 0.0

    def plus(self, **more: Any) -> "Totals":
        """With so much more of these."""
        return replace(self, **{name: getattr(self, name) + more[name] for name in more})

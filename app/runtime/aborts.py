"""How often in a row transactions may be aborted before a process ends."""

import time
from typing import Final

from app.runtime.errors import EngineError, TransactionAborted

ABORTS: Final = 10
"""Aborts in a row after which the process ends."""
STUCK: Final = 0.8, 3
"""It also ends after fewer, but so many, when they took this share of the stall time-out."""


class Aborts:
    """Those of one engine since its last commit."""

    def __init__(self, stall_timeout: float) -> None:
        self._stall_timeout = stall_timeout
        self._count = 0
        self._first = 0.0

    def count(self, reason: TransactionAborted) -> None:
        """One more. Raises EngineError when the process is to end."""
        now = time.monotonic()
        self._count += 1
        if self._count == 1:
            self._first = now
        share, least = STUCK
        stuck = now - self._first > share * self._stall_timeout
        if self._count > ABORTS or (stuck and self._count >= least):
            raise EngineError(f"{self._count} transactions in a row were aborted: {reason}")

    def over(self) -> None:
        """A transaction was committed."""
        self._count = 0

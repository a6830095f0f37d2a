"""A destination as one lane of a delivery uses it: records in, the number acknowledged out."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from confluent_kafka import Message

PATIENCE_S: Final = 0.2

Waiting: TypeAlias = Callable[[], None]
"""Called at least every second while a destination waits for its receiver, so that Kafka sees the
lane alive; raises `StoppedError` when the lane is to end."""


class UnreachableError(Exception):
    """The receiver takes nothing for now; what it has not acknowledged is sent again.

    `wait_s`: it asked to be left alone for so long.
    """

    def __init__(self, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class StoppedError(Exception):
    """The lane ends while its receiver takes nothing."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A topic of a delivery: `name` is events or alerts, `format` that of its tenant."""

    topic: str
    name: str
    format: str


class Destination(ABC):
    """One receiver at a time. Every call is made by the lane's own thread.

    `write` and `settle` raise UnreachableError when what was written and not acknowledged has to be
    sent again; then the lane closes the destination and opens it anew.
    """

    by_record = False
    """Whether the receiver may have a part of what was written at once."""
    refused = 0
    """Records acknowledged that the receiver did not take and that were kept elsewhere."""
    skipped = 0
    """Those that are not for it."""
    summed = 0
    """Those that it is told of in a summary, because they were too many."""

    @abstractmethod
    def open(self, address: str) -> None:
        """Connect. Raises UnreachableError."""

    @abstractmethod
    def room(self) -> int:
        """How many records may be written now; 0: `settle` first."""

    def patience(self) -> float:
        """Seconds that the lane may wait for records before it calls `settle`."""
        return PATIENCE_S

    @abstractmethod
    def write(self, messages: Sequence[Message]) -> None:
        """Hand over records, none of them without a value, in this order."""

    @property
    @abstractmethod
    def acknowledged(self) -> int:
        """How many records since `open` the receiver is known to have, the first ones without a
        gap; asks nobody. It holds until the next `open`."""

    @abstractmethod
    def settle(self, seconds: float) -> int:
        """`acknowledged`, after it was looked; may wait so long for more of them."""

    @abstractmethod
    def finish(self, seconds: float) -> int:
        """The same after an orderly end: nothing is written any more."""

    @abstractmethod
    def close(self) -> None:
        """End the connection as it is. More than once is no error."""

"""Lines on their way to Kafka, and receipts for them."""

import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from confluent_kafka import KafkaError, Message

KeyBy: TypeAlias = Literal["peer", "host", "spread"]


class Owner(Protocol):
    """Who waits for receipts."""

    def settle(self) -> None:
        """Some receipt is done."""


class Receipt:
    """What became of a chunk of lines; librdkafka calls it once for each.

    `done` once all lines are acknowledged by Kafka or in `refused` (positions in `lines`); then
    `owner` may settle what waits for it.
    """

    __slots__ = ("_confirmed", "_failed", "acknowledged", "lines", "owner", "refused", "taken")

    def __init__(
        self,
        lines: Sequence[bytes],
        owner: "Owner",
        confirmed: Callable[["Receipt"], None],
        failed: Callable[["Receipt", KafkaError, Message], None],
    ) -> None:
        self.lines = lines
        self.owner = owner
        self.acknowledged = 0
        self.refused: set[int] = set()
        self.taken = time.monotonic()
        self._confirmed = confirmed
        self._failed = failed

    def __call__(self, error: KafkaError | None, message: Message) -> None:
        """A delivery report, in the thread that polls."""
        if error is not None:
            self._failed(self, error, message)
            return
        self.acknowledged += 1
        if self.acknowledged + len(self.refused) == len(self.lines):
            self._confirmed(self)

    def refuse(self, line: bytes) -> None:
        """Kafka will never take this line. Equal lines share their fate."""
        places = (n for n, each in enumerate(self.lines) if each == line and n not in self.refused)
        self.refused.add(next(places))
        if self.done:
            self._confirmed(self)

    @property
    def done(self) -> bool:
        """Whether the fate of every line is known."""
        return self.acknowledged + len(self.refused) == len(self.lines)


class Batch(NamedTuple):
    """Lines of one sender. `timestamp`: reception time in ms since the epoch; 0: the present."""

    lines: Sequence[bytes]
    key: bytes | None
    by: KeyBy = "peer"
    receipt: Receipt | None = None
    timestamp: int = 0

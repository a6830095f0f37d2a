"""Lines on their way to Kafka, what they are keyed by, and receipts for them."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from confluent_kafka import KafkaError, Message

KeyBy: TypeAlias = Literal["peer", "host", "spread"]

# RFC 5424 "<PRI>1 TIME HOST" and RFC 3164 "<PRI>Mmm dd hh:mm:ss HOST"
_HOST = re.compile(rb"<[0-9]{1,3}>(?:[0-9]{1,3} \S+|\w{3} [ 0-9][0-9] [0-9:]{8}) ([^\s:]{1,255}) ")


def host_of(line: bytes) -> bytes | None:
    """The host a syslog line names; None where there is none."""
    found = _HOST.match(line)
    return found[1] if found else None


class Owner(Protocol):
    """Who waits for receipts."""

    def settle(self) -> None:
        """Some receipt is done."""


class Receipt:
    """What became of a chunk of lines; librdkafka calls `report` once for each.

    `done` once all lines are acknowledged by Kafka or in `refused` (positions in `lines`); then
    `owner` may settle what waits for it.
    """

    __slots__ = ("_confirmed", "_failed", "_waiting", "lines", "owner", "refused", "taken")

    def __init__(
        self,
        lines: Sequence[bytes],
        owner: "Owner",
        confirmed: Callable[["Receipt"], None],
        failed: Callable[["Receipt", KafkaError, Message], None],
    ) -> None:
        self.lines = lines
        self.owner = owner
        self.refused: set[int] = set()
        self.taken = time.monotonic()
        self._confirmed = confirmed
        self._failed = failed
        self._waiting = len(lines)

    def report(self, error: KafkaError | None, message: Message) -> None:
        """A delivery report, in the thread that polls. The one call in Python that each line costs:
        as a method it is half as dear as an instance that is called."""
        if error is not None:
            self._failed(self, error, message)
            return
        self._waiting = waiting = self._waiting - 1
        if not waiting:
            self._confirmed(self)

    def refuse(self, line: bytes) -> None:
        """Kafka will never take this line. Equal lines share their fate."""
        places = (n for n, each in enumerate(self.lines) if each == line and n not in self.refused)
        self.refused.add(next(places))
        self._waiting -= 1
        if self.done:
            self._confirmed(self)

    @property
    def done(self) -> bool:
        """Whether the fate of every line is known."""
        return not self._waiting


class Batch(NamedTuple):
    """Lines of one sender. `timestamp`: reception time in ms since the epoch; 0: the present."""

    lines: Sequence[bytes]
    key: bytes | None
    by: KeyBy = "peer"
    receipt: Receipt | None = None
    timestamp: int = 0


class Again(NamedTuple):
    """A message that failed. `alone`: it may have been refused for others of its batch, and goes in
    one of its own."""

    key: bytes | None
    value: bytes
    timestamp: int
    receipt: Receipt | None
    alone: bool

"""RELP as librelp speaks it (relp_version=0): a record is delivered when its 200 has come.

Frames are `TXNR SP COMMAND SP DATALEN [SP DATA] LF` (librelp, doc/relp.html). Answers come in the
order of the commands. At most `window` messages are under way. After a lost connection those that
were not answered are sent again, under new numbers. A message that sessions in a row have ended
over, because it was answered with something else, is kept with the reason and left out.
"""

import re
import socket
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, Final

from confluent_kafka import Message

from app.deliver.connection import ClientTls, Connection
from app.deliver.destination import PATIENCE_S, Destination, Feed, UnreachableError, Waiting
from app.deliver.refusals import Refusals
from app.deliver.settings import client_tls, destination_of, refusals
from app.deliver.syslog_messages import Parts, Syslog
from app.ingest.relp_session import ACCEPTED, LAST_TXNR, OFFERS

if TYPE_CHECKING:
    from app.config import Config
    from app.config.deliveries import Delivery, RelpDelivery

MOST: Final = 1000
ANSWERS_MAX: Final = 1 << 20
"""More octets than this without the end of an answer are none."""
CLOSE_S: Final = 1.0
BLAMES: Final = 5
"""Sessions that end over one message before it is left out: some seconds, as the pauses grow."""
_ALL_ACCEPTED: Final = re.compile(rb"(?:[0-9]{1,9}" + re.escape(ACCEPTED) + rb")+")
_HEADER: Final = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_LONGEST_HEADER: Final = 9 + 1 + 32 + 1 + 9 + 1


class RefusedError(UnreachableError):
    """A message was not answered with 200; all before it were."""


class Answers:
    """What a server has sent, in order. `feed` chunks. Raises UnreachableError for what is none."""

    def __init__(self, first: int) -> None:
        self._next = first
        self._pending = b""
        self.accepted = 0
        """Commands answered with 200 so far, from `first` on."""

    def feed(self, data: bytes) -> None:
        """Take more octets."""
        data = self._pending + data
        end = data.rfind(ACCEPTED) + len(ACCEPTED)
        if end >= len(ACCEPTED) and _ALL_ACCEPTED.fullmatch(data, 0, end):
            found = data.count(ACCEPTED, 0, end)
            # They are checked as a run: the first number and the last, and how many there are.
            last = data.rfind(b"\n", 0, end - 1) + 1
            self._expect(data[: data.index(b" ")], self._next)
            self._expect(data[last : data.index(b" ", last)], _after(self._next, found - 1))
            self._took(found)
            data = data[end:]
        position = 0
        while (after := self._one(data, position)) > position:
            position = after
        self._pending = data[position:]
        if len(self._pending) > ANSWERS_MAX:
            raise UnreachableError("its answers are no RELP")

    def _one(self, data: bytes, start: int) -> int:
        """Take one frame; where it ends, `start` if it is not all there."""
        found = _HEADER.match(data, start)
        if found is None:
            if len(data) - start > _LONGEST_HEADER:
                raise UnreachableError(f"its answer is no RELP: {data[start : start + 40]!r}")
            return start
        number, command, size = found[1], found[2], int(found[3])
        end = found.end() + size + 1 if size else found.end()
        if size > ANSWERS_MAX:
            raise UnreachableError(f"its answer is no RELP: {data[start : start + 40]!r}")
        if len(data) < end:
            return start
        if command == b"serverclose":
            raise UnreachableError("the receiver ends the session")
        if command != b"rsp":
            raise UnreachableError(f"its answer is no RELP: {data[start : start + 40]!r}")
        self._expect(number, self._next)
        text = data[found.end() : end - 1]
        if not re.match(rb"200(?: |$)", text):
            shown = text[:200].decode("utf-8", "replace")
            raise RefusedError(f"it refuses message {number.decode()}: {shown}")
        self._took(1)
        return end

    def _expect(self, number: bytes, wanted: int) -> None:
        if int(number) != wanted:
            raise UnreachableError(f"it answers {number.decode()} where {wanted} is due")

    def _took(self, more: int) -> None:
        self._next = _after(self._next, more)
        self.accepted += more


def _place(message: Message) -> tuple[str, int, int]:
    return message.topic(), message.partition(), message.offset()


def _after(number: int, more: int) -> int:
    """Numbers are 1 to LAST_TXNR, over and over."""
    return (number - 1 + more) % LAST_TXNR + 1


def commands(first: int, messages: Parts) -> bytes:
    """`syslog` commands from this number on."""
    sizes = messages.sizes()
    if first + len(sizes) > LAST_TXNR:
        numbers: Iterable[int] = [_after(first, more) for more in range(len(sizes))]
    else:
        numbers = range(first, first + len(sizes))
    heads = map(b"%d syslog %d ".__mod__, zip(numbers, sizes, strict=True))
    return b"".join(chain.from_iterable(zip(heads, *messages, repeat(b"\n"))))


@dataclass(frozen=True, kw_only=True)
class RelpSettings:
    """Durations in seconds; `window` in messages."""

    feeds: tuple[Feed, ...]
    refusals: Refusals
    tls: ClientTls | None
    window: int
    timeout_s: float


class RelpDestination(Destination):
    """One session at a time."""

    by_record = True

    def __init__(self, settings: RelpSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting
        self._messages = Syslog(settings.feeds, socket.gethostname())
        self._connection: Connection | None = None
        self._answers = Answers(1)
        self._sent = 0  # commands
        self._heard = 0.0
        self._under_way: deque[Message] = deque()
        self._left_out: list[int] = []  # how many commands were sent before each of these
        self._blamed: tuple[str, int, int] | None = None
        self._blames = 0
        self._reason = ""
        self.refused = 0

    def open(self, address: str) -> None:
        """Connect and offer; the server's own offers have to be there."""
        settings = self._settings
        self._connection = Connection(address, settings.tls, settings.timeout_s, self._waiting)
        self._sent = 0
        self._under_way.clear()
        self._left_out.clear()
        self._answers = Answers(1)
        self._heard = time.monotonic()
        self._connection.send(b"1 open %d %b\n" % (len(OFFERS), OFFERS))
        while not self._answers.accepted:
            self._hear(1.0, due=True)
        self._answers.accepted = 0

    def room(self) -> int:
        """What the window leaves, in pieces worth a packet."""
        window = self._settings.window
        free = window - (self._sent - self._answers.accepted)
        return min(free, MOST) if free * 4 >= window else 0

    def patience(self) -> float:
        """Answers that are due are waited for instead."""
        return 0.0 if self._sent > self._answers.accepted else PATIENCE_S

    def write(self, messages: Sequence[Message]) -> None:
        """Returns when the kernel has them."""
        if self._blames >= BLAMES:
            messages = self._leave_out(messages)
        first = _after(2, self._sent)
        if self._sent == self._answers.accepted:
            self._heard = time.monotonic()
        self._under_way.extend(messages)
        self._open().send(commands(first, self._messages(messages)))
        self._sent += len(messages)

    def _leave_out(self, messages: Sequence[Message]) -> list[Message]:
        """Without the one that sessions have ended over, if it is there; that is kept."""
        wanted = []
        for message in messages:
            if _place(message) != self._blamed:
                wanted.append(message)
                continue
            self._settings.refusals.keep([(message, self._reason)])
            self._left_out.append(self._sent + len(wanted))
            self.refused += 1
            self._blamed, self._blames = None, 0
        return wanted

    @property
    def acknowledged(self) -> int:
        """Records that were answered with 200 or left out, from the first on without a gap."""
        accepted = self._answers.accepted
        return accepted + bisect_right(self._left_out, accepted)

    def settle(self, seconds: float) -> int:
        """Those that were answered with 200."""
        due = self._sent > self._answers.accepted
        self._hear(seconds if due else 0.0, due=due)
        return self.acknowledged

    def finish(self, seconds: float) -> int:
        """Wait for the answers that are due, then say goodbye."""
        deadline = time.monotonic() + seconds
        while self._sent > self._answers.accepted and time.monotonic() < deadline:
            self._hear(0.1, due=True)
        connection = self._open()
        if self._sent == self._answers.accepted:
            connection.send(b"%d close 0\n" % _after(2, self._sent))
            connection.finish(CLOSE_S)
        return self.acknowledged

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _hear(self, seconds: float, *, due: bool) -> None:
        connection = self._open()
        data = connection.receive(seconds)
        now = time.monotonic()
        if not data:
            if due and now - self._heard > self._settings.timeout_s:
                raise UnreachableError(
                    f"{connection.address}: answered nothing for {self._settings.timeout_s:.0f} s"
                )
            return
        self._heard = now
        connection.acknowledge_at_once()
        before = self._answers.accepted
        try:
            self._answers.feed(data)
        except RefusedError as error:
            self._took(before)
            self._blame(str(error))
            raise UnreachableError(f"{connection.address}: {error}") from None
        except UnreachableError as error:
            raise UnreachableError(f"{connection.address}: {error}") from None
        self._took(before)

    def _took(self, before: int) -> None:
        for _ in range(min(self._answers.accepted - before, len(self._under_way))):
            self._under_way.popleft()

    def _blame(self, reason: str) -> None:
        """Remember the oldest message under way, and over how many sessions in a row it was."""
        if not self._under_way:
            return  # it was the offer
        place = _place(self._under_way[0])
        self._blames = self._blames + 1 if place == self._blamed else 1
        self._blamed, self._reason = place, reason

    def _open(self) -> Connection:
        if self._connection is None:
            raise UnreachableError("not connected")
        return self._connection


def settings(
    config: "Config", delivery: "Delivery", to: "RelpDelivery", feeds: tuple[Feed, ...]
) -> RelpSettings:
    """Keys of northbound.yaml as the destination is told them. Raises ConfigError."""
    return RelpSettings(
        feeds=feeds,
        refusals=refusals(config, delivery.name),
        tls=client_tls(config, destination_of(config, delivery), to.tls),
        window=to.window,
        timeout_s=to.timeout / 1000,
    )

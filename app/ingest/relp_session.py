"""One RELP session as librelp speaks it (relp_version=0): bytes in, steps in order out. No I/O.

A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF` (librelp, doc/relp.html); DATALEN counts octets
and DATA may hold any of them. Transaction numbers start at 1 with `open` and grow by one; after
999,999,999 comes 1. However the bytes are cut into chunks, the messages and answers are the same.
"""

import re
from typing import Final, Literal, NamedTuple, TypeAlias

from app.ingest.framing import LIMIT, Oversize

LARGEST_DATA: Final = 64 << 20
"""A longer DATA is a fault: no sender means it, and split pieces of it are held until its end."""
LAST_TXNR: Final = 999_999_999
SERVERCLOSE: Final = b"0 serverclose 0\n"
ACCEPTED: Final = b"%d rsp 6 200 OK\n"
OFFERS: Final = b"relp_version=0\nrelp_software=northbound\ncommands=syslog"

_RUN = re.compile(rb"([0-9]{1,9}) syslog ([0-9]{1,9}) ([^\n]*)\n")
_RUN_OVERHEAD = len(b" syslog  \n")
_HEADER = re.compile(rb"([0-9]{1,9}) ([A-Za-z]{1,32}) ([0-9]{1,9})([ \n])")
_UNDECIDED = re.compile(rb"[0-9]{1,9}(?: (?:[A-Za-z]{1,32}(?: [0-9]{0,9})?)?)?\Z")

State: TypeAlias = Literal["new", "open", "over"]


class Messages(NamedTuple):
    """`lines` to publish; then `transactions` from `first` on are answered with 200.

    An oversize message may be several lines under one transaction, an empty one is no line.
    """

    first: int
    transactions: int
    lines: list[bytes]


class Answer(NamedTuple):
    """Bytes for the client once all before is answered; `last`: then the connection ends."""

    data: bytes
    last: bool = False


Step: TypeAlias = Messages | Answer


class Session:
    """The state of one connection. `feed` chunks; nothing is taken once `state` is over.

    Counters are those of framing.Framer. `fault` says why the session had to be ended.
    """

    __slots__ = (
        "_expected",
        "_left",
        "_limit",
        "_part",
        "_pending",
        "_pieces",
        "_truncate",
        "_wait",
        "dropped",
        "empty",
        "fault",
        "malformed",
        "oversize",
        "state",
    )

    def __init__(self, *, limit: int = LIMIT, oversize: Oversize = "truncate") -> None:
        self._limit = limit
        self._truncate = oversize == "truncate"
        self._expected = 1
        self._pending = bytearray()
        self._wait = 0  # bytes that `pending` must have before it is worth a look
        self._left = -1  # octets still to come of an oversize message, its LF included; -1: none
        self._part = bytearray()
        self._pieces: list[bytes] = []
        self.state: State = "new"
        self.fault = ""
        self.empty = self.oversize = self.dropped = self.malformed = 0

    def feed(self, data: bytes) -> list[Step]:
        """What is to be done, in order, now that `data` is there."""
        steps: list[Step] = []
        if self._over:
            return steps
        if self._left >= 0:
            data = self._go_on_oversize(data, steps)
        if self._pending:
            self._pending += data
            if len(self._pending) < self._wait:
                return steps
            data = bytes(self._pending)
            self._pending.clear()
        self._wait = 0
        position, size = 0, len(data)
        runs = True  # once a run was none, the rest of the chunk goes frame by frame: linear time
        while position < size and not self._over:
            if runs and self.state == "open":
                end = self._take_run(data, position, steps)
                runs = end > position
                position = end
                continue
            end = self._take_frame(data, position, steps)
            if end == position:
                self._pending += data[position:]
                break
            position = end
        return steps

    @property
    def _over(self) -> bool:
        return self.state == "over"

    def _take_run(self, data: bytes, position: int, steps: list[Step]) -> int:
        """Take syslog frames whose data hold no line feed, all at once; where they end.

        Nothing is taken unless every frame of the run is as it should be.
        """
        end = data.rfind(b"\n") + 1
        found = _RUN.findall(data, position, end)
        if not found:
            return position
        numbers, sizes, lines = zip(*found, strict=True)
        lengths = list(map(len, lines))
        count, first = len(found), self._expected
        total = sum(lengths) + sum(map(len, numbers)) + sum(map(len, sizes))
        if (
            total + count * _RUN_OVERHEAD != end - position
            or list(map(int, sizes)) != lengths
            or list(map(int, numbers)) != list(range(first, first + count))
            or first + count > LAST_TXNR
            or max(lengths) > self._limit
        ):
            return position
        self._expected = first + count
        # `DATALEN 0` has no space before its LF, so that no line here is empty but "0 ", a fault.
        if min(lengths) == 0:
            self._expected = first
            return position
        steps.append(Messages(first, count, list(lines)))
        return end

    def _take_frame(self, data: bytes, position: int, steps: list[Step]) -> int:
        """Take one frame; `position` itself if its end is not there yet."""
        header = _HEADER.match(data, position)
        if header is None:
            if _UNDECIDED.match(data, position):
                return position
            return self._fail(f"expected a frame, found {data[position:][:24]!r}", data, steps)
        txnr, size = int(header[1]), int(header[3])
        if (size == 0) != (header[4] == b"\n"):
            return self._fail("a frame's DATALEN and DATA do not agree", data, steps)
        if txnr != self._expected:
            reason = f"expected transaction {self._expected}, found {txnr}"
            return self._fail(reason, data, steps)
        if size > LARGEST_DATA:
            return self._fail(f"DATALEN {size} is above {LARGEST_DATA}", data, steps)
        command, start = header[2], header.end()
        if size == 0:
            return self._command(txnr, command, b"", start, data, steps)
        if size > self._limit and command == b"syslog" and self.state == "open":
            self._left = size + 1
            self.oversize += 1
            rest = self._go_on_oversize(data[start:], steps)
            return len(data) - len(rest)
        end = start + size
        if end >= len(data):
            self._wait = end + 1 - position
            return position
        if data[end : end + 1] != b"\n":
            return self._fail("no LF after a frame's DATA", data, steps)
        return self._command(txnr, command, data[start:end], end + 1, data, steps)

    def _command(
        self, txnr: int, command: bytes, text: bytes, end: int, data: bytes, steps: list[Step]
    ) -> int:
        if command == b"syslog" and self.state == "open":
            self._advance()
            self.empty += not text
            steps.append(Messages(txnr, 1, [text] if text else []))
        elif command == b"syslog":
            self._advance()
            steps.append(Answer(_rsp(txnr, b"500 command disabled before open")))
        elif command == b"open" and self.state == "new":
            self._advance()
            self._open(txnr, text, data, steps)
        elif command == b"open":
            steps.append(Answer(_rsp(txnr, b"500 the session is open")))
            return self._fail("a second open", data, steps)
        elif command == b"close":
            steps.append(Answer(b"%d rsp 0\n" % txnr + SERVERCLOSE, last=True))
            self.state = "over"
        else:
            return self._fail(f"unknown command {command.decode()}", data, steps)
        return end

    def _open(self, txnr: int, text: bytes, data: bytes, steps: list[Step]) -> None:
        offers = dict(line.partition(b"=")[::2] for line in text.split(b"\n"))
        if b"syslog" not in offers.get(b"commands", b"").split(b","):
            steps.append(Answer(_rsp(txnr, b"500 required command not supported by client")))
            self._fail("the client offers no command syslog", data, steps)
            return
        self.state = "open"
        steps.append(Answer(_rsp(txnr, b"200 OK\n" + OFFERS)))

    def _go_on_oversize(self, data: bytes, steps: list[Step]) -> bytes:
        """Take of the oversize message in hand; the bytes after it."""
        taken, rest = data[: self._left], data[self._left :]
        self._left -= len(taken)
        over = self._left == 0
        if over and not taken.endswith(b"\n"):
            self._left = -1
            self._fail("no LF after a frame's DATA", data, steps)
            return b""
        self._part += taken[:-1] if over else taken
        limit = self._limit
        while len(self._part) > limit or (over and self._part):
            if self._truncate and self._pieces:
                self.dropped += len(self._part)
                self._part.clear()
                break
            self._pieces.append(bytes(self._part[:limit]))
            del self._part[:limit]
        if over:
            self._left = -1
            steps.append(Messages(self._expected, 1, self._pieces))
            self._pieces = []
            self._advance()
        return rest

    def _advance(self) -> None:
        self._expected = self._expected + 1 if self._expected < LAST_TXNR else 1

    def _fail(self, reason: str, data: bytes, steps: list[Step]) -> int:
        self.state = "over"
        self.fault = reason
        self.malformed += 1
        steps.append(Answer(SERVERCLOSE, last=True))
        return len(data)


def _rsp(txnr: int, text: bytes) -> bytes:
    return b"%d rsp %d %b\n" % (txnr, len(text), text)


def accepted(first: int, count: int, refused: frozenset[int] = frozenset()) -> bytes:
    """The answers to transactions `first` .. `first + count - 1`; those in `refused` get 500."""
    numbers = range(first, first + count)
    if refused:
        return b"".join(
            _rsp(each, b"500 Kafka does not take it") if each in refused else ACCEPTED % each
            for each in numbers
        )
    return b"".join(map(ACCEPTED.__mod__, numbers))

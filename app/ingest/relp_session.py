"""One RELP session as librelp speaks it (relp_version=0): bytes in, steps in order out. No I/O.

A frame is `TXNR SP COMMAND SP DATALEN [SP DATA] LF` (librelp, doc/relp.html); DATALEN counts octets
and DATA may hold any of them. Transaction numbers start at 1 with `open` and grow by one; after
999,999,999 comes 1. However the bytes are cut into chunks, the messages and answers are the same.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from operator import concat
from typing import Final, Literal, NamedTuple, TypeAlias, cast

from app.ingest.framing import LIMIT, Oversize

LARGEST_DATA: Final = 64 << 20
"""A longer DATA is a fault: no sender means it, and split pieces of it are held until its end."""
LARGEST_OTHER: Final = 128 << 10
"""Of a command that is no message, or comes before `open`: offers are some hundred octets, and all
of them are held until their end, from senders that nobody knows."""
LAST_TXNR: Final = 999_999_999
SERVERCLOSE: Final = b"0 serverclose 0\n"
ACCEPTED: Final = b" rsp 6 200 OK\n"
OFFERS: Final = b"relp_version=0\nrelp_software=northbound\ncommands=syslog"

WHOLE: Final = 1 << 30
FEW: Final = 16
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
    numbers: list[bytes]
    """The transactions as text."""


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
        most = WHOLE  # after a frame that is no line only a few are tried at first: linear time
        while position < size and not self._over:
            if self.state == "open":
                end = self._take_run(data, position, steps, most)
                if end > position:
                    most *= 4
                    position = end
                    continue
                most = FEW
            end = self._take_frame(data, position, steps)
            if end == position:
                self._pending += data[position:]
                break
            position = end
        return steps

    @property
    def _over(self) -> bool:
        return self.state == "over"

    def _take_run(self, data: bytes, position: int, steps: list[Step], most: int) -> int:
        """Take syslog frames whose data hold no line feed, up to `most` at once; where they end.

        The length of a line tells what its header has to be: with it gone, as many octets must be
        left as it says. Lines from the first one on that is not so are left alone.
        """
        first = self._expected
        width = len(str(first))
        end = data.rfind(b"\n", position) + 1
        rows = data[position:end].split(b"\n", min(most, 10**width - first))
        rows.pop()
        lengths = list(map(len, rows))
        if not rows or max(lengths) > self._limit:
            return position
        headers = _HEADERS[width]
        sizes = list(map(headers.sizes.__getitem__, lengths))
        numbers = list(map(b"%d".__mod__, range(first, first + len(rows))))
        texts = map(headers.texts.__getitem__, lengths)
        heads = cast("Iterator[bytes]", map(concat, numbers, texts))
        lines = list(map(bytes.removeprefix, rows, heads))
        left = list(map(len, lines))
        if left != sizes:
            good = next(n for n, size in enumerate(sizes) if left[n] != size)
            if not good:
                return position
            lines, lengths, numbers = lines[:good], lengths[:good], numbers[:good]
        self._expected = first + len(lines)
        if self._expected > LAST_TXNR:
            self._expected = 1
        steps.append(Messages(first, len(lines), lines, numbers))
        return position + sum(lengths) + len(lengths)

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
        command, start = header[2], header.end()
        message = command == b"syslog" and self.state == "open"
        if size > (largest := LARGEST_DATA if message else LARGEST_OTHER):
            return self._fail(f"DATALEN {size} is above {largest}", data, steps)
        if size == 0:
            return self._command(txnr, command, b"", start, data, steps)
        if size > self._limit and message:
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
            steps.append(Messages(txnr, 1, [text] if text else [], [b"%d" % txnr]))
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
            number = b"%d" % self._expected
            steps.append(Messages(self._expected, 1, self._pieces, [number]))
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


def accepted(numbers: Sequence[bytes], refused: Collection[int] = ()) -> bytes:
    """The answers to transactions; those at the places `refused` get 500."""
    if not refused:
        return ACCEPTED.join(numbers) + ACCEPTED
    return b"".join(
        _rsp(int(each), b"500 Kafka does not take it") if place in refused else each + ACCEPTED
        for place, each in enumerate(numbers)
    )


class _Sizes(dict[int, int]):
    """Length of a frame without its LF -> its DATALEN; -1 where no frame is so long."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._width = width

    def __missing__(self, length: int) -> int:
        rest = length - self._width - len(b" syslog  ")
        found = (rest - digits for digits in range(1, 10))
        self[length] = next((n for n in found if n > 0 and n + len(str(n)) == rest), -1)
        return self[length]


class _Texts(dict[int, bytes]):
    """Length of a frame without its LF -> its header after the transaction number."""

    def __init__(self, sizes: _Sizes) -> None:
        super().__init__()
        self._sizes = sizes

    def __missing__(self, length: int) -> bytes:
        self[length] = b" syslog %d " % self._sizes[length]
        return self[length]


class _Headers:
    """What headers look like for transaction numbers of one width."""

    def __init__(self, width: int) -> None:
        self.sizes = _Sizes(width)
        self.texts = _Texts(self.sizes)


_HEADERS: Final = {width: _Headers(width) for width in range(1, 10)}

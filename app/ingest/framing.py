"""Messages out of the bytes of one stream connection (RFC 6587, RFC 5425). No I/O.

However the bytes are cut into chunks, the frames are the same. Modes:

- `lf`: a line feed ends a message; carriage returns and NULs before it belong to the trailer.
- `nul`: a NUL ends a message; line ends around it belong to the trailer.
- `octet`: every message is counted (RFC 6587 section 3.4.1). A fault ends the stream, as nothing
  after it can be trusted; what is left unframed is kept in `remainder`.
- `auto`: decided per frame. Digits, a space and something that starts a message (`<PRI>`, a JSON
  object, CEF, LEEF) are a count, everything else is a line. `NUL <PRI>` inside a line ends it too.
"""

import re
from typing import Final, Literal, TypeAlias, get_args

Mode: TypeAlias = Literal["auto", "lf", "octet", "nul"]
MODES: Final[tuple[Mode, ...]] = get_args(Mode)
Oversize: TypeAlias = Literal["split", "truncate"]

LIMIT: Final = 1 << 20
LARGEST_COUNT: Final = 256 * LIMIT
"""A count above this is no count: no sender means it, and waiting for its end would be for ever."""

# A count's message must look like one, else "404 <html>" in a plain line would swallow its
# neighbours. Once a connection has counted a frame, a bare `<` is enough; one that has only counted
# so far may also send what looks like nothing known, if no line feed speaks against the count.
_START = rb"(?:<[0-9]{1,3}>|\{\"|CEF:|LEEF:)"
_FIRST_COUNT = re.compile(rb"([0-9]{1,10}) (?=" + _START + rb")")
_NEXT_COUNT = re.compile(rb" ?([0-9]{1,10}) (?=<|\{\"|CEF:|LEEF:)")
_STRICT_COUNT = re.compile(rb"([0-9]{1,10}) ")
_COUNT_AFTER_LF = re.compile(rb"\n(?=[0-9]{1,10} " + _START + rb")")
_UNDECIDED = re.compile(rb" ?(?:[0-9]{1,10}(?: (?:<[0-9]{0,3}|\{|CE?F?|LE?E?F?)?)?)?\Z")
_UNDECIDED_STRICT = re.compile(rb"(?:[0-9]{1,10})?\Z")
_UNKNOWN_START_LIMIT = 8192  # RFC 5425 section 4.3.1: what receivers should take
_NUL_THEN_PRI = re.compile(rb"\0(?=<[0-9]{1,3}>)")
_NUL_LOOKAHEAD = 5  # bytes after a NUL that decide whether it ends the message: <191>
_SEPARATORS = b"\r\n\0"  # what senders put between counted frames although it is not counted

# Nearly all counts have three digits: one slice and one look-up instead of a regular expression.
# What is found is the length of the frame, count and space included.
_USUAL = range(100, 1000)
_FRAMES_PRI = {b"%d <" % n: n + 4 for n in _USUAL}
_FRAMES_ANY = {b"%d " % n: n + 4 for n in _USUAL}


def frames(data: bytes, mode: Mode = "auto") -> list[bytes]:
    """All messages of one whole connection, in order, without trailers."""
    framer = Framer(mode)
    return framer.feed(data) + framer.end()


def cut_oversize(message: bytes, limit: int, oversize: Oversize) -> tuple[list[bytes], int]:
    """A message above the limit in pieces, and the number of octets that are dropped of it."""
    if oversize == "truncate":
        return [message[:limit]], len(message) - limit
    return [message[first : first + limit] for first in range(0, len(message), limit)], 0


class Framer:
    """The framing state of one connection. `feed` chunks, then `end` once.

    Counters (messages unless said otherwise): `empty` lines that were no message, `oversize`
    messages above `limit` bytes, `dropped` bytes cut from them (only with `truncate`), `malformed`
    frames whose count was wrong or whose end never came. A message above the limit comes as pieces
    of `limit` bytes (`split`) or as its first `limit` bytes (`truncate`).
    """

    __slots__ = (
        "_counted",
        "_cut",
        "_head",
        "_in_line",
        "_largest",
        "_limit",
        "_lined",
        "_lookahead",
        "_mode",
        "_need",
        "_pending",
        "_separator",
        "_truncate",
        "dropped",
        "empty",
        "error",
        "malformed",
        "oversize",
        "remainder",
    )

    def __init__(
        self,
        mode: Mode = "auto",
        *,
        limit: int = LIMIT,
        oversize: Oversize = "split",
        largest: int = LARGEST_COUNT,
    ) -> None:
        self._mode = mode
        self._limit = limit
        self._largest = largest  # a count above it is none; in mode octet it is a fault
        self._truncate = oversize == "truncate"
        self._separator = b"\0" if mode == "nul" else b"\n"
        self._lookahead = _NUL_LOOKAHEAD if mode == "auto" else 0
        self._pending = bytearray()  # start of a frame whose end has not come
        self._in_line = False  # `pending` is known to be a line
        self._need = 0  # bytes of a counted message still to come
        self._head = b""  # its count as received
        self._cut = 0  # bytes of the present message already emitted as pieces
        self._counted = False  # the last frame was a counted one
        self._lined = False  # some frame was a line
        self.empty = self.oversize = self.dropped = self.malformed = 0
        self.error = ""
        self.remainder = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are complete with `data`."""
        out: list[bytes] = []
        if self.error:
            self.remainder += data
            return out
        position = 0
        if self._need:
            position = self._go_on_counted(data, 0, out)
        elif self._in_line:
            position = self._go_on_line(data, out)
        elif self._pending:
            data = bytes(self._pending) + data
            self._pending.clear()
        size = len(data)
        counts = self._mode in ("auto", "octet")
        while position < size:
            if counts:
                position = self._take_counted(data, position, out)
                if position == size or self.error:
                    break
            position = self._take_lines(data, position, out)
        return out

    def end(self) -> list[bytes]:
        """The messages that only the end of the connection completes.

        A counted message that was cut off is not one of them: its bytes as received are in
        `remainder`, unless lines follow in them; then the count was none, and all are lines.
        """
        out: list[bytes] = []
        if self._need:
            rest = (b"" if self._cut else self._head) + bytes(self._pending)
            whole_lines = self._mode == "auto" and not self._cut and b"\n" in rest
            self._need = 0
            self._pending.clear()
            self.malformed += 1
            self.error = "the connection ended inside a counted message"
            if whole_lines:
                self._salvage(rest, out)
            elif self._cut and self._truncate:
                self.dropped += len(rest)
            else:
                self.remainder = rest
        elif self._pending and self._mode == "octet":
            self._fail(bytes(self._pending))
            self._pending.clear()
        elif self._pending or self._cut:
            self._complete(out, line=True)
        self._in_line = False
        return out

    def _take_counted(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Take counted frames from `position` on; the first position that does not start one."""
        strict = self._mode == "octet"
        known, width = (_FRAMES_ANY, 4) if strict else (_FRAMES_PRI, 5)
        if min(self._limit, self._largest) < _USUAL[-1]:
            known = {}
        length, append, size = known.get, out.append, len(data)
        beyond = size + 1
        while position < size:
            if strict or self._counted:
                first = position
                while (end := position + length(data[position : position + width], beyond)) <= size:
                    append(data[position + 4 : end])
                    position = end
                self._counted |= position > first
                if position < size and self._counted and data[position] in _SEPARATORS:
                    position += 1
                    continue
            pattern = _STRICT_COUNT if strict else _NEXT_COUNT if self._counted else _FIRST_COUNT
            found = pattern.match(data, position)
            if found is None and self._counted and not self._lined and not strict:
                found, undecided = self._unknown_start(data, position)
                if undecided:
                    self._pending += data[position:]
                    return size
            if found is None:
                if (_UNDECIDED_STRICT if strict else _UNDECIDED).match(data, position):
                    self._pending += data[position:]
                    return size
                break
            count = int(found[1])
            if not 0 < count <= self._largest:
                self.malformed += not strict
                break
            self._need = count
            self._head = found[0]
            self._counted = True
            position = self._go_on_counted(data, found.end(), out)
        if strict and position < size:
            self._fail(data[position:])
        return position

    @staticmethod
    def _unknown_start(data: bytes, position: int) -> tuple[re.Match[bytes] | None, bool]:
        """A count of something unknown without a line feed, and whether more bytes must decide."""
        found = _STRICT_COUNT.match(data, position)
        if found is None or not 0 < int(found[1]) <= _UNKNOWN_START_LIMIT:
            return None, False
        end = found.end() + int(found[1])
        if data.find(b"\n", found.end(), end) >= 0:
            return None, False
        return found, end > len(data)

    def _go_on_counted(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Add to the counted message in hand; the position after what belongs to it."""
        taken = data[position : position + self._need]
        self._need -= len(taken)
        self._pending += taken
        if self._need:
            self._emit_pieces(out, 0)
        else:
            self._complete(out, line=False)
        return position + len(taken)

    def _take_lines(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Take lines from `position`, which starts no count, up to the next count or the end."""
        auto = self._mode == "auto"
        found = _COUNT_AFTER_LF.search(data, position) if auto else None
        end = found.end() if found else len(data)
        chunk = data[position:end]
        lines = chunk.split(self._separator)
        tail = lines.pop()
        self._counted = False
        self._lined = True
        if (len(chunk) > self._limit and max(map(len, lines), default=0) > self._limit) or (
            auto and b"\0" in chunk and _NUL_THEN_PRI.search(chunk)
        ):
            for line in lines:
                self._go_on_line(line + self._separator, out)
        else:
            if self._mode == "nul":
                if b"\n" in chunk or b"\r" in chunk:
                    lines = [line.strip(b"\r\n") for line in lines]
            elif b"\r" in chunk or b"\0" in chunk:
                lines = [line.rstrip(b"\r\0") for line in lines]
            if empty := lines.count(b""):
                self.empty += empty
                lines = [line for line in lines if line]
            out += lines
        if tail and auto and len(tail) < len(chunk) and _UNDECIDED.match(tail):
            self._pending += tail
        elif tail:
            self._in_line = True
            self._go_on_line(tail, out)
        return end

    def _go_on_line(self, data: bytes, out: list[bytes]) -> int:
        """Add to the line in hand; the position after its end, or after `data`."""
        end = data.find(self._separator)
        pending = self._pending
        seen = max(0, len(pending) - self._lookahead)
        pending += data if end < 0 else data[:end]
        if self._lookahead and _NUL_THEN_PRI.search(pending, seen):
            *ended, rest = _NUL_THEN_PRI.split(pending)
            pending.clear()
            for line in ended:
                pending += line
                self._complete(out, line=True)
            pending += rest
        if end < 0:
            self._emit_pieces(out, self._lookahead)
            return len(data)
        self._complete(out, line=True)
        self._in_line = False
        return end + 1

    def _emit_pieces(self, out: list[bytes], lookahead: int) -> None:
        """Keep the message in hand within the limit. `lookahead` bytes may turn out to end it."""
        pending, limit = self._pending, self._limit
        while len(pending) > limit + lookahead:
            if self._cut and self._truncate:
                surplus = len(pending) - lookahead
                self.dropped += surplus
                del pending[:surplus]
                return
            self.oversize += self._cut == 0
            self._cut += limit
            out.append(bytes(pending[:limit]))
            del pending[:limit]

    def _complete(self, out: list[bytes], *, line: bool) -> None:
        """The message in hand has ended: emit what is left of it."""
        self._emit_pieces(out, 0)
        rest = bytes(self._pending)
        self._pending.clear()
        if self._cut and self._truncate:
            self.dropped += len(rest)
            rest = b""
        elif line and self._mode == "nul":
            rest = rest.rstrip(b"\r\n") if self._cut else rest.strip(b"\r\n")
        elif line:
            rest = rest.rstrip(b"\r\0")
        if rest:
            out.append(rest)
        elif not self._cut:
            self.empty += 1
        self._cut = 0

    def _salvage(self, data: bytes, out: list[bytes]) -> None:
        """The last count reached beyond the end of the connection: read its bytes as lines."""
        position = 0
        while position < len(data):
            found = _FIRST_COUNT.match(data, position)
            count = int(found[1]) if found else 0
            if found and 0 < count <= len(data) - found.end():
                self._pending += data[found.end() : found.end() + count]
                self._complete(out, line=False)
                position = found.end() + count
                continue
            line_end = data.find(b"\n", position)
            if found and line_end < 0:
                self.remainder = data[position:]
                return
            end = len(data) if line_end < 0 else line_end
            self._go_on_line(data[position:end] + b"\n", out)
            position = end + 1

    def _fail(self, rest: bytes) -> None:
        self.malformed += 1
        self.error = f"expected a count of octets and a space, found {rest[:24]!r}"
        self.remainder = rest

"""Lines out of a block of a file that can be read again. No I/O, no state.

What is not used of a block comes again in front of the next one, so that the place in the file is
all there is to remember. However a file is cut into blocks, its lines are those of framing.Framer
in mode `lf`.
"""

from typing import NamedTuple

from app.ingest.framing import Oversize


class Cut(NamedTuple):
    """`lines` take `used` octets of the block.

    `inside`: the octet after them belongs to a line above the limit of which a part is among the
    lines already. The counters are those of framing.Framer.
    """

    lines: list[bytes]
    used: int
    inside: bool
    empty: int = 0
    oversize: int = 0
    dropped: int = 0


def cut(block: bytes, limit: int, oversize: Oversize, *, inside: bool = False) -> Cut:
    """The lines of `block`; a line without its line feed waits unless it is above `limit`.

    `inside`: the block begins inside a line above the limit, as a Cut before said.
    """
    used = block.rfind(b"\n") + 1
    rows = block[:used].split(b"\n")
    rows.pop()
    rest = block[used:]
    if not inside and len(rest) <= limit and max(map(len, rows), default=0) <= limit:
        return _whole(rows, block, used)
    truncate = oversize == "truncate"
    lines: list[bytes] = []
    empty = over = dropped = 0
    for row in rows:
        if len(row) <= limit and not (inside and truncate):
            line = row.rstrip(b"\r\0")
            if line:
                lines.append(line)
            else:
                empty += not inside
        else:
            over += not inside
            pieces, lost = _pieces(row, limit, truncate=truncate, inside=inside)
            dropped += lost
            if len(pieces) > 1 or inside:
                pieces[-1:] = [last] if pieces and (last := pieces[-1].rstrip(b"\r\0")) else []
            lines += pieces
        inside = False
    if inside or len(rest) > limit:
        over += not inside and len(rest) > limit
        pieces, lost = _pieces(rest, limit, truncate=truncate, inside=inside)
        dropped += lost
        if truncate:
            used += len(rest)
        else:
            pieces.pop()  # it may go on
            used += limit * len(pieces)
        lines += pieces
        inside = True
    return Cut(lines, used, inside, empty, over, dropped)


def _whole(rows: list[bytes], block: bytes, used: int) -> Cut:
    """All lines are within the limit: nearly always so."""
    if b"\r" in block or b"\0" in block:
        rows = [row.rstrip(b"\r\0") for row in rows]
    empty = rows.count(b"")
    return Cut([row for row in rows if row] if empty else rows, used, inside=False, empty=empty)


def _pieces(row: bytes, limit: int, *, truncate: bool, inside: bool) -> tuple[list[bytes], int]:
    """A line above the limit in pieces, and the number of octets that are dropped of it."""
    if truncate:
        kept = 0 if inside else limit
        return ([row[:kept]] if kept else []), len(row) - kept
    return [row[first : first + limit] for first in range(0, len(row), limit)] or [b""], 0

"""Bodies of HTTP requests into lines. No I/O."""

import zlib
from typing import Final, Literal, NamedTuple, TypeAlias

from app.ingest.framing import Framer, Oversize, cut_oversize

MEMBERS: Final = 1_000
"""Parts of one gzip body (RFC 1952 section 2.2): more are no sender's, and would cost much time."""

Body: TypeAlias = Literal["lines", "whole"]


class BodyError(Exception):
    """The body cannot be used; the message says why."""


class TooLargeError(BodyError):
    """It is larger, as sent or inflated, than is allowed."""


class Lines(NamedTuple):
    """What a body holds. The counters are those of framing.Framer."""

    lines: list[bytes]
    empty: int
    oversize: int
    dropped: int


def inflate(data: bytes, most: int) -> bytes:
    """A gzip body inflated, never beyond `most` octets. Raises BodyError."""
    out = []
    left = most + 1
    for _ in range(MEMBERS):
        part = zlib.decompressobj(wbits=31)
        try:
            out.append(part.decompress(data, left))
        except zlib.error as error:
            raise BodyError(f"the body is no gzip: {error}") from None
        left -= len(out[-1])
        if left <= 0:
            raise TooLargeError(f"the body is larger than {most} octets when inflated")
        if not part.eof:
            raise BodyError("the gzip body ends too early")
        data = part.unused_data
        if not data:
            return b"".join(out)
    raise BodyError(f"the gzip body has more than {MEMBERS} parts")


def lines_of(
    data: bytes, body: Body, limit: int, oversize: Oversize, inflated: int | None = None
) -> Lines:
    """The lines of a body, or all of it as one. `inflated`: how large gzip may get; None: none.

    The end of a body ends its last line. Raises BodyError.
    """
    if inflated is not None and data:
        data = inflate(data, inflated)
    framer = Framer("lf", limit=limit, oversize=oversize)
    if body == "lines":
        return Lines(
            framer.feed(data) + framer.end(), framer.empty, framer.oversize, framer.dropped
        )
    if len(data) <= limit:
        return Lines([data] if data else [], int(not data), 0, 0)
    pieces, dropped = cut_oversize(data, limit, oversize)
    return Lines(pieces, 0, 1, dropped)

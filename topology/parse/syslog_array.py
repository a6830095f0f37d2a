"""A JSON array of events behind a syslog header, as senders batch them: each event by itself.

`<14>1 … - [{…},{…}]` gives the header with each object, cut from the very bytes, as if the sender
had sent a message for each. A value that is no object is refused with the header and the brackets
around it, so that it is refused again when it is sent again.
"""

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

from topology.parse import repeated, several, syslog
from topology.parse.parsed import MalformedError, Refused, Splitter

HEADED: Final = re.compile(syslog.BEGINS)
OBJECT: Final = "^[^\\[{]*(?:\\[[^\\[\\]{]*\\][^\\[{]*)*[ \t:>\ufeff]\\{"
"""The first brace begins a word and is not within a bracket, which may be around a PID, an address
or parameters of STRUCTURED-DATA: the payload is an object, or no JSON."""
IS_OBJECT: Final = re.compile(OBJECT)
ENDING: Final = "\r\n\0"
SURROGATE: Final = re.compile("[\ud800-\udfff]")
REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
BLANK: Final = several.ENDING.encode()
KINDS: Final = {'"': "a text", "[": "an array", "t": "true", "f": "false", "n": "null"}


def split(record: bytes) -> list[bytes | Refused] | None:
    """Each element of an array behind a header; None for any other text.

    Raises MalformedError for an array without elements, or with too many.
    """
    if not record.rstrip(BLANK).endswith(b"]"):
        return None
    text = record.decode("utf-8", "surrogateescape")
    if HEADED.match(text) is None or IS_OBJECT.match(text) is not None:
        return None
    line = text.rstrip(ENDING)
    start, stop = _payload(line)
    at = several.skip(line, start)
    if at == 0 or not line.startswith("[", at):
        return None
    if line[several.skip(line, at + 1) : stop].rstrip(several.ENDING) == "]":
        raise MalformedError("an array without events")
    try:
        spans, end = several.elements(line, at)
    except (ValueError, IndexError, RecursionError):
        return None  # the parser says what is wrong
    if line[end:stop].strip(several.ENDING):
        return None
    before, after = line[:at], text[end:]
    several.bound(len(spans), len(before) + len(after))
    texts = [line[begin:finish] for begin, finish in spans]
    _check(before, texts, line[end:])
    return [_part(before, text, after, number) for number, text in enumerate(texts, 1)]


def _check(before: str, elements: list[str], after: str) -> None:
    """A header that ends where a bracket begins, as `app[{…}]` may, is none before an object."""
    first = next((element for element in elements if element.startswith("{")), None)
    if first is None:
        return
    alone = before + first + after
    start, stop = _payload(alone)
    if alone[start:stop].strip(several.ENDING) != first:
        raise MalformedError(
            "an array right behind a word; expected a blank or a colon between them"
        )


def _payload(line: str) -> tuple[int, int]:
    """Where the text begins and ends that is to be JSON. The header is read as the parsers see it,
    where bytes that are not UTF-8 are replaced."""
    message = syslog.message_of(SURROGATE.sub(REPLACEMENT, line)) or ""
    start = len(line) - len(message)
    found = repeated.MESSAGE.fullmatch(message)
    if found is None:
        return start, len(line)
    return start + found.start(2), start + found.end(2)


def _part(before: str, element: str, after: str, number: int) -> bytes | Refused:
    if element.startswith("{"):
        return (before + element + after).encode("utf-8", "surrogateescape")
    kind = KINDS.get(element[0], "a number")
    return Refused(
        f"{before}[{element}]{after}".encode("utf-8", "surrogateescape"),
        f"element {number} of an array of events is {kind}; expected an object",
    )


def _split_either(record: bytes) -> Sequence[bytes | Refused] | None:
    return several.split_array(record) if record.startswith(b"[") else split(record)


RAW: Final = pl.col("raw")
TEXT: Final = RAW.cast(pl.String, strict=False)
SPLITTER: Final = Splitter(
    RAW.bin.contains(b"[") & ~RAW.bin.starts_with(b"{"),
    _split_either,
    ~TEXT.str.contains(rf"^\[|{syslog.BEGINS}") | TEXT.str.contains(OBJECT),
)
"""Arrays with a header, and without one as several.py has them."""

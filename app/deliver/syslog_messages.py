"""Records as syslog messages, and those in frames. Pure.

A record in the format rfc5424 is a syslog message; one in any other format becomes the MSG of one
(RFC 5424, 6) of facility 13 (log audit) and severity 6, with the time at which Northbound wrote the
record, this host, APP-NAME northbound and the feed as MSGID.

A message is handed on as two parts, header and record, because putting them together first costs
more than all the rest.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from operator import add
from typing import Final, NamedTuple, TypeAlias

from confluent_kafka import Message

from app.deliver.destination import Feed

PRI: Final = 13 * 8 + 6
COUNTS: Final = [b"%d " % number for number in range(1 << 14)]
_BREAKS = re.compile(rb"[\r\n]+")

Stamp: TypeAlias = tuple[int, int]
"""A record's timestamp as the client has it: its type, and milliseconds."""


class Parts(NamedTuple):
    """Of messages, in order: header (empty for a record that has one) and record."""

    heads: Sequence[bytes]
    values: Sequence[bytes]

    def sizes(self) -> list[int]:
        """Octets of each message."""
        return list(map(add, map(len, self.heads), map(len, self.values)))


class Header(dict[Stamp, bytes]):
    """The header of a feed's messages by time; those of the newest moments are kept."""

    MOST: Final = 1000

    def __init__(self, feed: str, host: str) -> None:
        super().__init__()
        self._rest = f"{host} northbound - {feed} - "

    def __missing__(self, stamp: Stamp) -> bytes:
        if len(self) >= self.MOST:
            self.clear()
        time = dt.datetime.fromtimestamp(max(stamp[1], 0) / 1000, dt.UTC)
        text = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made = self[stamp] = f"<{PRI}>1 {text} {self._rest}".encode()
        return made


class Syslog:
    """Makes syslog messages of records of these feeds."""

    def __init__(self, feeds: Sequence[Feed], host: str) -> None:
        printable = re.sub(r"[^!-~]", "_", host)[:255] or "-"
        self._headers: Mapping[str, Header] = {
            feed.topic: Header(feed.name, printable) for feed in feeds if feed.format != "rfc5424"
        }

    def __call__(self, messages: Sequence[Message]) -> Parts:
        """One syslog message for each record."""
        values = list(map(Message.value, messages))
        if not self._headers:
            return Parts([b""] * len(values), values)
        stamps = map(Message.timestamp, messages)
        if len(self._headers) == 1:
            (header,) = self._headers.values()
            return Parts(list(map(header.__getitem__, stamps)), values)
        headers = map(self._headers.__getitem__, map(Message.topic, messages))
        return Parts(list(map(Header.__getitem__, headers, stamps)), values)


def octet_counted(messages: Parts) -> bytes:
    """Each after its length and a blank (RFC 6587, 3.4.1)."""
    sizes = messages.sizes()
    few = max(sizes, default=0) < len(COUNTS)
    counts = map(COUNTS.__getitem__ if few else b"%d ".__mod__, sizes)
    return b"".join(chain.from_iterable(zip(counts, *messages, strict=True)))


def lines(messages: Parts) -> bytes:
    """One a line (RFC 6587, 3.4.2); line breaks within one become a blank."""
    joined = b"".join(chain.from_iterable(zip(*messages, repeat(b"\n"))))
    if joined.count(b"\n") == len(messages.values) and b"\r" not in joined:
        return joined
    cleaned = [_BREAKS.sub(b" ", value) for value in messages.values]
    return b"".join(chain.from_iterable(zip(messages.heads, cleaned, repeat(b"\n"))))

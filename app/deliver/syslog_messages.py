"""Records as syslog messages, and those in frames. Pure.

A record in the format rfc5424 is a syslog message; one in any other format becomes the MSG of one
(RFC 5424, 6) of facility 13 (log audit) and severity 6, with the time at which Northbound wrote the
record, this host, APP-NAME northbound and the feed as MSGID.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from operator import add
from typing import Final

from confluent_kafka import Message

from app.deliver.destination import Feed

PRI: Final = 13 * 8 + 6
COUNTS: Final = [b"%d " % number for number in range(1 << 14)]
_BREAKS = re.compile(rb"[\r\n]+")


class Header(dict[int, bytes]):
    """The header of a feed's messages, by time in ms; those of the newest moments are kept."""

    MOST: Final = 1000

    def __init__(self, feed: str, host: str) -> None:
        super().__init__()
        self._rest = f"{host} northbound - {feed} - "

    def __missing__(self, moment: int) -> bytes:
        if len(self) >= self.MOST:
            self.clear()
        time = dt.datetime.fromtimestamp(max(moment, 0) / 1000, dt.UTC)
        text = time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made = self[moment] = f"<{PRI}>1 {text} {self._rest}".encode()
        return made


class Syslog:
    """Makes syslog messages of records of these feeds."""

    def __init__(self, feeds: Sequence[Feed], host: str) -> None:
        printable = re.sub(r"[^!-~]", "_", host)[:255] or "-"
        self._headers: Mapping[str, Header] = {
            feed.topic: Header(feed.name, printable) for feed in feeds if feed.format != "rfc5424"
        }

    def __call__(self, messages: Sequence[Message]) -> list[bytes]:
        """One syslog message for each record."""
        values = list(map(Message.value, messages))
        if not self._headers:
            return values
        return list(map(add, self._heads(messages), values))

    def _heads(self, messages: Sequence[Message]) -> list[bytes]:
        times = [moment for _, moment in map(Message.timestamp, messages)]
        if len(self._headers) == 1:
            (header,) = self._headers.values()
            return list(map(header.__getitem__, times))
        headers = map(self._headers.__getitem__, map(Message.topic, messages))
        return list(map(Header.__getitem__, headers, times))


def octet_counted(messages: Sequence[bytes]) -> bytes:
    """Each after its length and a blank (RFC 6587, 3.4.1)."""
    sizes = list(map(len, messages))
    few = max(sizes, default=0) < len(COUNTS)
    counts = map(COUNTS.__getitem__ if few else b"%d ".__mod__, sizes)
    return b"".join(chain.from_iterable(zip(counts, messages, strict=True)))


def lines(messages: Sequence[bytes]) -> bytes:
    """One a line (RFC 6587, 3.4.2); line breaks within one become a blank."""
    joined = b"\n".join(messages) + b"\n"
    if joined.count(b"\n") == len(messages) and b"\r" not in joined:
        return joined
    return b"\n".join(map(_BREAKS.sub, repeat(b" "), messages)) + b"\n"

"""One line of RFC 3164, exactly: `[<PRI>][TIMESTAMP] [HOSTNAME] [TAG[PID]:] MSG`, as it is met.

What names no HOSTNAME or TAG keeps its words in MSG, which is the rest of the line as it is, but
for blanks and a byte order mark at its start. Vendors' ways that are read too:

- Cisco: `<189>123: host: 000456: *Mar  1 00:00:00.123 UTC: %SYS-5-CONFIG_I: text`; a `*` or `.`
  says that the clock is not to be trusted, and the time counts nevertheless; an uptime is no time.
- Cisco ASA: `<166>Jul 26 2018 12:17:46 host : %ASA-6-302014: text`, `<164>%ASA-4-106023: text`.
- AIX: `Message forwarded from host: tag: text`.
- Meraki: `<134>1 1563249630.774247467 host tag text`.
- Lists of `key=value`, JSON, CEF, LEEF and PAN-OS values, which have no TAG before them.
- The header of an RFC 5424 message that is malformed further on, up to HOSTNAME.
"""

import re
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

from topology.parse import bsd_timestamp
from topology.parse.bsd_timestamp import SECOND_US
from topology.parse.parsed import MalformedError

DEFAULT_PRI: Final = 13
"""user.notice, for a line without PRI (RFC 3164 section 4.3.3)."""
BYTE_ORDER_MARK: Final = "\ufeff"

PRI: Final = re.compile(r"<([0-9]{1,3})>")
VERSION: Final = re.compile(r"[1-9][0-9]{0,2} (?=[0-9]{4}-[0-9]{2}-|- )")
EPOCH: Final = re.compile(r"1 ([0-9]{10})(?:\.([0-9]{1,9}))?(?= )")
SEQUENCE: Final = re.compile(r"(?:: ?)?(?:([0-9]+): )?")
ORIGIN: Final = re.compile(r"(?:(?P<host>(?![0-9]+: )\S+): )?(?:[0-9]+: )?")
UPTIME: Final = re.compile(r"(?:(?:[0-9]+[ywdh]){1,2}|[0-9]+:[0-9]{2}:[0-9]{2}): (?=%)")
FORWARDED: Final = re.compile(r"Message forwarded from (\S+): ?")
WORD: Final = re.compile(r"[^ ]*")
BRACKETED: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?= |$)")
NAME_AND_PID: Final = re.compile(r"[^\s\[\]:=]+\[[^\]\s]*\]:?")
MNEMONIC: Final = re.compile(r"%[A-Z][A-Z0-9_]*(?:-[A-Z0-9_]+)*-[0-7]-[A-Z0-9_]+:(?= |$)")
"""Cisco's `%FACILITY-SEVERITY-MNEMONIC:`."""
HOST_BEFORE_TAG: Final = re.compile(
    rf"([^\s\[\]:=%]+)(?: (?=[^\s\[\]:=]+\[[0-9]+\]:)| ?: (?={MNEMONIC.pattern}))"
)
"""What shows that the first word of a line without a time is a host."""
UNTAGGED: Final = re.compile(
    r"[\[{(<\"'=]|(?:CEF|LEEF):[0-9]|[^\s:=\[]*=|[0-9]+,[0-9]{4}/[0-9]{2}/[0-9]{2} "
)
TAG: Final = re.compile(r"([^\s\[:]+)(?:\[([^\]\s]*)\])?(:| :(?= |$))?")


class Header(NamedTuple):
    """What is before MSG but PRI. `micros`: since the epoch; `written`: the time as it was."""

    micros: int | None = None
    written: str | None = None
    host: str | None = None
    app: str | None = None
    pid: str | None = None


def parse_line(text: str, received: int, zone: ZoneInfo | None) -> tuple[Any, ...]:
    """The columns of rfc5424.SCHEMA but `row`. `received`: microseconds since the epoch.

    Raises MalformedError for a line that has neither PRI nor TIMESTAMP.
    """
    found = PRI.match(text)
    pri = DEFAULT_PRI if found is None else int(found[1])
    if pri > 191:
        raise MalformedError(f"PRI is over 191: {pri}")
    rest = text[found.end() :] if found else text
    header, message = _read(rest.lstrip(" "), received, zone)
    if found is None and header.micros is None:
        raise MalformedError(f"expected <PRI> or a time stamp, saw {text[:20]!r}")
    message = message.lstrip(" ").removeprefix(BYTE_ORDER_MARK)
    return (
        *(pri, pri >> 3, pri & 7, None, header.micros, header.written),
        *(header.host or None, header.app or None, header.pid or None, None, "{}"),
        message or None,
    )


def _read(text: str, received: int, zone: ZoneInfo | None) -> tuple[Header, str]:
    stamp = bsd_timestamp.read(text)
    if stamp is not None:
        return _timed(text, 0, stamp, received, zone)
    meraki = EPOCH.match(text)
    if meraki is not None:
        micros = int(meraki[1]) * SECOND_US + int((meraki[2] or "0").ljust(6, "0")[:6])
        header, message = _after_time(text[meraki.end() :])
        return header._replace(micros=micros, written=meraki[0][2:]), message
    version = VERSION.match(text)
    if version is not None:
        return _malformed_5424(text, version.end(), received, zone)
    return _cisco(text, received, zone)


def _timed(
    text: str, start: int, stamp: bsd_timestamp.Stamp, received: int, zone: ZoneInfo | None
) -> tuple[Header, str]:
    header, message = _after_time(text[stamp.end :].removeprefix(":"))
    micros = bsd_timestamp.instant(stamp.written, received, zone)
    return header._replace(micros=micros, written=text[start : stamp.end]), message


def _cisco(text: str, received: int, zone: ZoneInfo | None) -> tuple[Header, str]:
    """A number, a host and another number may be before the time; or there is no time."""
    sequence = SEQUENCE.match(text)
    start = sequence.end() if sequence else 0
    # Without a number `word: time` is as likely a message that begins with a time.
    origin = ORIGIN.match(text, start) if sequence and sequence[1] else None
    places: list[tuple[int, str | None]] = [(start, None)]
    if origin is not None:
        places.append((origin.end(), origin["host"]))
    for place, host in places:
        marked = place + text.startswith(("*", "."), place)
        stamp = bsd_timestamp.read(text, marked)
        if stamp is not None:
            header, message = _timed(text, marked, stamp, received, zone)
            return header._replace(host=host or header.host), message
        uptime = UPTIME.match(text, place)
        if uptime is not None or (place and text.startswith("%", place)):
            header, message = _tag(text[uptime.end() if uptime else place :])
            return header._replace(host=host), message
    named = HOST_BEFORE_TAG.match(text)
    if named is not None:
        header, message = _tag(text[named.end() :])
        return header._replace(host=named[1]), message
    return _tag(text)


def _malformed_5424(
    text: str, start: int, received: int, zone: ZoneInfo | None
) -> tuple[Header, str]:
    stamp = bsd_timestamp.read(text, start)
    if stamp is None and not text.startswith("- ", start):
        return Header(), text
    end = stamp.end if stamp else start + 1
    host, _, message = text[end:].removeprefix(" ").partition(" ")
    if stamp is None:
        return Header(host=_name(host)), message
    micros = bsd_timestamp.instant(stamp.written, received, zone)
    return Header(micros, text[start:end], _name(host)), message


def _after_time(text: str) -> tuple[Header, str]:
    """HOSTNAME, TAG and MSG, where HOSTNAME may be missing."""
    text = text.lstrip(" ")
    forwarded = FORWARDED.match(text)
    if forwarded is not None:
        header, message = _tag(text[forwarded.end() :])
        return header._replace(host=forwarded[1]), message
    bracketed = BRACKETED.match(text)
    if bracketed is not None:
        header, message = _tag(text[bracketed.end() + 1 :])
        return header._replace(host=bracketed[1]), message
    found = WORD.match(text)
    word = found[0] if found else ""
    rest = text[len(word) + 1 :]
    if word == ":":
        return _tag(text)
    if word.endswith(":") and not word.endswith("::"):
        if MNEMONIC.match(rest) and not word.startswith("%"):
            header, message = _tag(rest)
            return header._replace(host=word[:-1]), message
        return _tag(text)
    if UNTAGGED.match(text) or NAME_AND_PID.match(text):
        return _tag(text)
    if rest.startswith(" "):
        return Header(host=_name(word)), rest
    header, message = _tag(rest)
    return header._replace(host=_name(word)), message


def _tag(text: str) -> tuple[Header, str]:
    """TAG and MSG. A colon by itself stands for an empty TAG."""
    if text == ":" or text.startswith(": "):
        text = text[1:].lstrip(" ")
        if MNEMONIC.match(text) is None:
            return Header(), text
    found = None if UNTAGGED.match(text) else TAG.match(text)
    if found is None:
        return Header(), text
    return Header(app=_name(found[1]), pid=found[2]), text[found.end() :]


def _name(word: str) -> str | None:
    return None if word == "-" else word

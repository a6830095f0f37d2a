"""Lines that cannot become events, one kind each; every one of them must end as a dead letter.

None holds a line feed, so that they are one message under every framing.
"""

from collections.abc import Callable
from random import Random
from typing import Final

Make = Callable[[Random, bytes, bytes], bytes]
"""(random, header of a good line, its body) → a bad line"""


def _junk(random: Random, _header: bytes, _body: bytes) -> bytes:
    """Neither UTF-8 nor syslog."""
    return bytes(random.randrange(0x80, 0x100) for _ in range(random.randrange(20, 200)))


def _half_path(_random: Random, header: bytes, _body: bytes) -> bytes:
    """Latin-1 in a path that the sender cut off."""
    return header + b'10.1.1.1,"AD\\anna",smb2,fs_open,ok,7,"/M\xfcnchen/Vertr\xe4ge'


KINDS: Final[tuple[tuple[str, Make], ...]] = (
    ("header cut off", lambda _random, header, _body: header[: header.index(b" qumulo")]),
    ("PRI out of range", lambda _random, header, body: b"<999>" + header[4:] + body),
    ("no such time", lambda _random, header, body: header[:6] + b"2026-13-45T25:61:00Z"
     + header[header.index(b" ", 7):] + body),
    ("no message", lambda _random, header, _body: header),
    ("values missing", lambda _random, header, _body: header + b'10.1.1.1,"AD\\anna",smb2,fs_open'),
    ("JSON cut off", lambda _random, header, _body: header + b'{"user_id": {"name": "AD\\\\an'),
    ("JSON of something else", lambda _random, header, _body: header + b'{"hello": ["world"]}'),
    ("neither UTF-8 nor syslog", _junk),
    ("Latin-1, cut off", _half_path),
)  # fmt: skip
"""Kinds by name."""


def malformed(number: int, random: Random, header: bytes, body: bytes) -> bytes:
    """The `number`-th malformed line; kinds take turns."""
    return KINDS[number % len(KINDS)][1](random, header, body)

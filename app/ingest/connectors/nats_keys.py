"""Nkeys and credentials files of NATS: who we are, proved by a signature over the server's nonce.

A seed is `base32(prefix, 32 octets, CRC)` of an Ed25519 key, and a credentials file a JWT with the
seed that goes with it, each between lines that say so (docs.nats.io: "NKeys" and "Creds files";
github.com/nats-io/nkeys: README.md, "Encoding"). nats-py leaves the signing to a package of its own
that we do without: the same keys are in `cryptography`.
"""

import base64
import binascii
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SEED: Final = 18 << 3
USER: Final = 20 << 3
"""Prefixes of the encoding: seeds begin with S, users with U."""
LENGTH: Final = 36
BLOCK: Final = re.compile(r"-{3,}BEGIN ([A-Z ]+)-{3,}\s+(\S+)\s+-{3,}END ([A-Z ]+)-{3,}")
JWT_BLOCK: Final = "NATS USER JWT"
SEED_BLOCK: Final = "USER NKEY SEED"


class KeyFileError(ValueError):
    """What is wrong with a file; never says what is in it."""


@dataclass(frozen=True)
class UserKey:
    """A user's key, and for a server with operators the JWT that vouches for it."""

    public: str
    sign: Callable[[str], bytes] = field(repr=False, compare=False)
    """From the server's nonce to the base64 text of its signature."""
    jwt: str | None = field(default=None, repr=False)


def read_nkey(path: Path) -> UserKey:
    """A file that holds a user's seed. Raises KeyFileError and OSError."""
    lines = [line.strip() for line in _text(path).splitlines()]
    seeds = [line for line in lines if line.startswith("S")]
    if len(seeds) != 1:
        raise KeyFileError(f"expected one line with a seed (SU...), found {len(seeds)}")
    return _user_key(seeds[0], None)


def read_credentials(path: Path) -> UserKey:
    """A credentials file, as `nsc` makes it. Raises KeyFileError and OSError."""
    blocks = {name: body for name, body, end in BLOCK.findall(_text(path)) if name == end}
    for name in (JWT_BLOCK, SEED_BLOCK):
        if name not in blocks:
            raise KeyFileError(f"expected a block {name}, found none; make it with `nsc`")
    return _user_key(blocks[SEED_BLOCK], blocks[JWT_BLOCK])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise KeyFileError("expected text, found other bytes") from None


def _user_key(seed: str, jwt: str | None) -> UserKey:
    try:
        data = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        raise KeyFileError("the seed is not base32") from None
    if len(data) != LENGTH or _crc(data[:-2]) != data[-2:]:
        raise KeyFileError("the seed is damaged: length or checksum is wrong")
    kind = (data[0] & 7) << 5 | data[1] >> 3
    if data[0] & 0xF8 != SEED or kind != USER:
        raise KeyFileError("the seed is not that of a user; expected one that begins with SU")
    key = Ed25519PrivateKey.from_private_bytes(data[2:-2])
    public = bytes([USER]) + key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    name = base64.b32encode(public + _crc(public)).decode().rstrip("=")
    return UserKey(name, lambda nonce: base64.b64encode(key.sign(nonce.encode())), jwt)


def _crc(data: bytes) -> bytes:
    """CRC-16/XMODEM, low octet first."""
    return binascii.crc_hqx(data, 0).to_bytes(2, "little")

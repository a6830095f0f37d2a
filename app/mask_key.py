"""The key behind the hashes of masked attributes: one file, made once, readable by its owner alone.

Each tenant has a key of its own that is derived from it, so equal values have equal hashes within
a tenant and other ones elsewhere. Whoever loses the file gets other hashes from then on.
"""

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

BYTES: Final = 32


class MaskKeyError(ValueError):
    """Why there is no key; what to do about it."""


def tenants_key(file: Path, tenant: str, *, make: bool) -> bytes:
    """The tenant's key, 32 bytes. `make`: without a file one is made. Raises MaskKeyError.

    Workers make none: each on a host of its own would hash with another one.
    """
    try:
        if make and not file.exists():
            _make(file)
        mode, text = file.stat().st_mode, file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is no text"
        raise MaskKeyError(
            f"{file}: {reason}; it holds the key of masked attributes, made by `northbound up`, "
            "`setup` or `tenants add`. Every host with workers needs the same one"
        ) from None
    if mode & 0o077:
        raise MaskKeyError(f"{file} can be read by others: chmod 600 {file}")
    try:
        master = bytes.fromhex(text)
    except ValueError:
        master = b""
    if len(master) != BYTES:
        raise MaskKeyError(
            f"{file} holds no key, expected {BYTES * 2} hexadecimal digits; bring back a copy, as "
            "with another key all hashes change"
        )
    return hmac.digest(master, b"northbound mask\0" + tenant.encode(), "sha256")


def _make(file: Path) -> None:
    """Make the file with a new key, whole or not at all; of several at once one wins."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as opened:
            opened.write(f"{secrets.token_hex(BYTES)}\n")
            opened.flush()
            os.fsync(opened.fileno())
        os.link(part, file)
    except FileExistsError:
        pass
    finally:
        part.unlink()

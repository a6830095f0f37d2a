"""Files that hold a secret. Apart from what makes certificates, which is much to load."""

import os
from pathlib import Path


def write_private(file: Path, content: bytes) -> None:
    """Replace `file` at once with `content`, readable by the owner alone from its first byte.

    It is on disk then: keys, passwords and the cluster's id cannot be made again, and a machine
    without power would have an empty file of that name.
    """
    part = file.with_name(f".{file.name}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        os.fchmod(opened.fileno(), 0o600)
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    part.replace(file)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

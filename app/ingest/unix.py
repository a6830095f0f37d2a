"""Socket files of Unix listeners: one that somebody listens on is never taken away from him."""

import contextlib
import errno
import os
import socket
import stat
from pathlib import Path


def make_way(path: Path, kind: socket.SocketKind) -> None:
    """Remove a socket file that an agent killed earlier left behind, and nothing else.

    Raises OSError where somebody listens on it: senders would not find him any more, and what they
    send would go to whoever came second, or to nobody once that one ends.
    """
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            return  # binding fails, and says so
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:  # nobody is there
            remove(path)
            return
        except PermissionError:
            raise
        except OSError:  # somebody is: of the other kind, or with more than he can accept
            pass
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), str(path))


def remove(path: Path) -> None:
    """Remove one's own socket file; where that is not to be, the next start does."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)

"""Many small TLS records in one call.

OpenSSL hands out one record a call. Senders that write a line at a time make a record of each, and
an event loop that asks for them one by one pays as much for asking as for all the rest of a line.
"""

import contextlib
import ssl
from itertools import repeat
from typing import Any, Final

PIECE: Final = 256
"""Octets that one call asks for; larger records come in several pieces."""
PIECES: Final = 128


class RecordReader(ssl.SSLObject):
    """As SSLObject, but a read into a buffer that gets at most `PIECE` octets goes on at once.

    It ends where SSLObject.read would raise, or after `PIECES` more calls. A broken record is told
    by the read that follows the one with the octets before it.
    """

    _error: ssl.SSLError | None = None

    def read(self, size: int = 1024, buffer: Any = None) -> Any:
        """Up to `size` octets, or their number where they are written to `buffer`; none at the end
        of the stream. Raises ssl.SSLError as SSLObject.read does."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        first: Any = super().read(size, buffer)
        if buffer is None or not 0 < first <= PIECE:
            return first
        # SSLObject.read would be a call in Python for each record.
        read = self._sslobj.read  # type: ignore[attr-defined]
        pieces: list[bytes] = []
        try:
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pieces.extend(map(read, repeat(PIECE, min(PIECES, (size - first) // PIECE))))
        except ssl.SSLError as error:
            self._error = error
        data = b"".join(pieces)
        end: int = first + len(data)
        buffer[first:end] = data
        return end

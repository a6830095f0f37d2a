"""MaxMind tables (.mmdb) become enrichers. Needs the package extra `geoip`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app import extras
from app.lookups import LookupErrors, version
from topology.enrich.geoip import GeoIP, Record

if TYPE_CHECKING:
    from maxminddb import Reader


def load_geoip(path: Path, fields: Sequence[str]) -> GeoIP:
    """Read a table of locations, or of autonomous systems. Raises LookupErrors."""
    try:
        from maxminddb import InvalidDatabaseError  # noqa: PLC0415  # an extra
    except ImportError:
        raise LookupErrors([f"{path}: {extras.missing('geoip')}"]) from None
    try:
        content = path.read_bytes()
    except OSError as error:
        raise LookupErrors([f"{path}: cannot be read: {error.strerror}"]) from None
    try:
        reader = _reader(path.name, content)
    except (InvalidDatabaseError, OSError, ValueError) as error:
        raise LookupErrors([f"{path}: is no MaxMind table (.mmdb): {error}"]) from None

    def look_up(address: str) -> Record | None:
        try:
            found = reader.get(address)
        except (ValueError, InvalidDatabaseError):
            # No address, or one of IPv6 in a table of IPv4, or a damaged part of the file.
            return None
        return found if isinstance(found, dict) else None

    return GeoIP(fields, look_up, version(path, content))


def _reader(name: str, content: bytes) -> "Reader":
    """The table in memory: its file may be written over while workers run.

    The quick reader maps a file, so it is given one that lives in memory and has no other name.
    """
    import maxminddb  # noqa: PLC0415  # an extra

    number = os.memfd_create(name)
    try:
        with os.fdopen(os.dup(number), "wb") as file:
            file.write(content)
        return maxminddb.open_database(f"/proc/self/fd/{number}")
    finally:
        os.close(number)

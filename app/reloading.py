"""Enrichers whose files may change while workers run: the next batches are enriched from the new.

A file is taken up once it was the same in two looks, so that one being written is not read half;
better still is to write another one and rename it. One that cannot be used is told in the log, and
the old table stays in use. Which of them an event was enriched from is its enrichment's `provider`.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import polars as pl

from app.lookups import LookupErrors
from topology.enrich import Enricher

log = logging.getLogger(__name__)

Stamp: TypeAlias = tuple[int, int, int]
"""Inode, size and time of change of a file in nanoseconds."""


class Reloading:
    """An enricher that `look` exchanges for one from the changed file."""

    def __init__(self, path: Path, load: Callable[[], Enricher]) -> None:
        """Raises what `load` raises."""
        self._path = path
        self._load = load
        self._taken = self._seen = _stamp(path)
        self._current = load()
        self.name = self._current.name

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events as the present table enriches them."""
        return self._current.apply(events)

    def look(self) -> bool:
        """Read the file again if it changed, which may take seconds; whether it was taken up.

        To be called from time to time, by one thread, which need not be that of the batches.
        """
        stamp = _stamp(self._path)
        settled = stamp == self._seen
        self._seen = stamp
        if stamp is None or stamp == self._taken or not settled:
            return False
        try:
            found = self._load()
        except LookupErrors as error:
            if _stamp(self._path) == stamp:
                self._taken = stamp
                log.warning("A changed table cannot be used; the old one stays in use. %s", error)
            return False
        if _stamp(self._path) != stamp:
            return False
        self._current, self._taken = found, stamp
        log.info("A changed table is in use. path=%s", self._path)
        return True


def look_at(enrichers: Iterable[Enricher]) -> None:
    """Look at the files of those that have one. Never raises."""
    for enricher in enrichers:
        if isinstance(enricher, Reloading):
            try:
                enricher.look()
            except Exception:
                log.exception("A table could not be looked at. enricher=%s", enricher.name)


def _stamp(path: Path) -> Stamp | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

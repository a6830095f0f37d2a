"""Files that may change while workers run: the next batches are made with what they say then.

A file is taken up once it was the same in two looks, so that one being written is not read half;
better still is to write another one and rename it. One that cannot be used is told in the log, and
what was there before stays in use. Of an enrichment `provider` tells which table it is from.
"""

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, Generic, TypeAlias, TypeVar

import polars as pl

from app.dictionary_topics import TopicDictionary
from topology.enrich import Enricher

log = logging.getLogger(__name__)

Stamp: TypeAlias = tuple[object, ...]
"""Changes with what a file holds: its inode, size and time of change in nanoseconds."""

RESTART: Final = "Start them anew (`northbound down`, `northbound up`)"
"""What to do about what workers take up at their start alone."""

Made = TypeVar("Made")


class Reloading(Generic[Made]):
    """Something made of a file, which `look` makes anew when the file has changed."""

    def __init__(
        self,
        path: Path,
        load: Callable[[], Made],
        stamp: Callable[[Path], Stamp | None] | None = None,
    ) -> None:
        """Raises what `load` raises: ValueError for what cannot be used. `stamp` is that of a file,
        unless given; None says that nothing is there."""
        self.path = path
        self.problem: str | None = None
        """Why what is in the file now is not in use."""
        self._load = load
        self._stamp = stamp or file_stamp
        self._taken = self._seen = self._stamp(path)
        self.current = load()

    def look(self) -> bool:
        """Read the file again if it changed, which may take seconds; whether it was taken up.

        To be called from time to time, by one thread, which need not be that of the batches.
        """
        stamp = self._stamp(self.path)
        settled = stamp == self._seen
        self._seen = stamp
        if stamp is None or stamp == self._taken or not settled:
            return False
        try:
            found = self._load()
        except ValueError as error:
            if self._stamp(self.path) == stamp:
                self._taken, self.problem = stamp, str(error)
                log.warning("A changed file cannot be used; the old one stays in use. %s", error)
            return False
        if self._stamp(self.path) != stamp:
            return False
        self.current, self._taken, self.problem = found, stamp, None
        log.info("A changed file is in use. path=%s", self.path)
        return True


class ReloadingEnricher(Reloading[Enricher]):
    """An enricher whose table may change."""

    def __init__(self, path: Path, load: Callable[[], Enricher]) -> None:
        super().__init__(path, load)
        self.name = self.current.name

    def apply(self, events: pl.DataFrame) -> pl.DataFrame:
        """The events as the present table enriches them."""
        return self.current.apply(events)


def look_at(found: Iterable[object]) -> None:
    """Look at the files and topics of those that may be made anew. Never raises."""
    for each in found:
        if isinstance(each, Reloading | TopicDictionary):
            place = each.path if isinstance(each, Reloading) else each.topic
            try:
                each.look()
            except Exception:
                log.exception("A table could not be looked at. place=%s", place)


def file_stamp(path: Path) -> Stamp | None:
    """Of one file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

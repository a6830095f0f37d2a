"""What a store has of a group beside its matches, and when the group of an entry is due."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, cast

import orjson

from topology.correlate.chunks import KIND, span, spans
from topology.correlate.long_episode import LongEpisode
from topology.rules import Correlation

LEAST: Final = -(2**63)
HEAD: Final = b"h" + bytes(8)
"""What follows a group's key in the key of its head."""
VERSION: Final = b"\x02"
OLDER: Final = b"\x01"
"""Of heads that do not say what the last alert took."""
LONG: Final = b"\x03"
"""Of heads that also tell of a long episode."""


@dataclass(frozen=True, slots=True)
class Said:
    """A provisional alert that nothing final was said about yet: as it was, for its end."""

    time: int
    uid: str
    start: int
    end: int
    count: int


class Head(NamedTuple):
    """`start`: matches before it were judged. `taken`: matches up to this time count for no alert
    any more. `due`: when something is that nobody was told of. `long`: an episode that goes on."""

    start: int
    said: list[Said]
    taken: int = LEAST
    due: int | None = None
    long: LongEpisode | None = None

    def written(self) -> bytes:
        """For the store."""
        said = [(s.time, s.uid, s.start, s.end, s.count) for s in self.said]
        content = [self.start, said, self.taken, self.due]
        if self.long is None:
            return VERSION + orjson.dumps(content)
        return LONG + orjson.dumps([*content, self.long.content()])


def read(value: bytes) -> Head:
    """Of what `written` gave. Raises ValueError for an unknown version."""
    if value[:1] not in (VERSION, OLDER, LONG):
        raise ValueError(f"saw version {value[:1]!r} of a group's head, expected {VERSION!r}")
    start, said, *later = orjson.loads(value[1:])
    taken, due, long = [*later, None, None, None][:3]
    return Head(
        start,
        [Said(*each) for each in said],
        LEAST if taken is None else taken,
        due,
        None if long is None else LongEpisode.of_content(long),
    )


def due_of(suffix: bytes, value: bytes, correlation: Correlation) -> int:
    """When the group of an entry is due, as far as this entry tells: no later than it really is.

    Raises ValueError for an unknown version.
    """
    if suffix[:1] == KIND:
        first, latest, _ = span(value)
        if correlation.rising:
            return latest + correlation.timespan_ms
        return first + correlation.timespan_ms - 1
    head = read(value)
    dues = [said.time + correlation.suppress_ms for said in head.said]
    if head.due is not None:
        dues.append(head.due)
    return min(dues, default=head.start)


def dues_of(chunks: Sequence[bytes], correlation: Correlation) -> list[int]:
    """The same for many chunks. Raises ValueError for an unknown version."""
    first, latest = spans(chunks)
    if correlation.rising:
        return cast("list[int]", (latest + correlation.timespan_ms).tolist())
    return cast("list[int]", (first + (correlation.timespan_ms - 1)).tolist())

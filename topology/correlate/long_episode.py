"""An episode that goes on and on: what its alert will say of it is kept, and not each match.

Once the watermark has passed the match that opened an episode, what it takes is settled, all that
comes up to its end. An alert names the first LINKED of these matches; of the others it tells how
many they are, when the last one was, and how many values all have. So of those that the watermark
has passed, too, no more is kept. Else a backup that reads for an hour under a rule on mass reading
would hold every file that it read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from topology.correlate.digests import NONE, Digests, digests, merged, unseen
from topology.correlate.episodes import Episode, Match, Past


@dataclass(slots=True)
class LongEpisode:
    """`opened` and `until` are the episode's; its matches came after `keep`. `count` of them are
    not kept, and the last of these was at `last`."""

    opened: Match
    keep: int
    until: int
    count: int = 0
    last: int = 0
    values: Digests | None = None
    """Of all matches that the watermark has passed; None: they are in the store alone."""

    def pass_by(self, gone: Sequence[Match]) -> None:
        """Count matches, in their order, that are not kept any longer."""
        self.count += len(gone)
        self.last = gone[-1][0]

    def add_values(self, matches: Sequence[Match]) -> Digests:
        """Take the values of matches; those that were not there yet."""
        known = NONE if self.values is None else self.values
        fresh = unseen(known, digests(match[2] for match in matches))
        self.values = merged(known, fresh)
        return fresh

    def episode(self, kept: Sequence[Match]) -> Episode:
        """The whole of it, when it has ended; `kept` are the matches that are not counted here."""
        values = NONE if self.values is None else self.values
        return Episode(self.opened, kept, self.until, Past(self.count, self.last, values))

    def content(self) -> list[Any]:
        """For a head record."""
        return [self.opened, self.keep, self.until, self.count, self.last]

    @classmethod
    def of_content(cls, content: list[Any]) -> "LongEpisode":
        """The same again."""
        (time, uid, value), keep, until, count, last = content
        opened = (time, uid, tuple(value) if isinstance(value, list) else value)
        return cls(opened, keep, until, count, last)

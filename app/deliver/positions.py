"""How far a lane's partitions are with its receiver: what may be committed, what is under way."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from typing import TypeAlias

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""


class Positions:
    """Of the partitions that the lane has. An offset is that of the next record."""

    def __init__(self) -> None:
        self.done: dict[Place, int] = {}
        """Up to where the receiver has everything, for every partition."""
        self._under_way: deque[tuple[int, dict[Place, int]]] = deque()
        self._changed: set[Place] = set()
        self.sent = 0
        """Records handed to the destination since it was opened."""
        self.acknowledged = 0
        """Of these, those that the receiver has."""

    @property
    def places(self) -> Collection[Place]:
        """The partitions."""
        return self.done.keys()

    @property
    def waiting(self) -> int:
        """Records that are not acknowledged."""
        return self.sent - self.acknowledged

    def assign(self, offsets: Mapping[Place, int]) -> None:
        """Partitions that are new here, with where they begin."""
        self.done.update(offsets)

    def revoke(self, places: Iterable[Place]) -> None:
        """Partitions that are another's from now on: nothing of them may be committed here, also
        when they come back, of what is under way."""
        for place in places:
            self.done.pop(place, None)
            self._changed.discard(place)
            for _, reached in self._under_way:
                reached.pop(place, None)

    def wrote(self, records: int, reached: Mapping[Place, int]) -> None:
        """So many records more are under way; the partitions then stand at `reached`."""
        self.sent += records
        self._under_way.append((self.sent, dict(reached)))

    def read(self, place: Place) -> int:
        """Where the partition stands behind all that was read of it, what is under way included."""
        found = (reached[place] for _, reached in reversed(self._under_way) if place in reached)
        return next(found, self.done[place])

    def settle(self, acknowledged: int) -> int:
        """The receiver has so many records since the destination was opened; how many are new."""
        new = acknowledged - self.acknowledged
        self.acknowledged = acknowledged
        while self._under_way and self._under_way[0][0] <= acknowledged:
            _, reached = self._under_way.popleft()
            for place, offset in reached.items():
                if self.done.get(place, offset) != offset:
                    self.done[place] = offset
                    self._changed.add(place)
        return new

    def lost(self) -> int:
        """The connection is: what was under way is to be sent again; how many records."""
        waiting = self.waiting
        self._under_way.clear()
        self.sent = self.acknowledged = 0
        return waiting

    def due(self) -> dict[Place, int]:
        """What has changed since it was asked last, to be committed."""
        changed = {place: self.done[place] for place in self._changed}
        self._changed.clear()
        return changed

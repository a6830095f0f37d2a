"""How far a lane's partitions are with its receiver: what may be committed, what is under way."""

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from confluent_kafka import Message

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""


class Written(NamedTuple):
    """What was handed to the destination at once: how many records there have been with it, where
    the partitions then stand, and the records, where the receiver may have a part of them."""

    sent: int
    reached: dict[Place, int]
    messages: Sequence[Message]


class Positions:
    """Of the partitions that the lane has. An offset is that of the next record."""

    def __init__(self) -> None:
        self.done: dict[Place, int] = {}
        """Up to where the receiver has everything, for every partition."""
        self._under_way: deque[Written] = deque()
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
            for each in self._under_way:
                each.reached.pop(place, None)

    def wrote(
        self, records: int, reached: Mapping[Place, int], messages: Sequence[Message] = ()
    ) -> None:
        """So many records more are under way; the partitions then stand at `reached`.

        `messages`: all of them, of a destination that tells of a part of them."""
        self.sent += records
        self._under_way.append(Written(self.sent, dict(reached), messages))

    def read(self, place: Place) -> int:
        """Where the partition stands behind all that was read of it, what is under way included."""
        found = (each.reached[place] for each in reversed(self._under_way) if place in each.reached)
        return next(found, self.done[place])

    def settle(self, acknowledged: int) -> int:
        """The receiver has so many records since the destination was opened; how many are new."""
        new = acknowledged - self.acknowledged
        self.acknowledged = acknowledged
        while self._under_way and self._under_way[0].sent <= acknowledged:
            for place, offset in self._under_way.popleft().reached.items():
                self._move(place, offset)
        return new

    def lost(self) -> int:
        """The connection is: what the receiver has not acknowledged is to be sent again, and
        nothing that it has, as far as records are known; how many records."""
        waiting = self.waiting
        if self._under_way:
            sent, reached, messages = self._under_way[0]
            for message in messages[: max(0, self.acknowledged - (sent - len(messages)))]:
                place = message.topic(), message.partition()
                if place in reached:
                    self._move(place, message.offset() + 1)
        self._under_way.clear()
        self.sent = self.acknowledged = 0
        return waiting

    def due(self) -> dict[Place, int]:
        """What has changed since it was asked last, to be committed."""
        changed = {place: self.done[place] for place in self._changed}
        self._changed.clear()
        return changed

    def again(self, places: Iterable[Place]) -> None:
        """What was due of these was not committed."""
        self._changed.update(place for place in places if place in self.done)

    def _move(self, place: Place, offset: int) -> None:
        if self.done.get(place, offset) != offset:
            self.done[place] = offset
            self._changed.add(place)

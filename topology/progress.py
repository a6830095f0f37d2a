"""How far event time is complete, as one partition of `matches` has heard of it.

Sub-topology 1 sends the watermark of each raw partition to every partition of `matches`. What
waits for some sources goes by the least watermark of all their raw partitions that were heard of,
and never goes back. What counts alerts (topology/chained.py), or what lists let pass, waits for all
partitions of `matches`, once a source behind it was heard of.
"""

import struct
from collections.abc import Callable, Collection
from typing import TypeAlias

from topology.records import KeyValueStore
from topology.topics import Partition

NOTHING = -(2**63)
MARK = b"\0w"
"""Store key of a raw partition's watermark; no tenant begins with NUL."""
SOURCE = b"\0s"
"""Store key of what a topic's watermark has reached."""
VALUE = struct.Struct("<Bq")
VERSION = 1
CHAIN = "\1"
"""Begins what stands for a topic of alerts that others count."""
Behind: TypeAlias = Callable[[str], Collection[str]]
"""The raw topics behind what stands for a topic."""


class Progress:
    """Watermarks of raw partitions, by topic; kept in the store."""

    def __init__(self, store: KeyValueStore, partitions: int, behind: Behind) -> None:
        """`partitions`: how many `matches` has."""
        self._behind = behind
        self._store = store
        self._partitions = partitions
        self._marks: dict[str, dict[int, int]] = {}
        self._reached: dict[str, int] = {}
        self._asked: dict[tuple[str, ...], int] = {}

    @staticmethod
    def owns(key: bytes) -> bool:
        """Whether a store key is one of these."""
        return key[:1] == b"\0"

    def restore(self, key: bytes, value: bytes) -> None:
        """Take over an entry of the store. Raises ValueError for an unknown version."""
        version, mark = VALUE.unpack(value)
        if version != VERSION:
            raise ValueError(f"saw version {version} of a watermark, expected {VERSION}")
        name = key[2:].decode()
        if key.startswith(SOURCE):
            self._reached[name] = mark
        else:
            topic, _, number = name.rpartition("\0")
            self._marks.setdefault(topic, {})[int(number)] = mark

    def forget(self, filled: Collection[Partition]) -> None:
        """Wait no longer for raw partitions that are not `filled`: they hold no record, so they are
        of a topic that was made anew, or are not there any more."""
        for topic, marks in self._marks.items():
            for number in [] if topic[:1] == CHAIN else list(marks):
                if (topic, number) not in filled:
                    del marks[number]
                    self._store.delete(MARK + f"{topic}\0{number}".encode())
        self._marks = {topic: marks for topic, marks in self._marks.items() if marks}
        self._asked.clear()

    def observe(self, partition: Partition, mark: int) -> bool:
        """Take a raw partition's watermark; whether its topic's watermark moved."""
        topic, number = partition
        marks = self._marks.setdefault(topic, {})
        if mark <= marks.get(number, NOTHING) and number in marks:
            return False
        self._asked.clear()
        marks[number] = mark
        self._store.put(MARK + f"{topic}\0{number}".encode(), VALUE.pack(VERSION, mark))
        if topic[:1] == CHAIN and len(marks) < self._partitions:
            return False
        least = min(marks.values())
        if least <= self._reached.get(topic, NOTHING):
            return False
        self._reached[topic] = least
        self._store.put(SOURCE + topic.encode(), VALUE.pack(VERSION, least))
        return True

    def reached(self, topics: tuple[str, ...]) -> int:
        """The watermark of what waits for these raw topics; those never heard of do not count."""
        mark = self._asked.get(topics)
        if mark is None:
            heard = [
                self._reached.get(topic, NOTHING)
                for topic in topics
                if topic in self._marks or (topic[:1] == CHAIN and self._heard_behind(topic))
            ]
            mark = self._asked[topics] = min(heard, default=NOTHING)
        return mark

    def _heard_behind(self, topic: str) -> bool:
        return any(raw in self._marks for raw in self._behind(topic))

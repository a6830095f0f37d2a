"""Correlations that count the alerts of others: a final alert becomes a match of theirs.

It goes back into `matches`, to the partition of the group that counts it, and with it how far each
partition has come: what counts the alerts of a rule waits for all partitions that may have some.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import orjson

from schemas import packed
from schemas.codec import encode
from topology.correlate import chunks
from topology.correlate.episodes import Episode, Match
from topology.correlate.marks import mark_of
from topology.keys import group_of, opened
from topology.progress import CHAIN
from topology.records import Output
from topology.rules import Chained, Correlation, is_number
from topology.topics import Names


def topic_of(tenant: str, rule: str) -> str:
    """What stands for a topic of the alerts of a tenant's rule where one waits for them."""
    return f"{CHAIN}{tenant}\0{rule}"


def rule_of(topic: str) -> tuple[str, str] | None:
    """Tenant and rule that something stands for; None for the name of a topic."""
    if topic[:1] != CHAIN:
        return None
    tenant, _, rule = topic[1:].partition("\0")
    return tenant, rule


def delay_ms(correlation: Correlation) -> int:
    """How far back in event time a final alert may lie when the watermark brings it.

    A rising one is settled a mute time after its provisional alert, and what decides it in the end
    may have come later and be a mute time earlier.
    """
    return 2 * correlation.suppress_ms if correlation.rising else correlation.timespan_ms


class Fed(NamedTuple):
    """A match of a correlation that counts alerts."""

    correlation: Correlation
    group: tuple[str, ...]
    match: Match


class Chains:
    """Which correlations count the alerts of which."""

    def __init__(
        self, correlations: Sequence[Correlation], steps: Collection[str] = frozenset()
    ) -> None:
        """`steps`: ids of those whose alerts change lists, which wait for them, too."""
        self._into: dict[str, list[tuple[Correlation, Chained]]] = {}
        for correlation in correlations:
            for entry in correlation.chained:
                self._into.setdefault(entry.rule, []).append((correlation, entry))
        self.counted = [
            each for each in correlations if each.rule.id in self._into or each.rule.id in steps
        ]
        """The correlations whose alerts others wait for."""

    def matches(self, rule: str, group: tuple[str, ...], episode: Episode) -> Iterator[Fed]:
        """What a final alert of a group is for others; the event that decided it stands for it."""
        time, uid, _ = episode.opened
        for correlation, entry in self._into.get(rule, ()):
            values = [group[place] for place in entry.values]
            if correlation.numeric and not is_number(values[0]):
                continue
            value: str | tuple[str, ...] | None = rule if correlation.steps else None
            if values:
                value = values[0] if len(values) == 1 else tuple(values)
            own = tuple(group[place] for place in entry.group)
            yield Fed(correlation, own, (time, uid, value))

    def contents(
        self, tenant: str, rule: str, group: tuple[str, ...], episode: Episode
    ) -> dict[str, dict[str, dict[str, str] | str]]:
        """What `matches` says, by the other's id, as topology/list_records.py has it."""
        found: dict[str, dict[str, dict[str, str] | str]] = {}
        for correlation, own, (_, uid, value) in self.matches(rule, group, episode):
            if correlation.rule.serves(tenant):
                values = value if isinstance(value, tuple) else (value,)
                if value is None or correlation.steps:
                    values = ()
                counted: dict[str, dict[str, str] | str]
                counted = {"g": _placed(own), "v": _placed(values)}
                if mark := mark_of(uid):
                    counted["m"] = mark
                found[correlation.rule.id] = counted
        return found

    def records(self, key: bytes, episode: Episode) -> Iterator[tuple[bytes, bytes]]:
        """Keys and Partials for `matches` from a final alert."""
        tenant, rule, group = group_of(key)
        for correlation, own, (time, uid, value) in self.matches(rule, group, episode):
            if not correlation.rule.serves(tenant):
                continue
            counted = b"" if value is None else orjson.dumps([value])
            members = (chunks.TIME.pack(time), uid.encode(), counted, b"")
            other, beginning = opened("Partial", tenant, correlation.rule.id, own)
            yield other, packed.partial(beginning, members, packed.text(""))


def _placed(texts: Sequence[str | None]) -> dict[str, str]:
    return {str(place): str(text) for place, text in enumerate(texts)}


def watermarks(
    names: Names, partition: int, marks: dict[str, int], partitions: int
) -> list[Output]:
    """How far one partition of `matches` has come with alerts, told to all; `marks` by topic."""
    values = [
        encode("Watermark", {"topic": topic, "partition": partition, "watermark": mark})
        for topic, mark in marks.items()
    ]
    if not values:
        return []
    return [
        Output(names.matches, values, [b""] * len(values), number) for number in range(partitions)
    ]

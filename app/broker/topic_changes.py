"""What differs between topics as declared and topics as the cluster has them; asks nobody.

Topics are created, get more partitions and other settings; never fewer partitions, never deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from topology.topics import Names, Topic

Action: TypeAlias = Literal["create", "grow", "set"]

STEMS = ("raw", "normalized", "enrichment", "northbound")
"""What the names of topics that belong to a source, a table or a tenant begin with."""


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do: create a topic, grow it to `partitions`, or set `config` entries.

    `was` holds the entries' present values and `had` the present number of partitions; empty and 0
    for a topic that is created.
    """

    action: Action
    topic: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)
    was: Mapping[str, str] = field(default_factory=dict)
    had: int = 0

    def __str__(self) -> str:
        if self.action == "grow":
            return f"grow {self.topic} to {self.partitions} partitions"
        if self.action == "set":
            changes = [f"{key}={self.was.get(key)} -> {new}" for key, new in self.config.items()]
            return f"set {self.topic} {' '.join(changes)}"
        entries = " ".join(f"{key}={value}" for key, value in self.config.items())
        return f"create {self.topic} with {self.partitions} partitions {entries}"


@dataclass(frozen=True, slots=True)
class Found:
    """A topic as it is in the cluster."""

    name: str
    topic_id: str
    partitions: int
    replication: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Topics as far as they may be seen: name → topic, name → settings, name → why it may not."""

    topics: Mapping[str, Found] = field(default_factory=dict)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    hidden: Mapping[str, str] = field(default_factory=dict)


def differences(declared: Sequence[Topic], seen: Seen) -> tuple[list[Change], list[str]]:
    """What has to change so that every declared topic is as declared; and, each in one message,
    the topics whose number of partitions may never change and differs.

    More partitions than declared are left alone; topics that may not be seen are left out.
    """
    changes: list[Change] = []
    problems: list[str] = []
    for topic in declared:
        wanted = topic.settings()
        if topic.name in seen.hidden:
            continue
        if topic.name not in seen.topics:
            changes.append(Change("create", topic.name, _wanted(topic, seen.topics), wanted))
            continue
        partitions = seen.topics[topic.name].partitions
        if topic.fixed and partitions != topic.partitions:
            problems.append(
                f"{topic.name} has {partitions} partitions, the configuration says "
                f"{topic.partitions}. State depends on this number, so it never changes: set "
                f"kafka.matches_partitions to {partitions}."
            )
        elif partitions < (enough := _wanted(topic, seen.topics)):
            changes.append(Change("grow", topic.name, enough, had=partitions))
        now = seen.settings[topic.name]
        differs = {key: value for key, value in wanted.items() if not _same(now.get(key), value)}
        if differs:
            was = {key: now.get(key, "") for key in differs}
            changes.append(Change("set", topic.name, partitions, differs, was, partitions))
    return changes, problems


def undeclared(names: Names, declared: Iterable[Topic], known: Iterable[str]) -> list[str]:
    """Those of `known` that are named as ours are, and nobody declares."""
    ours = tuple(f"{names.prefix}{stem}." for stem in STEMS)
    wanted = {topic.name for topic in declared}
    return sorted(name for name in known if name.startswith(ours) and name not in wanted)


def _wanted(topic: Topic, found: Mapping[str, Found]) -> int:
    """How many partitions a topic has at least: as many as the one that it is like."""
    like = found.get(topic.alike) if topic.alike is not None else None
    return topic.partitions if like is None else max(topic.partitions, like.partitions)


def _same(now: str | None, wanted: str) -> bool:
    """Kafka may print a list in another order: `compact,delete` and `delete,compact`."""
    return now is not None and sorted(now.split(",")) == sorted(wanted.split(","))

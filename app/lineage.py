"""From an alert to its events, and from an event to the raw line that it was made of."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from app.alert_records import findings
from app.reading import IS_IT_UP, TIMEOUT, ReadingError, open_reader, partitions, read, take

EVENT_UID: Final = re.compile(r"([A-Za-z0-9_-]{11})-(\d+)-(\d+)(?:-(\d+))?(?:-aggregated)?")
"""That of an aggregated event begins with its first one's, and names that one's record."""
RUN: Final = 2_000
"""Records that are read over rather than sought past."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the raw record of an event is; `number`: which event of the record, from 0."""

    topic: str
    partition: int
    offset: int
    number: int | None = None


def place_of(uid: str, origins: Mapping[str, str]) -> Place | None:
    """The place that an event's uid names; None for one that is no event's uid.

    `origins`: the stem of uids by raw topic. Raises ReadingError for a stem of another topic.
    """
    found = EVENT_UID.fullmatch(uid)
    if found is None:
        return None
    stem, partition, offset, number = found.groups()
    topic = next((topic for topic, each in origins.items() if each == stem), None)
    if topic is None:
        raise ReadingError(
            f"{uid}: no raw topic here gives uids that begin with {stem}; it is of another cluster,"
            " or its topic was deleted"
        )
    return Place(topic, int(partition), int(offset), int(number) if number else None)


def alerts(client: Mapping[str, Any], topics: Sequence[str], uid: str) -> list[dict[str, Any]]:
    """What was said of an alert, in order; it may have been given to several tenants.

    Raises ReadingError.
    """
    return findings((message.value() for message in read(client, topics)), uid)


def raw_records(client: Mapping[str, Any], places: Sequence[Place]) -> Iterator[Message]:
    """The records of these places that are still kept, by topic, partition and offset.

    Raises ReadingError when Kafka is away.
    """
    wanted: dict[tuple[str, int], set[int]] = {}
    for place in places:
        wanted.setdefault((place.topic, place.partition), set()).add(place.offset)
    consumer = open_reader(client)
    try:
        topics = sorted({topic for topic, _ in wanted})
        there = {(each.topic, each.partition) for each in partitions(consumer, topics)}
        for (topic, partition), offsets in sorted(wanted.items()):
            for run in _runs(sorted(offsets)) if (topic, partition) in there else ():
                yield from _run(consumer, TopicPartition(topic, partition), run)
    except KafkaException as error:
        text = error.args[0].str()
        raise ReadingError(f"Kafka does not say what it has: {text}; {IS_IT_UP}") from None
    finally:
        consumer.close()


def _runs(offsets: Sequence[int]) -> Iterator[list[int]]:
    """Offsets that are close enough to each other to be read in one go."""
    run: list[int] = []
    for offset in offsets:
        if run and offset - run[-1] > RUN:
            yield run
            run = []
        run.append(offset)
    yield run


def _run(consumer: Consumer, start: TopicPartition, offsets: Sequence[int]) -> Iterator[Message]:
    """Records of one partition with these offsets; those that are gone are left out."""
    low, high = consumer.get_watermark_offsets(start, timeout=TIMEOUT)
    left = {offset for offset in offsets if low <= offset < high}
    if not left:
        return
    start.offset = min(left)
    consumer.assign([start])
    last, heard = max(left), time.monotonic()
    while left:
        found, ended = take(consumer, RUN)
        if found:
            heard = time.monotonic()
        for message in found:
            if message.offset() in left:
                left.discard(message.offset())
                yield message
        if ended or (found and found[-1].offset() >= last):
            return
        if time.monotonic() - heard > TIMEOUT:
            raise ReadingError(f"nothing came from Kafka for {TIMEOUT:.0f} s; {IS_IT_UP}")

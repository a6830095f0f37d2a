"""Copies of stores whose partitions other members own, so that a take-over reads only the tail.

A thread of its own reads their changelogs, read_committed, with a consumer of its own. A copy is a
kept store whose position moves on: it holds what was delivered up to there, maybe half of a
committed transaction, and the owner-to-be completes it as it completes any kept store, to the end
of the changelog. What goes wrong here costs a copy and no more.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import ConsumerGroupDescription

from app.runtime.changelog import is_unreadable
from app.runtime.clients import Clients
from app.runtime.errors import EngineError
from app.runtime.heirs import inherited
from app.runtime.settings import EngineSettings
from app.runtime.statistics import EngineStatistics
from app.runtime.store import Store
from app.runtime.stores import MAX_AGE, Moment, Stores
from app.runtime.watchdog import Watchdog

log = logging.getLogger("northbound.runtime")

CHUNK = 5_000
"""Records that are applied under the lock at once, some 5 ms: as long as a hand-over may wait."""
WAIT_S = 0.2
LOOK_S = 5.0
"""Seconds between two looks at the group."""
SOON_S = 0.5
"""The same while the group is being rebalanced."""
RETRY_S = 5.0
FAILURES = 10
"""Looks in a row that failed when it is told."""
SAVE_S = 60.0
CALL_S = 10.0
STOP_S = 2.0

Where = tuple[str, int]
"""(store name, partition)"""


class Standby:
    """The copies of one engine; `settings.standby` of each store in the whole group.

    Stores of one input topic have none: nobody knows who inherits its partitions.
    """

    def __init__(
        self,
        settings: EngineSettings,
        clients: Clients,
        watchdog: Watchdog,
        statistics: EngineStatistics,
    ) -> None:
        self._settings = settings
        self._clients = clients
        self._statistics = statistics.standby
        self._opener = Stores(settings, clients, watchdog)
        self._names = {topic: name for name, topic in settings.changelogs.items()}
        self._lock = threading.Lock()
        self._copies: dict[Where, Store] = {}
        self._positions: dict[Where, int] = {}
        """Up to where the copies were filled; on disk it costs too much to note it at once."""
        self._targets: dict[Where, int] = {}
        """Where the changelogs ended when the copies were begun."""
        self._current: set[Where] = set()
        self._owned: set[Where] = set()
        self._spare: dict[Where, Store] = {}
        self._changes = 0
        self._due = 0.0
        self._save_due = 0.0
        self._seen = Moment.now()
        self._failures = 0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to copy; does nothing where no copies are wanted."""
        if self._settings.standby and self._settings.shared:
            name = f"{self._settings.name}-standby"
            self._thread = threading.Thread(target=self._run, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Copy no longer. Nothing depends on how far the copies came."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def exchange(self, owned: Collection[Where], kept: Mapping[Where, Store]) -> dict[Where, Store]:
        """The copies of what is owned from now on; nobody else touches these stores any more.

        `kept` are the stores that were owned so far: what is no longer owned may become a copy.
        """
        if self._thread is None:
            return {}
        with self._lock:
            self._owned = set(owned)
            found = {where: self._copies.pop(where) for where in owned if where in self._copies}
            for where, store in found.items():
                store.position = self._positions.pop(where)
            self._spare = {where: one for where, one in kept.items() if where not in self._owned}
            self._due = time.monotonic() + SOON_S
            if found:
                self._changed()
        return found

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._follow()
            except Exception as error:  # copies are made anew, the engine goes on
                log.warning(
                    "Standby copies are made anew. engine=%s reason=%s", self._settings.name, error
                )
                self._hold(set())
                self._stopped.wait(RETRY_S)
        try:
            self._save()
        except EngineError as error:
            log.warning("Standby copies are not saved. engine=%s: %s", self._settings.name, error)
        self._hold(set())

    def _follow(self) -> None:
        consumer = self._clients.consumer(self._settings.standby_config())
        admin = self._clients.admin(self._settings.client)
        self._due = 0.0
        self._seen = Moment.now()
        followed: list[TopicPartition] = []
        changes = -1
        try:
            while not self._stopped.is_set():
                if time.monotonic() >= self._due:
                    self._look(admin)
                if changes != self._changes:
                    changes, followed = self._partitions()
                    consumer.assign(followed)
                if not followed:
                    self._stopped.wait(WAIT_S)
                elif messages := consumer.consume(CHUNK, WAIT_S):
                    self._apply(messages, consumer)
                if time.monotonic() >= self._save_due:
                    self._save()
        finally:
            consumer.close()

    def _partitions(self) -> tuple[int, list[TopicPartition]]:
        """Where to read on, and the count of changes that it goes with."""
        topics = self._settings.changelogs
        with self._lock:
            return self._changes, [
                TopicPartition(topics[name], number, position or OFFSET_BEGINNING)
                for (name, number), position in self._positions.items()
            ]

    def _look(self, admin: Any) -> None:
        """Ask the group who is in it, and copy what this member is to inherit."""
        settings = self._settings
        try:
            futures = admin.describe_consumer_groups([settings.group], request_timeout=CALL_S)
            group = futures[settings.group].result(CALL_S)
        except (KafkaException, FutureTimeoutError) as error:
            # The copies are as good as before; a coordinator may only have moved.
            self._due = time.monotonic() + SOON_S
            self._failures += 1
            if self._failures == FAILURES:
                log.warning("Group %s cannot be described: %s", settings.group, error)
            return
        self._failures = 0
        if self._seen.age > MAX_AGE:
            raise RuntimeError("deletions since they were last filled may have left the changelog")
        self._seen = Moment.now()
        stable = group.state == ConsumerGroupState.STABLE
        self._due = time.monotonic() + (LOOK_S if stable else SOON_S)
        if stable:
            self._hold(self._inheritance(group))

    def _inheritance(self, group: ConsumerGroupDescription) -> set[Where]:
        settings = self._settings
        members = {each.group_instance_id or each.member_id: each for each in group.members}
        own = [name for name, each in members.items() if each.client_id == settings.instance]
        numbers = [
            one.partition
            for each in group.members
            for one in each.assignment.topic_partitions
            if one.topic in settings.topics
        ]
        partitions = max(numbers, default=-1) + 1
        return {
            (name, number)
            for mine in own
            for number in inherited(members, partitions, mine, settings.standby)
            for name in settings.shared
        }

    def _hold(self, wanted: set[Where]) -> None:
        """Copy these, but for those that are owned by now."""
        with self._lock:
            given_up = self._copies.keys() - wanted
            missing = wanted - self._owned - self._copies.keys()
            for where in given_up:
                self._copies.pop(where).close()
                del self._positions[where]
            found = {where: self._spare[where] for where in missing if where in self._spare}
            self._spare.clear()
        found |= self._opener.open(missing - found.keys())
        with self._lock:
            for where, store in found.items():
                if where in self._owned:
                    store.close()
                else:
                    self._copies[where], self._positions[where] = store, store.position
            if given_up or found:
                self._changed()

    def _save(self) -> None:
        """Note on disk how far copies there have come."""
        self._save_due = time.monotonic() + SAVE_S
        with self._lock:
            for where, store in self._copies.items():
                store.position = self._positions[where]

    def _apply(self, messages: Sequence[Message], consumer: Any) -> None:
        by_copy: defaultdict[Where, list[Message]] = defaultdict(list)
        ends: dict[Where, int] = {}
        for message in messages:
            where = self._names.get(message.topic(), ""), message.partition()
            error = message.error()
            if error is None:
                by_copy[where].append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # a public constant
                ends[where] = message.offset()
            elif is_unreadable(error):
                raise RuntimeError(f"store {where[0]!r} [{where[1]}]: {error.str()}")
        targets = {where: self._end(consumer, where) for where in by_copy}
        with self._lock:
            for where, own in by_copy.items():
                if where in self._copies:
                    store = self._copies[where]
                    store.load(list(map(Message.key, own)), list(map(Message.value, own)))
                    self._reached(where, own[-1].offset() + 1, targets[where])
                    self._statistics.records += len(own)
            for where, end in ends.items():
                if where in self._copies:
                    # Behind the last record there are markers and what was aborted.
                    self._reached(where, end, end)
            self._statistics.caught_up = len(self._current)

    def _end(self, consumer: Any, where: Where) -> int | None:
        """The end of a changelog as the last fetch said, open transactions included."""
        at = TopicPartition(self._settings.changelogs[where[0]], where[1])
        bounds = consumer.get_watermark_offsets(at, cached=True)
        return bounds[1] if bounds is not None and bounds[1] >= 0 else None

    def _reached(self, where: Where, position: int, end: int | None) -> None:
        """A copy is filled up to there; under load it is never told that it is at the end."""
        self._positions[where] = position = max(self._positions[where], position)
        if end is not None and position >= self._targets.setdefault(where, end):
            self._current.add(where)

    def _changed(self) -> None:
        """Other partitions are to be read from now on; under the lock."""
        self._changes += 1
        self._current &= self._copies.keys()
        self._targets = {
            where: self._targets[where] for where in self._targets.keys() & self._copies
        }
        self._statistics.stores = len(self._copies)
        self._statistics.caught_up = len(self._current)

"""Where an engine's stores come from: memory, or folders below the state directory.

A folder belongs to one partition of one changelog in one cluster; workers of a state directory take
over each other's folders, one at a time.
"""

import logging
import time
from collections.abc import Collection, Iterable
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Any, NamedTuple, Self

from confluent_kafka import KafkaException, TopicCollection

from app.runtime.clients import Clients
from app.runtime.disk_store import DiskStore, HeldError
from app.runtime.errors import EngineError
from app.runtime.settings import EngineSettings
from app.runtime.store import Store
from app.runtime.watchdog import Watchdog
from topology.topics import TOMBSTONES_MS

log = logging.getLogger("northbound.runtime")

MAX_AGE = TOMBSTONES_MS / 2000
"""Seconds after which a local store is not continued: half of the time that deletions stay."""
COPIES = 64
"""Folders of one partition that are tried, as many as there may be workers beside each other."""
RETRY = 0.1


class Moment(NamedTuple):
    """By both clocks: one may be set back, the other stands still while the machine is asleep."""

    wall: float
    steady: float

    @classmethod
    def now(cls) -> Self:
        return cls(time.time(), time.monotonic())

    @property
    def age(self) -> float:
        """Seconds that have passed since."""
        return max(time.time() - self.wall, time.monotonic() - self.steady)


class Stores:
    """Opens partitions of stores."""

    def __init__(self, settings: EngineSettings, clients: Clients, watchdog: Watchdog) -> None:
        self._settings = settings
        self._clients = clients
        self._watchdog = watchdog
        self._admin: Any = None

    def open(self, wanted: Collection[tuple[str, int]]) -> dict[tuple[str, int], Store]:
        """A store for each (store name, partition); what is on disk may be out of date."""
        if self._settings.store == "memory" or not wanted:
            return {where: Store() for where in wanted}
        changelogs = self._settings.changelogs
        cluster, ids = self._identities({changelogs[name] for name, _ in wanted})
        opened: dict[tuple[str, int], Store] = {}
        try:
            for name, number in wanted:
                topic = changelogs[name]
                identity = {
                    "cluster": cluster,
                    "topic": topic,
                    "topic id": ids[topic],
                    "partition": number,
                }
                opened[name, number] = self._open(self._folder(topic), number, identity)
        except Exception:
            for store in opened.values():
                store.close()
            raise
        return opened

    def _folder(self, topic: str) -> Path:
        assert self._settings.state is not None  # noqa: S101  # the settings see to it
        return self._settings.state / "stores" / topic

    def _open(self, folder: Path, number: int, identity: dict[str, Any]) -> Store:
        for copy in range(COPIES):
            place = folder / (f"{number}.{copy}" if copy else str(number))
            try:
                store = DiskStore.open(place, identity, MAX_AGE)
            except HeldError:
                log.info("Local store is another worker's, the next is used. folder=%s", place)
                continue
            if store.begun is not None:
                log.info("Local store begun anew: %s. folder=%s", store.begun, place)
            return store
        raise EngineError(
            f"All {COPIES} copies of partition {number} below {folder} are held by other workers; "
            "use another state directory."
        )

    def _identities(self, topics: Iterable[str]) -> tuple[str, dict[str, str]]:
        """The cluster's id, and the id of each topic; a topic that is made anew has another one."""
        names = sorted(topics)
        if self._admin is None:
            self._admin = self._clients.admin(self._settings.client)
        limit = self._settings.call_timeout
        deadline = time.monotonic() + limit
        late = limit / 4 + 0.5
        # The last try begins right before the deadline; a standby that waits is to end no process.
        with self._watchdog.guard(f"{self._settings.name}: ids of changelogs", limit * 1.5 + 2):
            while True:
                try:
                    cluster = self._admin.describe_cluster(request_timeout=limit / 4).result(late)
                    found = self._admin.describe_topics(
                        TopicCollection(names), request_timeout=limit / 4
                    )
                    described = {name: future.result(late) for name, future in found.items()}
                except (KafkaException, FutureTimeoutError) as error:
                    if time.monotonic() > deadline:
                        raise EngineError(
                            f"The ids of the cluster and of {', '.join(names)} were not to be had "
                            f"within {limit:g} s: {error}"
                        ) from error
                    time.sleep(RETRY)
                else:
                    return str(cluster.cluster_id), {
                        name: str(topic.topic_id) for name, topic in described.items()
                    }

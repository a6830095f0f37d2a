"""Which feeds `northbound tenants pause` holds, as Kafka has it, for the deliveries of a process.

A pause is a right denied to the tenant's user. Northbound's own user may read on, so deliveries ask
for these rights and leave held topics alone, and those of a tenant that was removed while they run,
whose rights are gone. A thread of its own asks, with one request for all.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, Protocol, TypeAlias

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from app.broker import admin, rights
from app.broker.cluster_error import ClusterError
from topology.topics import Names

log = logging.getLogger(__name__)

ASK_S: Final = 1.0
SELDOM_S: Final = 60.0
"""How often a cluster is asked that does not say."""
UNSAID: Final = frozenset({KafkaError.CLUSTER_AUTHORIZATION_FAILED, KafkaError.SECURITY_DISABLED})
"""What a cluster answers of which nobody learns what is denied."""

WAITING: Final = "Nothing is delivered until then."

Held: TypeAlias = Callable[[str], bool]
"""Whether nothing of this topic may be delivered now."""


class Asking(Protocol):
    """Topics that are held, of those of these tenants. Raises ClusterError."""

    def __call__(self, names: Names, of: Collection[str]) -> set[str]: ...


def nothing(_topic: str) -> bool:
    """Nothing is held."""
    return False


def asking(client: Mapping[str, Any]) -> Asking:
    """Ask a cluster. `client`: librdkafka configuration of Northbound's own processes."""
    return Rights(admin.connect(client))


class Rights:
    """Asks by a client. A tenant that could read and may read nothing any more was removed: nothing
    is denied to it then, and its topics are held. Of one that never could nothing is known."""

    def __init__(self, connected: AdminClient) -> None:
        self._admin = connected
        self._seen: set[str] = set()

    def __call__(self, names: Names, of: Collection[str]) -> set[str]:
        """See Asking."""
        denied, may = rights.paused_topics(self._admin, names, of)
        self._seen |= may
        gone = self._seen - may
        return denied | {
            rights.feed_topic(names, tenant, feed) for tenant in gone for feed in rights.FEEDS
        }


class Pauses:
    """Until Kafka has answered for the first time everything is held, so that a process that starts
    while a tenant is paused delivers nothing of it. While Kafka does not answer, what it said last
    stays. A cluster that keeps such rights to itself, or has none, holds nothing."""

    def __init__(self, ask: Asking, names: Names, of: Iterable[str]) -> None:
        self._ask = ask
        self._names = names
        self._tenants = frozenset(of)
        self._topics: frozenset[str] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pauses", daemon=True)

    def held(self, topic: str) -> bool:
        """As of now; asks nobody."""
        return self._topics is None or topic in self._topics

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stopping.set()

    def _run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            wait = ASK_S
            try:
                found = frozenset(self._ask(self._names, self._tenants))
            except ClusterError as error:
                topics = self._topics
                if _unsaid(error):
                    wait = SELDOM_S
                    topics = topics or frozenset()
                if str(error) != said:
                    stays = "What was held is." if topics else "Nothing is held."
                    log.warning("%s %s", error, WAITING if topics is None else stays)
                said, self._topics = str(error), topics
            except Exception:
                log.exception("Whether tenants are paused was not learnt.")
            else:
                said = ""
                if found != self._topics:
                    log.info(
                        "Held by `tenants pause|remove`: %s", ", ".join(sorted(found)) or "nothing"
                    )
                self._topics = found
            self._stopping.wait(wait)


def _unsaid(error: ClusterError) -> bool:
    cause = error.__cause__
    problem = cause.args[0] if cause is not None and cause.args else None
    return isinstance(problem, KafkaError) and problem.code() in UNSAID

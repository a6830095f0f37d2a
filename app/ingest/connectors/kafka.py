"""Topics on a Kafka cluster of others, copied into a raw topic: value, key, time; exactly once."""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

from app.ingest.connectors.connector import Connector
from app.ingest.connectors.copying import Copy
from app.ingest.ledger import Ledger
from app.ingest.settings import AgentSettings, ConnectorSettings

if TYPE_CHECKING:
    from app.config import Config
    from app.config.connectors import KafkaConnector as Keys

log = logging.getLogger(__name__)

STOP_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class KafkaSettings(ConnectorSettings):
    """`theirs`: librdkafka configuration for the other cluster, as pairs; may hold a password.

    `name`: transactional id on our cluster, and what the copy's offsets are kept under.
    """

    kind: ClassVar[str] = "kafka"

    bootstrap: str
    topics: tuple[str, ...]
    theirs: tuple[tuple[str, Any], ...] = field(default=(), repr=False)
    name: str
    offsets_topic: str
    from_end: bool = False

    @property
    def place(self) -> str:
        """Topics and cluster."""
        return f"{', '.join(self.topics)} at {self.bootstrap}"

    @property
    def topics_needed(self) -> tuple[str, ...]:
        """Where its offsets are kept."""
        return (self.offsets_topic,)


class KafkaConnector(Connector[KafkaSettings]):
    """A record counts as received when its transaction is committed."""

    def __init__(self, settings: KafkaSettings, client: Mapping[str, Any], topic: str) -> None:
        super().__init__(settings)
        self._copy = Copy(
            dict(client),
            dict(settings.theirs),
            settings.topics,
            topic,
            name=settings.name,
            offsets_topic=settings.offsets_topic,
            from_end=settings.from_end,
        )

    async def start(self) -> None:
        """Begin to copy; a cluster that is away is waited for."""
        self._copy.start()
        log.info("Copying. topics=%s source=%s", self.settings.place, self.settings.source)

    @property
    def stalled(self) -> bool:
        """Whether Kafka takes nothing of what waits."""
        return self._copy.stalled

    def account(self) -> Ledger:
        """The ledger as of now."""
        ledger, totals = self.ledger, self._copy.totals
        ledger.published = totals.copied
        ledger.refused = Counter(totals.refused)
        ledger.received = totals.copied + totals.refused.total()
        ledger.bytes, ledger.empty = totals.bytes, totals.empty
        ledger.faults = Counter(totals.faults)
        ledger.acknowledgements = totals.transactions
        ledger.acknowledgement_s = totals.transaction_s
        return ledger

    async def stop(self, drain_s: float) -> None:  # noqa: ARG002  # what is not copied stays there
        """End after the transaction in hand."""
        await asyncio.to_thread(self._copy.stop, STOP_S)


def settings(config: "Config", keys: "Keys", _tls: object) -> KafkaSettings:
    """Keys of northbound.yaml as the connector is told them. Raises ConfigError for a secret."""
    at = ("connectors", config.connectors.index(keys), "security")
    security = keys.security.client(config, at)
    return KafkaSettings(
        source=keys.source,
        bootstrap=keys.bootstrap,
        topics=tuple(keys.topics),
        theirs=(("bootstrap.servers", keys.bootstrap), *sorted(security.items())),
        name=config.names.group(f"copy-{keys.source}"),
        offsets_topic=config.names.connector_offsets,
        from_end=keys.start == "end",
    )


def make(
    chosen: KafkaSettings, _agent: AgentSettings, client: Mapping[str, Any], topic: str
) -> KafkaConnector:
    """A connector that is not started."""
    return KafkaConnector(chosen, client, topic)

"""What the agent is told: plain data, filled from northbound.yaml by the command."""

from dataclasses import dataclass
from pathlib import Path

from app.ingest.framing import LIMIT, Mode, Oversize
from app.ingest.publisher import KeyBy


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One port. Port 0 means any free one. `limit`: bytes of a message before it is cut."""

    source: str
    host: str
    port: int
    protocol: str = "tcp"
    framing: Mode = "auto"
    limit: int = LIMIT
    oversize: Oversize = "split"
    key: KeyBy = "peer"


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """All of an agent. `ticks`: seconds of quiet after which a source's partition gets a tick.

    `web`: where /health, /ready and /metrics are; None for nowhere. `status_file` is rewritten
    every second. `buffer_kib`: what may wait for Kafka in memory, for each listener, before its
    senders are held back. `drain_s`: how long a stop waits for senders, `flush_s` for Kafka.
    """

    listeners: tuple[ListenerSettings, ...]
    ticks: dict[str, float]
    web: tuple[str, int] | None = ("127.0.0.1", 0)
    status_file: Path | None = None
    linger_ms: int = 10
    buffer_kib: int = 65_536
    drain_s: float = 2.0
    flush_s: float = 30.0

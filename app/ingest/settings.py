"""What the agent is told: plain data, filled from northbound.yaml by the command."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from app.ingest.batch import KeyBy
from app.ingest.framing import LIMIT, Mode, Oversize
from app.ingest.proxy import Network
from app.ingest.tls import TlsSettings

Protocol: TypeAlias = Literal["tcp", "udp", "tls", "relp", "relp+tls", "unix"]


@dataclass(frozen=True, slots=True)
class ListenerSettings:
    """One port, or one Unix socket at `path`. Port 0 means any free one.

    `limit`: bytes of a message before it is cut. `proxy_from`: networks of proxies that send a
    PROXY header. `spool_bytes`: what may wait on disk in `spool` while Kafka is away; 0 for none.
    `threads` and `receive_buffer` (bytes) are of datagrams.
    """

    source: str
    host: str = ""
    port: int = 0
    protocol: Protocol = "tcp"
    framing: Mode = "auto"
    limit: int = LIMIT
    oversize: Oversize = "split"
    key: KeyBy = "peer"
    path: Path | None = None
    mode: int = 0o660
    datagram: bool = False
    tls: TlsSettings | None = None
    proxy_from: tuple[Network, ...] = ()
    spool: Path | None = None
    spool_bytes: int = 0
    threads: int = 1
    receive_buffer: int = 4 << 20

    @property
    def place(self) -> tuple[str, int, Path | None]:
        """What two cannot share."""
        return (self.host, self.port, self.path)

    @property
    def where(self) -> str:
        """What is listened on, for people."""
        return str(self.path or f"{self.host}:{self.port}")

    def refused(self, error: OSError) -> OSError:
        """Why it cannot be listened on, with what to do."""
        return cannot_listen(self.where, self.source, error)


def cannot_listen(where: str, source: str, error: OSError) -> OSError:
    """Why an address cannot be listened on, with what to do."""
    return OSError(
        error.errno,
        f"cannot listen on {where} for source {source}: {error.strerror or error}. "
        "Stop what uses the port, or set another `listen` in northbound.yaml",
    )


@dataclass(frozen=True, kw_only=True)
class ConnectorSettings:
    """What every connector is told. Subclasses add their own and say what two cannot share."""

    kind: ClassVar[str] = ""
    spool_bytes: ClassVar[int] = 0

    source: str
    key: KeyBy = "peer"

    @property
    def place(self) -> str:
        """Where the lines come from, for people; two connectors cannot share it."""
        raise NotImplementedError

    @property
    def topics_needed(self) -> tuple[str, ...]:
        """Topics on our cluster beside the source's."""
        return ()

    @property
    def files(self) -> tuple[Path, ...]:
        """Files of secrets and certificates; a change of one is taken up."""
        return ()


InputSettings: TypeAlias = ListenerSettings | ConnectorSettings


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """All of an agent. `ticks`: seconds of quiet after which a source's partition gets a tick.

    `web`: where /health, /ready and /metrics are; None for nowhere. `status_file` is rewritten
    every second. `buffer_kib`: what may wait for Kafka in memory, for each listener, before its
    senders are held back. `drain_s`: how long a stop waits for senders, `flush_s` for Kafka.
    `silent_after`: seconds after which a source that was heard before counts as silent, `low_rate`:
    share of its usual rate that is too low; what happens to sources is told to the source
    `monitor`, if there is one, with whether it is to be an alert (`alert_on`: kinds, by source).
    """

    listeners: tuple[ListenerSettings, ...]
    ticks: dict[str, float]
    web: tuple[str, int] | None = ("127.0.0.1", 0)
    status_file: Path | None = None
    linger_ms: int = 10
    buffer_kib: int = 65_536
    drain_s: float = 2.0
    flush_s: float = 20.0
    silent_after: dict[str, float] = field(default_factory=dict)
    low_rate: dict[str, float] = field(default_factory=dict)
    alert_on: dict[str, frozenset[str]] = field(default_factory=dict)
    monitor: str | None = None
    connectors: tuple[ConnectorSettings, ...] = ()

    @property
    def inputs(self) -> tuple[InputSettings, ...]:
        """Listeners and connectors."""
        return (*self.listeners, *self.connectors)

    @property
    def max_line(self) -> dict[str, int]:
        """Bytes that a line may have, by source; 0 where its input sets no bound."""
        found: dict[str, int] = {}
        for each in self.inputs:
            found[each.source] = max(found.get(each.source, 0), getattr(each, "limit", 0))
        return found

"""The registry of listeners, by protocol; connectors have their own (connectors/registry.py)."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from app.ingest.confirming import ConfirmingPublisher
from app.ingest.connectors.connector import Connector
from app.ingest.connectors.registry import make_connector
from app.ingest.lines import LineListener
from app.ingest.publisher import Publisher
from app.ingest.relp import RelpListener
from app.ingest.settings import (
    AgentSettings,
    ConnectorSettings,
    InputSettings,
    ListenerSettings,
    Protocol,
)
from app.ingest.spill import Spill
from app.ingest.spool import Spool
from app.ingest.udp import DatagramListener

Listener: TypeAlias = LineListener | RelpListener | DatagramListener | Connector[Any]
Client: TypeAlias = Mapping[str, Any]

DATAGRAM_HIGH: Final = 20_000
"""Messages in memory before the spool is used: what a kill can lose."""


def make_listener(
    settings: InputSettings, agent: AgentSettings, client: Client, topic: str
) -> Listener:
    """What `settings` describe, not started. Raises OSError for an unusable spool."""
    if isinstance(settings, ConnectorSettings):
        return make_connector(settings, agent, client, topic)
    return LISTENERS[settings.protocol](settings, agent, client, topic)


def _lines(
    settings: ListenerSettings, agent: AgentSettings, client: Client, topic: str
) -> LineListener:
    publisher = _publisher(settings, agent, client, topic)
    return LineListener(settings, publisher, _spill(settings, publisher, 0))


def _relp(
    settings: ListenerSettings, agent: AgentSettings, client: Client, topic: str
) -> RelpListener:
    return RelpListener(settings, ConfirmingPublisher.of(agent, client, topic))


def _datagrams(
    settings: ListenerSettings, agent: AgentSettings, client: Client, topic: str
) -> DatagramListener:
    def make(number: int) -> tuple[Publisher, Spill | None]:
        publisher = _publisher(settings, agent, client, topic)
        return publisher, _spill(settings, publisher, number)

    return DatagramListener(settings, make)


def _unix(settings: ListenerSettings, agent: AgentSettings, client: Client, topic: str) -> Listener:
    return (_datagrams if settings.datagram else _lines)(settings, agent, client, topic)


LISTENERS: Final[dict[Protocol, Callable[..., Listener]]] = {
    "tcp": _lines,
    "tls": _lines,
    "relp": _relp,
    "relp+tls": _relp,
    "udp": _datagrams,
    "unix": _unix,
}


def _publisher(
    settings: ListenerSettings, agent: AgentSettings, client: Client, topic: str
) -> Publisher:
    return Publisher(
        client,
        topic,
        linger_ms=agent.linger_ms,
        buffer_kib=agent.buffer_kib,
        **({"high_messages": DATAGRAM_HIGH} if settings.spool_bytes else {}),
    )


def _spill(settings: ListenerSettings, publisher: Publisher, number: int) -> Spill | None:
    if not settings.spool_bytes or settings.spool is None:
        return None
    folder = settings.spool / _name(settings, number)
    try:
        spool = Spool(folder, settings.spool_bytes // settings.threads)
    except OSError as error:
        advice = "make it writable, or set `ingest.spool` in northbound.yaml to another folder"
        text = error.strerror if error.filename is None else f"{folder}: {error.strerror}; {advice}"
        raise OSError(error.errno, f"the spool of source {settings.source}: {text}") from None
    return Spill(publisher, spool)


def _name(settings: ListenerSettings, number: int) -> str:
    """The folder of one thread's spool."""
    where = settings.path or f"{settings.host}-{settings.port}"
    name = re.sub(r"[^A-Za-z0-9.-]", "_", f"{settings.source}-{settings.protocol}-{where}")
    return f"{name}-{number}"


def left_over(listeners: Sequence[ListenerSettings]) -> list[tuple[Path, int]]:
    """Spools beside those of these listeners that have something in them, and how many bytes: of
    one that had another address, source or more threads. Nobody sends them, as another agent may
    have them open."""
    spooling = [each for each in listeners if each.spool_bytes and each.spool is not None]
    ours = {_name(each, number) for each in spooling for number in range(each.threads)}
    found: list[tuple[Path, int]] = []
    for folder in sorted({each.spool for each in listeners if each.spool is not None}):
        others = [each for each in folder.glob("*") if each.is_dir() and each.name not in ours]
        sizes = {each: sum(file.stat().st_size for file in each.glob("*.spool")) for each in others}
        found += [(each, size) for each, size in sorted(sizes.items()) if size]
    return found

"""Syslog over TCP and TLS: no acknowledgement, so the kernel's and time have to do.

A record counts as delivered once the receiver's kernel has acknowledged its octets and the
connection has lived on for `hold_s`. When the connection is lost before, it is sent again.
"""

import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from confluent_kafka import Message

from app.deliver.connection import ClientTls, Connection
from app.deliver.destination import Destination, Feed, UnreachableError, Waiting
from app.deliver.settings import client_tls, destination_of
from app.deliver.syslog_messages import Parts, Syslog, lines, octet_counted

if TYPE_CHECKING:
    from app.config import Config
    from app.config.deliveries import Delivery, SyslogDelivery

ROOM: Final = 1000
"""Records of one write: more of them do not stay in the cache until they are sent."""
LOOK_S: Final = 0.05
"""How often it is looked what the receiver's kernel has acknowledged."""
END_S: Final = 3.0


@dataclass(frozen=True, kw_only=True)
class SyslogSettings:
    """Durations in seconds."""

    feeds: tuple[Feed, ...]
    framing: Callable[[Parts], bytes]
    tls: ClientTls | None
    hold_s: float
    timeout_s: float


class SyslogDestination(Destination):
    """One connection at a time."""

    def __init__(self, settings: SyslogSettings, waiting: Waiting) -> None:
        self._settings = settings
        self._waiting = waiting
        self._messages = Syslog(settings.feeds, socket.gethostname())
        self._connection: Connection | None = None
        self._begin()

    def _begin(self) -> None:
        self._records = 0
        self._octets = 0
        self._taken = 0
        self._written: deque[tuple[int, int]] = deque()  # octets and records up to each write
        self._seen: deque[tuple[float, int]] = deque()  # when so many octets were acknowledged
        self._safe = 0  # octets

    def open(self, address: str) -> None:
        """Connect."""
        self._begin()
        settings = self._settings
        self._connection = Connection(address, settings.tls, settings.timeout_s, self._waiting)

    def room(self) -> int:
        """Always some: the kernel holds back."""
        return ROOM

    def write(self, messages: Sequence[Message]) -> None:
        """Returns when the kernel has them."""
        data = self._settings.framing(self._messages(messages))
        self._open().send(data)
        self._octets += len(data)
        self._records += len(messages)
        self._written.append((self._octets, self._records))

    @property
    def acknowledged(self) -> int:
        """Those that were old enough."""
        return self._taken

    def settle(self, _seconds: float) -> int:
        """Those that are old enough."""
        connection, now = self._open(), time.monotonic()
        # With TLS more octets are under way than were written here: never too many count.
        acknowledged = self._octets - connection.unacknowledged()
        while connection.receive():
            pass  # a receiver that talks is not listened to; one that was gone above is noticed
        if not self._seen or now - self._seen[-1][0] >= LOOK_S:
            self._seen.append((now, acknowledged))
        while self._seen and self._seen[0][0] <= now - self._settings.hold_s:
            self._safe = self._seen.popleft()[1]
        while self._written and self._written[0][0] <= self._safe:
            self._taken = self._written.popleft()[1]
        return self._taken

    def finish(self, seconds: float) -> int:
        """All of them, if the receiver ends the connection when it is asked to."""
        if self._open().finish(min(seconds, END_S)):
            self._taken = self._records
        return self._taken

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self) -> Connection:
        if self._connection is None:
            raise UnreachableError("not connected")
        return self._connection


def settings(
    config: "Config", delivery: "Delivery", to: "SyslogDelivery", feeds: tuple[Feed, ...]
) -> SyslogSettings:
    """Keys of northbound.yaml as the destination is told them. Raises ConfigError."""
    return SyslogSettings(
        feeds=feeds,
        framing=octet_counted if to.framing == "octet" else lines,
        tls=client_tls(config, destination_of(config, delivery), to.tls),
        hold_s=to.hold / 1000,
        timeout_s=to.timeout / 1000,
    )

"""Lines in over TCP, events out with a tenant's bundle, a broker ends in between: exactly once.

It needs nothing but addresses and a bundle, so it runs the same on containers and without them.
"""

import json
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka import Consumer, KafkaError, Message

from app.broker.bundle import client_configuration

LINES = 3_000
DEADLINE_S = 120.0
HEAD = "<14>1 2026-01-27T14:12:23.9558Z cs-fil-q-k144-1 qumulo - - - "


class Feed:
    """Events of one run, as a SIEM reads them: read_committed over SASL_SSL."""

    def __init__(self, bundle: Path, mark: str, meanwhile: Callable[[], None]) -> None:
        client, topics = client_configuration(bundle)
        prefix = str(client["group.id"]).rpartition(".")[0]
        self._consumer = Consumer(
            {
                **client,
                "group.id": f"{prefix}.{mark}",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "log_level": 0,
            }
        )
        self._consumer.subscribe([topics["events"]])
        self._mark = mark
        self._meanwhile = meanwhile
        self._ended: set[int] = set()
        self.lines: Counter[str] = Counter()
        self.uids: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def read_until(self, count: int) -> None:
        """Read until `count` different lines have come, and then to the end of each partition."""
        deadline = time.monotonic() + DEADLINE_S
        while not (len(self.lines) >= count and self._at_end()):
            message = self._consumer.poll(0.2)
            if message is not None:
                self._take(message)
            self._meanwhile()
            assert time.monotonic() < deadline, f"{len(self.lines)} of {count} lines came in time"

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._ended.discard(message.partition())
            event = json.loads(message.value())
            if self._mark in event["raw_data"]:
                self.lines[event["raw_data"]] += 1
                self.uids.add(event["metadata"]["uid"])
        elif error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(message.partition())
        else:
            assert error.retriable(), error.str()

    def _at_end(self) -> bool:
        assigned = {each.partition for each in self._consumer.assignment()}
        return bool(assigned) and assigned <= self._ended


def exactly_once(
    syslog: tuple[str, int],
    bundle: Path,
    *,
    kill_broker: Callable[[], None],
    start_broker: Callable[[], None],
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Send a third of the lines, end a broker, send a third, bring it back, send the rest.

    `meanwhile` is called all the time.
    """
    mark = f"run-{secrets.token_hex(4)}"
    lines = [
        f'{HEAD}10.220.151.129,"alice",nfs,fs_read_data,ok,{number},"/{mark}/{number}",""'
        for number in range(LINES)
    ]
    third = LINES // 3
    with (
        Feed(bundle, mark, meanwhile) as feed,
        socket.create_connection(syslog, timeout=DEADLINE_S) as sender,
    ):
        _send(sender, lines[:third])
        feed.read_until(third)
        kill_broker()
        _send(sender, lines[third : 2 * third])
        feed.read_until(2 * third)
        start_broker()
        _send(sender, lines[2 * third :])
        feed.read_until(LINES)
        assert feed.lines == Counter(lines)
        assert len(feed.uids) == LINES


def _send(sender: socket.socket, lines: list[str]) -> None:
    sender.sendall("".join(f"{line}\n" for line in lines).encode())

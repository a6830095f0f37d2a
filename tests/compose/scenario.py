"""Lines in over TCP, events out with a tenant's bundle, brokers and workers end in between.

It needs nothing but addresses, a bundle and a way to end services, so it runs the same on
containers and without them.
"""

import datetime as dt
import json
import secrets
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from confluent_kafka import Consumer, KafkaError, Message

from app.broker.bundle import client_configuration

LINES = 12_000
BROKEN_EVERY = 100
PART = LINES // 4
WORKERS = (1, 2)
DEADLINE_S = 180.0
HEAD = "<14>1 2026-01-27T14:12:23.9558Z cs-fil-q-k144-1 qumulo - - - "
DENIALS = 40
"""Fewer than rules/qumulo/denied_burst_by_user.yml asks for within five minutes; twice as many are
enough."""
DENIED = ("Access denied many times to one user", 50)


class Deployment(Protocol):
    """The services, wherever they run."""

    @property
    def syslog(self) -> tuple[str, int]:
        """Where the agent takes lines."""

    @property
    def bundle(self) -> Path:
        """What the tenant acme got."""

    def kill_broker(self, name: str) -> None:
        """End it without farewell; it stays down."""

    def start_broker(self, name: str) -> None:
        """Bring it back with its data."""

    def kill_worker(self, number: int) -> None:
        """End it without farewell; what watches over it starts it again."""

    def keep_running(self) -> None:
        """Called all the time."""

    def northbound(self, *arguments: str) -> str:
        """Standard output of a command that ran inside."""


class Feed:
    """One topic of the tenant from its begin, as a SIEM reads it: read_committed over SASL_SSL."""

    def __init__(self, deployment: Deployment, feed: str) -> None:
        client, topics = client_configuration(deployment.bundle)
        prefix = str(client["group.id"]).rpartition(".")[0]
        self._consumer = Consumer(
            {
                **client,
                "group.id": f"{prefix}.{secrets.token_hex(4)}",
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "log_level": 0,
            }
        )
        self._topic = topics[feed]
        self._consumer.subscribe([self._topic])
        self._meanwhile = deployment.keep_running
        self._ended: set[int] = set()
        self._partition = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def records(self) -> Iterator[dict[str, Any] | None]:
        """Each record as it comes; None again and again while all partitions are at their end."""
        while True:
            message = self._consumer.poll(0.2)
            if message is not None and self._taken(message):
                self._partition = message.partition()
                yield json.loads(message.value())
            elif self._at_end():
                yield None
            self._meanwhile()

    def leader(self) -> str:
        """The broker that has the partition of the newest record."""
        metadata = self._consumer.list_topics(self._topic, timeout=60).topics[self._topic]
        return f"kafka-{metadata.partitions[self._partition].leader + 1}"

    def _taken(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            self._ended.discard(message.partition())
            return True
        if error.code() == KafkaError._PARTITION_EOF:
            self._ended.add(message.partition())
        else:
            assert error.retriable(), error.str()
        return False

    def _at_end(self) -> bool:
        assigned = {each.partition for each in self._consumer.assignment()}
        return bool(assigned) and assigned <= self._ended


class Run:
    """The events of one run's lines."""

    def __init__(self, feed: Feed, mark: str) -> None:
        self._records = feed.records()
        self._mark = mark
        self.lines: Counter[str] = Counter()
        self.uids: set[str] = set()

    def read_until(self, count: int, *, end: bool = True) -> None:
        """Read until `count` different lines have come, and then to the end of each partition."""
        deadline = time.monotonic() + DEADLINE_S
        for event in self._records:
            if event is not None and self._mark in event["raw_data"]:
                self.lines[event["raw_data"]] += 1
                self.uids.add(event["metadata"]["uid"])
            if len(self.lines) >= count and (event is None or not end):
                return
            assert time.monotonic() < deadline, f"{len(self.lines)} of {count} lines came in time"


def new_mark() -> str:
    """What tells a run's lines from others."""
    return f"run-{secrets.token_hex(4)}"


def good_lines(mark: str) -> list[str]:
    """Lines that become an event each."""
    return [
        f'{HEAD}10.220.151.129,"alice",nfs,fs_read_data,ok,{number},"/{mark}/{number}",""'
        for number in range(LINES)
    ]


def broken_lines(mark: str) -> list[str]:
    """Lines that become a dead letter each."""
    return [f"{HEAD}{mark} broken {number}" for number in range(0, LINES, BROKEN_EVERY)]


def exactly_once(deployment: Deployment, mark: str) -> None:
    """Send lines while the leader of their events and then each worker ends and comes back.

    Afterwards every good line has one event, every broken one a dead letter, and nothing else has.
    """
    lines, broken = good_lines(mark), broken_lines(mark)
    with (
        Feed(deployment, "events") as feed,
        socket.create_connection(deployment.syslog, timeout=DEADLINE_S) as sender,
    ):
        run = Run(feed, mark)
        send(sender, mixed(lines, broken, 0))
        run.read_until(PART)
        leader = feed.leader()
        deployment.kill_broker(leader)
        send(sender, mixed(lines, broken, 1))
        run.read_until(2 * PART)
        deployment.start_broker(leader)
        for number in WORKERS:
            # In the middle of its work, if it is the one that has it.
            send(sender, mixed(lines, broken, 1 + number))
            run.read_until((1 + number) * PART + 1, end=False)
            deployment.kill_worker(number)
        run.read_until(LINES)
    balanced(deployment, mark, run)


def balanced(deployment: Deployment, mark: str, run: Run) -> None:
    """Nothing of the run is lost, invented or doubled."""
    assert run.lines == Counter(good_lines(mark))
    assert len(run.uids) == LINES
    listed = deployment.northbound("dead-letters", "list", "--json").splitlines()
    letters = Counter(letter["raw"] for letter in map(json.loads, listed) if mark in letter["raw"])
    assert letters == Counter(broken_lines(mark))


def mixed(lines: list[str], broken: list[str], part: int) -> list[str]:
    """A quarter of both."""
    few = len(broken) // 4
    return lines[part * PART : (part + 1) * PART] + broken[part * few : (part + 1) * few]


def denials(deployment: Deployment, user: str, first: int) -> None:
    """As many refused accesses of `user` now as make no alert alone; wait for their events."""
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    head = HEAD.replace("2026-01-27T14:12:23.9558Z", now)
    lines = [
        f'{head}10.220.151.129,"{user}",nfs,fs_open,fs_access_denied_error,{n},"/hr/{n}",""'
        for n in range(first, first + DENIALS)
    ]
    with (
        Feed(deployment, "events") as feed,
        socket.create_connection(deployment.syslog, timeout=DEADLINE_S) as sender,
    ):
        send(sender, lines)
        Run(feed, user).read_until(first + DENIALS)


def alert_of(deployment: Deployment, user: str) -> dict[str, Any]:
    """The first alert that names `user`."""
    deadline = time.monotonic() + DEADLINE_S
    with Feed(deployment, "alerts") as feed:
        for alert in feed.records():
            if alert is not None and user in json.dumps(alert):
                return alert
            assert time.monotonic() < deadline, f"no alert for {user}"
    raise AssertionError


def send(sender: socket.socket, lines: list[str]) -> None:
    """Lines as a syslog relay sends them over TCP."""
    sender.sendall("".join(f"{line}\n" for line in lines).encode())

"""Datagram listeners that cannot start, cannot be drained, or leave while Kafka is away."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from app.ingest.agent import IngestAgent
from app.ingest.datagrams import Group
from app.ingest.receiver import Receiver
from app.ingest.settings import AgentSettings, ListenerSettings
from app.ingest.udp import DatagramListener
from tests.ingest.rig import listener, until
from topology.topics import Names


class Publisher:
    """Holds everything until `in_flight` is set to 0."""

    full = stalled = False
    retried = receipts = published = 0
    latency_s = 0.0

    def __init__(self) -> None:
        self.in_flight = 0
        self.refused: Counter[str] = Counter()
        self.closed = False

    def publish(self, lines: list[bytes], *_: Any) -> bool:
        self.in_flight += len(lines)
        return True

    def poll(self, _: float) -> None: ...

    def warm(self) -> None: ...

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("threads", [1, 2])
def test_one_that_cannot_start_leaves_its_address(threads: int) -> None:
    """Else what listened there before a reload could not be opened again, and nobody would listen:
    here the second thread's spool, or the only one's, is not to be had."""
    before = set(threading.enumerate())
    made = []

    def make(number: int) -> tuple[Any, None]:
        made.append(number)
        if number == threads - 1:
            raise PermissionError(13, "Permission denied", "spool")
        return Publisher(), None

    listening = DatagramListener(listener("q", protocol="udp", threads=threads), make)
    opened = listening._open()
    listening._open = lambda: opened  # type: ignore[method-assign]
    with pytest.raises(PermissionError):
        asyncio.run(listening.start())
    assert made == list(range(threads))
    assert [each.fileno() for each in opened] == [-1] * threads
    assert [each for each in set(threading.enumerate()) - before if each.name == "datagrams"] == []


def test_a_flood_does_not_keep_one_from_ending() -> None:
    """What comes faster than it can be taken never ends: it is cut off."""
    source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    source.bind(("127.0.0.1", 0))
    publisher: Any = Publisher()
    receiver = Receiver(source, listener("q", protocol="udp"), publisher, None)
    flood: Any = receiver._datagrams
    flood.receive = lambda: ([Group(b"peer", [b"line"])], 1, 4)
    receiver.start()
    receiver.stop(0.05)
    assert receiver.drained.wait(20)
    ended = threading.Thread(target=receiver.close, daemon=True)
    ended.start()
    ended.join(20)
    assert not ended.is_alive()
    assert receiver.received == publisher.in_flight


class Quiet(IngestAgent):
    """Asks Kafka nothing, and opens listeners with these publishers."""

    make: Callable[[ListenerSettings], DatagramListener]

    async def _require(self, settings: AgentSettings) -> None: ...

    def _start_ticker(self) -> None: ...

    async def _open(self, settings: Any) -> None:
        fresh = self.make(settings)
        await fresh.start()
        self.listeners.append(fresh)


def test_datagrams_of_one_that_is_taken_out_wait_for_kafka() -> None:
    """Nobody sends them again, so it stays until Kafka has them; its address is free meanwhile."""
    first, second = (listener(each, protocol="udp") for each in ("q", "other"))
    publishers: list[Any] = []

    def make(settings: ListenerSettings) -> DatagramListener:
        def publisher(_: int) -> tuple[Any, None]:
            publishers.append(Publisher())
            return publishers[-1], None

        return DatagramListener(settings, publisher)

    async def work() -> None:
        options: Any = {"ticks": {}, "web": None, "flush_s": 0.0, "drain_s": 1.0}
        agent = Quiet(AgentSettings(listeners=(first,), **options), {}, Names())
        agent.make = make
        await agent._open(first)
        (listening,) = agent.listeners
        assert isinstance(listening, DatagramListener)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"a line", listening.address)
        await until(lambda: publishers[0].in_flight, "the line")
        await agent.apply(AgentSettings(listeners=(second,), **options))
        assert [each.settings for each in agent.listeners] == [second]
        assert listening.receivers[0]._source.fileno() == -1
        assert not publishers[0].closed
        publishers[0].in_flight = 0
        await agent._part()
        assert publishers[0].closed
        await agent.stop()

    asyncio.run(work())


def test_a_disk_that_stands_still_stops_nobody_elses_ledger() -> None:
    """A receiver that writes to its spool has messages in hand; the agent's loop, which answers all
    other senders, does not wait for it."""
    listening = DatagramListener(
        listener("q", protocol="udp"), lambda _: (cast("Any", Publisher()), None)
    )
    found = []

    async def work() -> None:
        await listening.start()
        (receiver,) = listening.receivers
        receiver.received = 3
        with receiver.lock:
            receiver.received = 5
            asked = threading.Thread(target=lambda: found.append(listening.account().received))
            asked.start()
            asked.join(20)
            assert found == [0]
        assert listening.account().received == 5
        await listening.stop(0.1)
        await listening.close()

    asyncio.run(work())


def test_what_a_socket_holds_is_taken_at_a_stop_though_kafka_is_away() -> None:
    """Senders were told that it was sent. It counts among what is in flight, and is published when
    Kafka comes back or told as lost, where it would end with the socket unseen."""
    source, sender = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    publisher: Any = Publisher()
    publisher.full = True
    receiver = Receiver(source, listener("q", protocol="unix", datagram=True), publisher, None)
    receiver._full = True
    receiver.start()
    for number in range(3):
        sender.send(b"line %d" % number)
    receiver.stop(20.0)
    assert receiver.drained.wait(20)
    receiver.close()
    sender.close()
    assert (receiver.received, publisher.in_flight) == (3, 3)


def test_a_unix_socket_that_leaves_late_leaves_the_file_of_the_next(tmp_path: Path) -> None:
    """Changed by a reload while Kafka is away, the old listener stays until Kafka has its lines.
    What listens at the same path meanwhile is still found by its senders when the old one ends."""
    path = tmp_path / "in.sock"
    options: Any = {"protocol": "unix", "datagram": True, "path": path}
    first, second = (listener("q", limit=limit, **options) for limit in (100, 200))
    publishers: list[Any] = []

    def make(settings: ListenerSettings) -> DatagramListener:
        def publisher(_: int) -> tuple[Any, None]:
            publishers.append(Publisher())
            return publishers[-1], None

        return DatagramListener(settings, publisher)

    def send(text: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.connect(str(path))
            sender.send(text)

    async def work() -> None:
        options: Any = {"ticks": {}, "web": None, "flush_s": 0.0, "drain_s": 20.0}
        agent = Quiet(AgentSettings(listeners=(first,), **options), {}, Names())
        agent.make = make
        await agent._open(first)
        send(b"a line")
        await until(lambda: publishers[0].in_flight, "the line")
        await agent.apply(AgentSettings(listeners=(second,), **options))
        publishers[0].in_flight = 0
        await agent._part()
        assert publishers[0].closed
        send(b"another")
        await until(lambda: publishers[1].in_flight, "the other line")
        publishers[1].in_flight = 0
        await agent.stop()
        assert not path.exists()

    asyncio.run(work())

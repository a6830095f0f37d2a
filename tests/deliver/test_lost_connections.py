"""What a receiver has acknowledged before it is lost does not come again; a lane and its
destination on a feed in memory, with receivers that take a little of each connection."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import Message, TopicPartition

from app.deliver import intake, lane, relp
from app.deliver.connection import ClientTls
from app.deliver.destination import Destination, Feed, UnreachableError, Waiting
from app.deliver.http import HttpDestination, HttpSettings
from app.deliver.http_exchange import AnsweredError, HttpClient
from app.deliver.http_requests import Lines
from app.deliver.lane import Lane
from app.deliver.pauses import nothing
from app.deliver.refusals import Refusals
from app.deliver.relp import RelpDestination, RelpSettings
from app.ingest.relp_session import ACCEPTED, Answer, Session

FEED = ("feed", 0)
FEEDS = (Feed("feed", "events", "rfc5424"),)
COUNT = 40
TOO_MANY = 10 * COUNT
"""Records received after which a receiver has seen enough."""


class Consumer:
    """Of one partition, whose records are their offsets as text; `stored`: what was committed."""

    def __init__(self) -> None:
        self.at = 0
        self.stored = TopicPartition(*FEED, -1001)
        self._revoked: Callable[..., None] = lambda *_: None

    def subscribe(self, _: Any, *, on_assign: Any, on_revoke: Any, **__: Any) -> None:
        self._revoked = on_revoke
        on_assign(self, [TopicPartition(*FEED)])

    def close(self) -> None:
        self._revoked(self, [TopicPartition(*FEED)])

    def committed(self, *_: Any, **__: Any) -> list[TopicPartition]:
        return [self.stored]

    def get_watermark_offsets(self, *_: Any, **__: Any) -> tuple[int, int]:
        return 0, COUNT

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        self.at = partitions[0].offset

    def seek(self, partition: TopicPartition) -> None:
        self.at = partition.offset

    def position(self, _: Any) -> list[TopicPartition]:
        return [TopicPartition(*FEED, self.at)]

    def poll(self, _: float) -> Message | None:
        return next(iter(self.consume(1, 0)), None)

    def consume(self, most: int, _: float) -> list[Message]:
        begin, self.at = self.at, min(COUNT, self.at + most)
        return [
            Message(topic="feed", partition=0, offset=each, value=b"%d" % each, timestamp=(1, each))
            for each in range(begin, self.at)
        ]

    def commit(self, offsets: Sequence[TopicPartition], **_: Any) -> None:
        (self.stored,) = offsets

    def pause(self, _: Any) -> None: ...

    def resume(self, _: Any) -> None: ...


class Receiver:
    """What it has taken; the lane is told to stop when that is everything, or far too much."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.enough: Callable[[], None] = lambda: None

    def take(self, values: Sequence[bytes]) -> None:
        self.taken += values
        if b"%d" % (COUNT - 1) in self.taken or len(self.taken) > TOO_MANY:
            self.enough()


@pytest.fixture
def consumer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Consumer]:
    """What the lane reads from; it tries again at once."""
    made = Consumer()
    monkeypatch.setattr(intake, "Consumer", lambda _: made)
    monkeypatch.setattr(lane, "FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(lane, "AGAIN_S", 0.0)
    return made


def delivered(
    receiver: Receiver,
    make: Callable[[Waiting], Destination],
    addresses: Sequence[str] = ("there",),
) -> None:
    """Run a lane until the receiver has seen enough."""
    settings: Any = SimpleNamespace(
        name="siem", group="g", feeds=FEEDS, shares=False, from_end=False, make=make
    )
    made = Lane(settings, {}, addresses, nothing)
    receiver.enough = made.stop
    made.start()
    made.join(120)
    assert not made._thread.is_alive()
    assert made.totals.delivered == len(receiver.taken)


class Limited(Receiver):
    """An HTTP receiver that takes one request of a connection and answers 429 to all others; at the
    address "gone" every one is answered with 503."""

    tried = 0

    def open(self, address: str, _: Any) -> None:
        self._left = 0 if address == "gone" else 1
        self.tried += 1
        if self.tried > TOO_MANY:
            self.enough()

    def post(self, body: bytes, _: Any) -> tuple[int, bytes]:
        if not self._left:
            raise AnsweredError("not now", 0.0, 503)
        self._left = 0
        self.take(body.split())
        return 200, b""

    def close(self) -> None: ...


def http(
    receiver: Limited, folder: Path, octets: int = 1 << 20
) -> Callable[[Waiting], Destination]:
    """Makes a destination for this receiver. `octets`: of a request."""
    settings = HttpSettings(
        requests=Lines(),
        refusals=Refusals("siem", folder / "refused"),
        client=HttpClient(tls=ClientTls()),
        gzip=False,
        records=COUNT,
        octets=octets,
        wait_s=0.0,
    )

    def make(waiting: Waiting) -> Destination:
        made = HttpDestination(settings, waiting)
        made._exchange = receiver  # type: ignore[assignment]
        return made

    return make


def test_a_receiver_that_takes_a_part_of_a_batch_gets_the_rest(
    consumer: Consumer, tmp_path: Path
) -> None:
    """A batch that is larger than a request goes in several: those that were answered with 2xx
    before one that was not are neither sent again nor in the way of what is behind them."""
    receiver = Limited()
    delivered(receiver, http(receiver, tmp_path, octets=10))
    assert receiver.taken == [b"%d" % each for each in range(COUNT)]
    assert consumer.stored.offset == COUNT


def test_an_address_that_takes_nothing_is_passed_over(consumer: Consumer, tmp_path: Path) -> None:
    """A proxy can be connected to while the receiver behind it is gone: the next address has its
    turn, and everything."""
    receiver = Limited()
    delivered(receiver, http(receiver, tmp_path), ["gone", "there"])
    assert receiver.taken == [b"%d" % each for each in range(COUNT)]
    assert receiver.tried == 2
    assert consumer.stored.offset == COUNT


class Forgetful(Receiver):
    """A RELP server that answers three messages of each session and is gone then."""

    address = "there"

    def __call__(self, *_: Any) -> "Forgetful":
        self._session, self._left, self._answers = Session(), 3, b""
        return self

    def send(self, data: bytes) -> None:
        for step in self._session.feed(data):
            if isinstance(step, Answer):
                self._answers += step.data
                continue
            for number, line in list(zip(step.numbers, step.lines, strict=True))[: self._left]:
                self._answers += number + ACCEPTED
                self.take([line])
                self._left -= 1

    def receive(self, _: float = 0.0) -> bytes:
        answers, self._answers = self._answers, b""
        if not answers and not self._left:
            raise UnreachableError("closed by the receiver")
        return answers

    def acknowledge_at_once(self) -> None: ...

    def finish(self, _: float) -> bool:
        return True

    def close(self) -> None: ...


def test_messages_that_were_answered_do_not_come_again(
    consumer: Consumer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that ends in the middle of a window: the next one begins with the first message
    that was not answered."""
    receiver = Forgetful()
    monkeypatch.setattr(relp, "Connection", receiver)
    settings = RelpSettings(
        feeds=FEEDS,
        refusals=Refusals("siem", tmp_path / "refused"),
        tls=None,
        window=16,
        timeout_s=60.0,
    )
    delivered(receiver, lambda waiting: RelpDestination(settings, waiting))
    assert receiver.taken == [b"%d" % each for each in range(COUNT)]
    assert consumer.stored.offset == COUNT

"""What becomes of a batch by HTTP that is not taken as a whole; no broker, no connection."""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from confluent_kafka import Message

from app.deliver.connection import ClientTls
from app.deliver.destination import UnreachableError
from app.deliver.http import HttpDestination, HttpSettings
from app.deliver.http_exchange import AnsweredError, HttpClient
from app.deliver.http_requests import Lines, Requests, SplunkHec
from app.deliver.refusals import Refusal
from tests.deliver.test_http_requests import message

Answers = Callable[[list[bytes]], tuple[int, bytes]]
"""What a request with these lines is answered with. Raises UnreachableError."""


class Exchange:
    """A receiver that is asked for its answers."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    def open(self, *_: Any) -> None: ...

    def post(self, body: bytes, _: Any) -> tuple[int, bytes]:
        return self.answers(body.splitlines())

    def safe(self, answer: bytes) -> str:
        return answer.decode()


class Kept:
    """Refused records, in memory."""

    def __init__(self) -> None:
        self.found: list[Refusal] = []

    def keep(self, found: Sequence[Refusal]) -> None:
        self.found += found


def destination(requests: Requests, answers: Answers, records: int) -> tuple[HttpDestination, Kept]:
    """One whose batches are so many records."""
    kept: Any = Kept()
    settings = HttpSettings(
        requests=requests,
        refusals=kept,
        client=HttpClient(tls=ClientTls()),
        gzip=False,
        records=records,
        octets=1 << 20,
        wait_s=60.0,
    )
    made = HttpDestination(settings, lambda: None)
    made._exchange = Exchange(answers)  # type: ignore[assignment]
    made.open("https://siem.example.com")
    return made, kept


def batch(count: int) -> list[Message]:
    return [message(b'{"n":%d}' % number, number) for number in range(count)]


def test_every_record_refused() -> None:
    """However many of a batch are, one by one, each is kept and the next has its turn."""

    def answers(_: list[bytes]) -> tuple[int, bytes]:
        return 400, orjson.dumps({"code": 6, "invalid-event-number": 0})

    made, kept = destination(SplunkHec({}, json=True), answers, 1500)
    made.write(batch(1500))
    assert (made.acknowledged, made.refused) == (1500, 1500)
    assert [each.offset() for each, _ in kept.found] == list(range(1500))


def test_a_collector_that_is_not_set_up_refuses_nothing() -> None:
    """A token without the index: records wait, and all of them come when it has it."""
    taken: list[bytes] = []
    code = 7

    def answers(lines: list[bytes]) -> tuple[int, bytes]:
        if code:
            return 400, orjson.dumps({"text": "Incorrect index", "code": code})
        taken.extend(lines)
        return 200, orjson.dumps({"code": 0})

    made, kept = destination(SplunkHec({}, json=True), answers, 10)
    with pytest.raises(UnreachableError, match=r"400 .*Incorrect index"):
        made.write(batch(10))
    assert (made.acknowledged, kept.found) == (0, [])
    code = 0
    made.open("https://siem.example.com")
    made.write(batch(10))
    assert (made.acknowledged, len(taken), kept.found) == (10, 10, [])


def test_what_was_taken_of_a_halved_batch_counts() -> None:
    """A record is refused, so the batch is halved; the receiver is gone before the second half."""
    poison = b'{"n":1}'
    requests: list[int] = []

    def answers(lines: list[bytes]) -> tuple[int, bytes]:
        requests.append(len(lines))
        if b'{"n":7}' in lines and len(lines) == 4:
            raise AnsweredError("503", 0.0, 503)
        return (400, b"no") if poison in lines else (200, b"")

    made, kept = destination(Lines(), answers, 8)
    with pytest.raises(UnreachableError, match="503"):
        made.write(batch(8))
    assert requests == [8, 4, 2, 1, 1, 2, 4]
    assert made.acknowledged == 4
    assert [(each.offset(), why) for each, why in kept.found] == [(1, "400 no")]

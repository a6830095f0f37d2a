"""A broker refuses a whole batch for one record, or for its size: what of it fits gets through."""

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException, Message

from app.ingest import publisher as publishing
from app.ingest import topics
from app.ingest.batch import Receipt
from app.ingest.publisher import Publisher

LARGEST = 1_000
"""Bytes of a batch that the broker takes."""
TOO_LARGE = KafkaError.MSG_SIZE_TOO_LARGE


class Broker:
    """What its topic has; `fails`: errors for the next batches, whatever is in them."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.fails: list[int] = []

    def judge(self, values: list[bytes]) -> int | None:
        """The error of a batch."""
        if self.fails:
            return self.fails.pop(0)
        if sum(map(len, values)) > LARGEST:
            return TOO_LARGE
        self.taken += values
        return None


class Producer:
    """Sends all that waits in one batch when it is polled, or each message in one of its own."""

    def __init__(self, broker: Broker, config: dict[str, Any]) -> None:
        self._broker = broker
        self._alone = config["batch.num.messages"] == 1
        self._default = config["on_delivery"]
        self._only_errors = config["delivery.report.only.error"]
        self._waiting: list[tuple[bytes, bytes | None, Callable[..., None]]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def produce(
        self,
        _topic: str,
        value: bytes,
        key: bytes | None = None,
        _partition: int = -1,
        callback: Callable[..., None] | None = None,
        on_delivery: Callable[..., None] | None = None,
        timestamp: int = 0,
    ) -> None:
        assert timestamp >= 0
        self._waiting.append((value, key, callback or on_delivery or self._default))

    def poll(self, _: float) -> int:
        sent, self._waiting = self._waiting, []
        for batch in [[each] for each in sent] if self._alone else [sent] if sent else []:
            self._report(batch, self._broker.judge([value for value, _, _ in batch]))
        return len(sent)

    def purge(self) -> None:
        sent, self._waiting = self._waiting, []
        self._report(sent, KafkaError._PURGE_QUEUE)

    def _report(self, batch: list[Any], code: int | None) -> None:
        for value, key, report in batch:
            if code is not None or not self._only_errors:
                message = Message(topic="raw.q", value=value, key=key)
                report(None if code is None else KafkaError(code), message)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """What publishers of this test send to."""
    found = Broker()
    monkeypatch.setattr(publishing, "Producer", lambda config: Producer(found, config))
    return found


def served(publisher: Publisher) -> Publisher:
    """Served until nothing is left of what can be sent."""
    for now in range(10):
        publisher.poll(10.0 + 2 * now)
    return publisher


def test_a_line_that_is_too_large_takes_no_other_with_it(broker: Broker) -> None:
    """It alone is refused, and in the books."""
    publisher = Publisher({}, "raw.q")
    publisher.publish([b"a", b"x" * 2 * LARGEST, b"b"], b"key")
    publisher.publish([b"c"], b"key")
    served(publisher)
    assert sorted(broker.taken) == [b"a", b"b", b"c"]
    assert dict(publisher.refused) == {"MSG_SIZE_TOO_LARGE": 1}
    assert (publisher.published, publisher.in_flight, publisher.full) == (3, 0, False)


def test_lines_that_are_too_large_together_get_through(broker: Broker) -> None:
    """A topic that takes less than a batch of the usual size refused all lines, each of which
    fits: as good as none would have got into Kafka."""
    lines = [b"%d" % n * 100 for n in range(9)]
    publisher = Publisher({}, "raw.q")
    for again in range(3):
        publisher.publish([b"%d" % again + line for line in lines * 2], b"key")
        served(publisher)
    assert sorted(broker.taken) == sorted(
        b"%d" % again + line for again in range(3) for line in lines * 2
    )
    assert (publisher.refused.total(), publisher.in_flight) == (0, 0)


def test_receipts_know_which_line_was_refused(broker: Broker) -> None:
    """RELP answers its neighbours with 200, HTTP says how many."""
    told: list[Receipt] = []
    publisher = Publisher({"delivery.report.only.error": False}, "raw.q")

    def failed(receipt: Receipt, error: KafkaError, message: Message) -> None:
        publisher._failed(receipt, error, message, 1)

    lines = [b"a", b"x" * 2 * LARGEST, b"b"]
    receipt = Receipt(lines, SimpleNamespace(settle=lambda: None), told.append, failed)
    publisher.publish(lines, b"key", receipt=receipt)
    served(publisher)
    assert (receipt.done, receipt.refused) == (True, {1})
    assert told == [receipt]
    assert sorted(broker.taken) == [b"a", b"b"]


def test_one_that_fails_alone_for_a_while_is_not_refused(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    """A leader that moves meanwhile is no refusal; what Kafka says is in the log, once."""
    caplog.set_level(logging.WARNING)
    broker.fails = [KafkaError.INVALID_RECORD, *[KafkaError.NOT_LEADER_FOR_PARTITION] * 4]
    publisher = Publisher({}, "raw.q")
    publisher.publish([b"a", b"b"], b"key")
    served(publisher)
    assert sorted(broker.taken) == [b"a", b"b"]
    assert publisher.refused.total() == 0
    assert caplog.text.count("one by one") == 2  # for each of the two reasons
    assert "topics plan" in caplog.text


def test_what_was_refused_with_its_batch_is_given_back(broker: Broker) -> None:
    """At the end of an agent it goes into the spool like the rest."""
    publisher = Publisher({}, "raw.q")
    publisher.publish([b"x" * 600, b"y" * 600], b"key")
    publisher.poll(10.0)  # refused, and on its way again
    publisher.publish([b"z"], b"key")
    assert publisher.in_flight == 3
    back = [line for batch in publisher.surrender() for line in batch.lines]
    assert sorted(back) == [b"x" * 600, b"y" * 600, b"z"]
    assert broker.taken == []
    assert publisher.in_flight == 0


class Admin:
    """Shows these settings; `None` for a topic that may not be seen."""

    settings: dict[str, dict[str, str] | None]

    def __init__(self, _: object) -> None: ...

    def describe_configs(self, asked: list[Any], request_timeout: float) -> dict[Any, Any]:
        assert request_timeout > 0

        def result(name: str) -> dict[str, Any]:
            found = self.settings[name]
            if found is None:
                raise KafkaException(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
            return {key: SimpleNamespace(value=value) for key, value in found.items()}

        def future(name: str) -> Any:
            return SimpleNamespace(result=lambda _: result(name))

        return {each: future(each.name) for each in asked}


def test_what_a_topic_takes_is_known_from_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Batches are no larger than it takes, and settings that lose lines are told with what mends
    them. A topic that may not be looked at is no reason not to start."""
    Admin.settings = {
        "raw.ours": {"max.message.bytes": "2097152", "cleanup.policy": "delete"},
        "raw.usual": {"max.message.bytes": "1048588", "cleanup.policy": "delete"},
        "raw.small": {"max.message.bytes": "100000", "cleanup.policy": "delete"},
        "raw.tiny": {"max.message.bytes": "10", "cleanup.policy": "compact,delete"},
        "raw.hidden": None,
    }
    monkeypatch.setattr(topics, "AdminClient", Admin)
    longest = dict.fromkeys(Admin.settings, 1 << 20) | {"raw.tiny": 0}
    assert topics.batch_sizes({}, longest) == {"raw.small": 98_976, "raw.tiny": 5}
    told = [each.message for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(told) == 2
    assert "raw.small takes no message above max.message.bytes=100000" in told[0]
    assert "raw.tiny has cleanup.policy=compact,delete, expected delete" in told[1]
    assert all("northbound topics apply" in each for each in told)
    assert topics.batch_sizes({}, {}) == {}

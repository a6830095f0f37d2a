"""What is sent outside of transactions is answered, whatever becomes of the producer."""

import threading
from typing import Any

from confluent_kafka import KafkaError, KafkaException

from app.runtime.direct import Direct
from app.runtime.errors import EngineError
from app.runtime.parcel import Parcel


class Producer:
    """Fails for good at its first poll, and then reports what it had."""

    def __init__(self) -> None:
        self.reports: list[Any] = []
        self.polls = 0

    def produce(self, *_: Any, on_delivery: Any, **__: Any) -> None:
        self.reports.append(on_delivery)

    def poll(self, seconds: float) -> None:
        if not self.reports:
            threading.Event().wait(seconds)
            return
        self.polls += 1
        if self.polls == 1:
            raise KafkaException(KafkaError(KafkaError._FATAL, "out of order", True))
        self.reports.pop()(KafkaError(KafkaError._FATAL), None)

    def flush(self, _: float) -> int:
        return 0


def test_senders_hear_of_a_producer_that_has_failed_for_good() -> None:
    """Who waits for an answer would else wait for ever."""
    direct = Direct({"bootstrap.servers": "127.0.0.1:1"})
    direct._producer = Producer()
    answers: list[BaseException | None] = []
    answered = threading.Event()

    def done(reason: BaseException | None) -> None:
        answers.append(reason)
        answered.set()

    direct.post(Parcel("out", b"x", done=done))
    assert answered.wait(60)
    direct.close()
    assert [type(each) for each in answers] == [EngineError]

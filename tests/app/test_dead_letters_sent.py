"""Where dead letters go when they are sent again; on a producer in memory."""

from typing import Any

from app.dead_letters import Sent, _send
from schemas.codec import encode
from topology.topics import Names
from topology.uid import REPLAY

NAMES = Names("p.")


class Producer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[tuple[Any, ...]] = []

    def produce(self, topic: str, value: bytes, key: bytes, **options: Any) -> None:
        self.sent.append((topic, value, key, options))


def letter(topic: str, key: bytes) -> bytes:
    """One of partition 3."""
    return encode(
        "DeadLetter",
        {
            "source": "q",
            "stage": "alerts",
            "reason": "x",
            "component": "matches",
            "version": "1",
            "raw": b"raw",
            "key": key,
            "topic": topic,
            "partition": 3,
            "offset": 7,
            "timestamp": 5,
            "uid": "uid-3-7",
        },
    )


def test_a_raw_line_keeps_its_uid() -> None:
    """It is in the key, and the partition is of no account."""
    producer: Any = Producer()
    _send(producer, NAMES, letter(NAMES.raw("q"), b"peer"), None)
    assert producer.sent == [(NAMES.raw("q"), b"raw", REPLAY + b"uid-3-7", {"timestamp": 5})]


def test_a_match_goes_where_its_group_is() -> None:
    """Its key is the group's, and another partition would begin the group a second time."""
    producer: Any = Producer()
    _send(producer, NAMES, letter(NAMES.matches, b"acme\0rule\0eve"), None)
    options = {"timestamp": 5, "partition": 3}
    assert producer.sent == [(NAMES.matches, b"raw", b"acme\0rule\0eve", options)]


def test_what_a_run_for_one_source_has_sent_is_not_sent_by_one_for_all() -> None:
    """Nor the other way round: each dead letter once, however the runs are cut."""
    asked: list[str] = []

    def reached(source: str) -> dict[int, int]:
        asked.append(source)
        return {0: 8} if source == "q" else {}

    producer: Any = Producer()
    known = Sent(reached)
    value = letter(NAMES.raw("q"), b"peer")
    assert _send(producer, NAMES, value, None, (0, 7), known) == []
    assert _send(producer, NAMES, value, None, (0, 8), known) == ["q"]
    assert (len(producer.sent), asked) == (1, ["q"])

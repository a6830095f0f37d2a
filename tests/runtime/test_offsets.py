"""Offsets: what librdkafka says while a broker is away never counts as an offset."""

from collections.abc import Mapping
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka import TopicPartition
from confluent_kafka.admin import OffsetSpec

from app.runtime.changelog import Offsets
from app.runtime.settings import EngineSettings
from app.runtime.watchdog import Watchdog

NOT_KNOWN = -1001
"""librdkafka's RD_KAFKA_OFFSET_INVALID, given without an error for a leader that went away."""


class Admin:
    """Knows no leader of partition 1 until its metadata is read."""

    def __init__(self) -> None:
        self.asked = 0

    def list_topics(self, timeout: float) -> None:
        assert timeout > 0
        self.asked += 1

    def list_offsets(self, wanted: Mapping[TopicPartition, OffsetSpec], **_: Any) -> Any:
        answer = {}
        for each in wanted:
            answer[each] = Future()
            known = self.asked or each.partition != 1
            answer[each].set_result(SimpleNamespace(offset=7 if known else NOT_KNOWN))
        return answer


def test_an_unknown_end_is_asked_for_again() -> None:
    """With a leader away the ends are asked for until they are known; taken as an offset, the
    unknown end would send a committed position back to the begin and leave a store empty."""
    admin = Admin()
    settings = EngineSettings(
        name="alerts",
        group="alerts",
        topics=("matches",),
        instance="alerts-0",
        client={"bootstrap.servers": "nowhere:1"},
    )
    clients: Any = SimpleNamespace(admin=lambda _: admin)
    offsets = Offsets(settings, clients, Watchdog(hard_limit=60.0))
    bounds = offsets.bounds([("matches", 0), ("matches", 1)])
    assert bounds == {("matches", 0): (7, 7), ("matches", 1): (7, 7)}
    assert admin.asked == 1

"""Brokers that are told to read their certificate again, some of which do not answer."""

from concurrent.futures import Future
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AlterConfigOpType, ConfigResource

from app.broker import key_stores
from app.broker.cluster_error import ClusterError


class Brokers:
    """Their settings as they were set and not taken away; those in `away` do not answer."""

    def __init__(self, away: set[str]) -> None:
        self.away = away
        self.left: dict[str, set[str]] = {}

    def incremental_alter_configs(self, resources: list[ConfigResource], **_: Any) -> Any:
        (one,) = resources  # librdkafka refuses a call with several brokers
        future: Future[None] = Future()
        if one.name in self.away:
            future.set_exception(KafkaException(KafkaError(KafkaError._TIMED_OUT)))
            return {one: future}
        left = self.left.setdefault(one.name, set())
        for entry in one.incremental_configs:
            wanted = entry.incremental_operation is AlterConfigOpType.SET
            (left.add if wanted else left.discard)(entry.name)
        future.set_result(None)
        return {one: future}


def test_a_broker_that_does_not_answer_leaves_no_setting_at_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is asked; a setting would outlive a data folder that is moved, and keep the broker from
    starting there."""
    brokers = Brokers({"1"})
    monkeypatch.setattr(key_stores, "connect", lambda _: brokers)
    with pytest.raises(ClusterError, match="have broker 1 read its certificate again"):
        key_stores.reload_certificate({}, [0, 1, 2], "/tls/server.pem", key_stores.KEY_STORES)
    assert brokers.left == {"0": set(), "2": set()}

"""A change is there when the call that makes it returns, however late brokers hear of it."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka.admin import AclBinding, AclOperation

from app.broker import admin as topics
from app.broker import rights, settled
from app.broker.cluster_error import ClusterError
from topology.topics import Names

NAMES = Names("t.")


def done(result: Any = None) -> "Future[Any]":
    future: Future[Any] = Future()
    future.set_result(result)
    return future


class Late:
    """A cluster whose brokers show a change from the third look on."""

    def __init__(self, *, may: Sequence[AclOperation] = (AclOperation.DESCRIBE,)) -> None:
        self._may = list(may)
        self._before: list[Any] = []
        self._after: list[Any] = []
        self.looks = 0

    def _change(self, change: Callable[[list[Any]], list[Any]]) -> None:
        self._before, self._after, self.looks = self._after, change(self._after), 0

    def _shown(self) -> list[Any]:
        self.looks += 1
        return self._after if self.looks >= 3 else self._before

    def describe_cluster(self, **_: Any) -> Any:
        return done(SimpleNamespace(authorized_operations=self._may))

    def create_acls(self, bindings: Sequence[AclBinding]) -> Any:
        self._change(lambda had: [*had, *bindings])
        return {each: done() for each in bindings}

    def delete_acls(self, filters: Sequence[Any]) -> Any:
        gone = {(each.name, each.operation) for each in filters}
        self._change(lambda had: [a for a in had if (a.name, a.operation) not in gone])
        return {each: done() for each in filters}

    def describe_acls(self, _: Any) -> Any:
        return done(self._shown())

    def create_topic(self, name: str) -> None:
        self._after = [name]

    def delete_topics(self, names: Sequence[str], **_: Any) -> Any:
        self._change(lambda had: [each for each in had if each not in names])
        return {each: done() for each in names}

    def list_topics(self, **_: Any) -> Any:
        return SimpleNamespace(topics=dict.fromkeys(self._shown()))


def test_rights_are_there_when_they_were_given() -> None:
    """And gone when they were taken."""
    late, wanted = Late(), rights.wanted(NAMES, "acme")
    rights.give(late, wanted)
    assert late.looks == 3
    rights.take(late, wanted[:1])
    assert late.looks == 3
    assert late.describe_acls(None).result() == wanted[1:]


def test_rights_that_may_not_be_seen_are_not_waited_for() -> None:
    """A user who may change rights and not list them is not kept waiting."""
    late = Late(may=[AclOperation.ALTER])
    rights.give(late, rights.wanted(NAMES, "acme"))
    assert late.looks == 0


def test_a_topic_is_gone_when_it_was_deleted() -> None:
    """What is made under its name next is not taken for the old one."""
    late = Late()
    late.create_topic("old")
    topics.delete(late, ["old"])
    assert late.looks == 3


def test_what_no_broker_ever_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """One message, with what was changed and where to look."""
    monkeypatch.setattr(settled, "TIMEOUT_S", 0.1)
    with pytest.raises(ClusterError, match=r"user t\.acme: .* Are all brokers"):
        settled.wait_settled(lambda: False, "user t.acme")

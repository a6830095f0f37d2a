"""`tenants pause` holds a tenant's deliveries too, loses nothing, and needs no restart."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from app.broker import admin, rights, tenants
from app.broker.cluster_error import ClusterError, cluster_error
from app.broker.server import EmbeddedKafka
from app.deliver.pauses import Pauses, Rights
from tests.deliver.rig import (
    RECORD,
    Rsyslog,
    Tenant,
    delivering,
    receiving,
    record,
    whole_and_in_order,
)
from tests.deliver.test_relp import RELP
from tests.ingest.peers import wait_for
from topology.topics import Names

FILE = {"name": "archive", "to": {"type": "file", "path": "archive.log"}}
NAMES = Names("")
EVENTS, ALERTS = NAMES.events("acme"), NAMES.alerts("acme")


class Answers:
    """A cluster that is asked which topics are held: it answers what `now` is, once for each."""

    def __init__(self, first: set[str] | int) -> None:
        self.now: set[str] | int = first
        self._asked = threading.Event()

    def __call__(self, _names: Names, of: Collection[str]) -> set[str]:
        assert of == {"acme"}
        now = self.now
        self._asked.set()
        if isinstance(now, int):
            with cluster_error("learn it"):
                raise KafkaException(KafkaError(now))
        return now

    def wait(self) -> None:
        """Until it was asked, and asked again, so that the first answer has been used."""
        for _ in range(2):
            self._asked.clear()
            assert self._asked.wait(60)


def test_a_start_holds_everything_until_kafka_has_answered() -> None:
    """A process that starts while Kafka is away, or while a tenant is paused, delivers nothing that
    it should not; what Kafka said last stays while it is away again."""
    answers = Answers(KafkaError._TRANSPORT)
    pauses = Pauses(answers, NAMES, ["acme"])
    assert pauses.held(EVENTS)
    pauses.start()
    try:
        answers.wait()
        assert pauses.held(EVENTS)
        assert pauses.held(ALERTS)
        answers.now = {EVENTS}
        wait_for(lambda: not pauses.held(ALERTS), "an answer")
        assert pauses.held(EVENTS)
        answers.now = KafkaError._TIMED_OUT
        answers.wait()
        assert pauses.held(EVENTS)
        assert not pauses.held(ALERTS)
        answers.now = set()
        wait_for(lambda: not pauses.held(EVENTS), "an answer")
    finally:
        pauses.stop()


@pytest.mark.parametrize(
    "code", [KafkaError.SECURITY_DISABLED, KafkaError.CLUSTER_AUTHORIZATION_FAILED]
)
def test_a_cluster_that_does_not_say_holds_nothing(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Without rights in Kafka, or without the right to see them, deliveries run, and it is said."""
    pauses = Pauses(Answers(code), NAMES, ["acme"])
    pauses.start()
    try:
        wait_for(lambda: not pauses.held(EVENTS), "deliveries that run")
    finally:
        pauses.stop()
    assert "Nothing is held." in caplog.text
    assert "Cannot learn it" in caplog.text


def test_a_tenant_that_was_removed_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its deliveries run on until they are started again, and a pause that it was in is gone with
    its rights. One that is added again is delivered to, and so is one that never had rights."""
    said: list[tuple[set[str], set[str]]] = [
        (set(), {"acme"}),
        ({EVENTS}, {"acme"}),
        (set(), set()),
        (set(), {"acme"}),
    ]
    monkeypatch.setattr(rights, "paused_topics", lambda *_: said.pop(0))
    unused: Any = None
    ask = Rights(unused)
    held = [ask(NAMES, {"acme", "other"}) for _ in range(4)]
    assert held == [set(), {EVENTS}, {EVENTS, ALERTS}, set()]


def test_the_words_of_an_error_are_kept() -> None:
    """What a cluster error came from can be told from its cause; the pauses rely on it."""
    with pytest.raises(ClusterError) as found:
        Answers(KafkaError.SECURITY_DISABLED)(NAMES, {"acme"})
    assert isinstance(found.value.__cause__, KafkaException)


def lines(folder: Path, host_of: str = "") -> list[bytes]:
    """Whole lines of the archive; with `host_of` those that have this text."""
    file = folder / "archive.log"
    found = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return [line for line in found if host_of.encode() in line]


@pytest.mark.broker
def test_a_paused_feed_is_kept_and_delivered_afterwards(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """While records come, events are paused: they stop, alerts go on; a second process that starts
    and takes partitions over meanwhile holds them as well. Resumed, every record is there once and
    in the order of its key."""
    tenant = Tenant(kafka, tmp_path, unique("pause"), [{**FILE, "feeds": ["events", "alerts"]}])
    client = admin.connect(tenant.config.client())
    names = tenant.config.names

    def events() -> list[bytes]:
        return [line for line in lines(tmp_path) if RECORD.fullmatch(line)]

    def alerts() -> int:
        return len(lines(tmp_path, "alert"))

    with delivering(tenant.config) as made:
        with tenant.writing():
            wait_for(lambda: len(events()) > 300, "some events")
            tenants.pause(client, names, "acme", ["events"])
            wait_for(lambda: made[0].held() == ["events"], "a pause")
            there = tenant.written + 1_000
            wait_for(lambda: tenant.written > there, "events in the pause")
        count = tenant.written
        tenant.write([b'{"alert":1}'] * 10, names.alerts("acme"))
        wait_for(lambda: alerts() == 10, "alerts")
        before = len(events())
        assert before < count
        assert made[0].status()["held"] == ["events"]
    with delivering(tenant.config) as made:
        tenant.write([b'{"alert":2}'] * 10, names.alerts("acme"))
        wait_for(lambda: alerts() == 20, "alerts of the process that started in the pause")
        assert len(events()) == before
        assert tenants.resume(client, names, "acme") == ["events"]
        wait_for(lambda: len(events()) >= count, "what came meanwhile")
        wait_for(lambda: made[0].totals().lag == 0, "no lag")
        assert made[0].held() == []
    assert whole_and_in_order(events(), count) == 0
    assert alerts() == 20


@pytest.mark.broker
def test_pauses_while_partitions_move(
    kafka: EmbeddedKafka, unique: Callable[[str], str], tmp_path: Path
) -> None:
    """A pause that begins in one process and ends in two, with partitions moved in between and once
    more afterwards: everything comes, and at most what was under way comes twice."""
    receiver = Rsyslog(tmp_path / "receiver", RELP)
    to = {"type": "relp", "addresses": [receiver.address], "window": 200}
    tenant = Tenant(kafka, tmp_path, unique("pause"), [{"name": "siem", "to": to}])
    client = admin.connect(tenant.config.client())
    names = tenant.config.names
    with receiving(receiver), delivering(tenant.config) as first:
        with tenant.writing():
            wait_for(lambda: first[0].totals().delivered > 300, "some records")
            tenants.pause(client, names, "acme", ["events"])
            wait_for(lambda: first[0].held() == ["events"], "a pause")
            with delivering(tenant.config) as second:
                wait_for(lambda: second[0].shares()[0], "partitions that moved")
                there = tenant.written + 1_000
                wait_for(lambda: tenant.written > there, "records in the pause")
                assert second[0].totals().delivered == 0
                tenants.resume(client, names, "acme")
                wait_for(lambda: second[0].totals().delivered > 0, "records of the second")
        count = tenant.written
        wait_for(lambda: len(set(receiver.values())) >= count, "all records")
        wait_for(lambda: first[0].totals().lag == 0, "no lag")
    found = receiver.values()
    assert set(found) == set(map(record, range(count)))
    assert len(found) - count <= 2 * 200

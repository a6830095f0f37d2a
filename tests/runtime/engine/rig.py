"""What tests of the engine share: one on fake clients, its sub-topology, and turns of it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from app.runtime.engine import Engine
from app.runtime.settings import EngineSettings
from app.runtime.watchdog import Watchdog
from tests.runtime.fakes import FakeKafka, FakeProducer
from topology.records import Batch, KeyValueStore, Outcome, Output, Position
from topology.topics import Partition

A, B = ("in", 0), ("in", 1)
CHANGELOG = {"seen": "seen-changelog"}
NEVER = 1e12
"""A time of the monotonic clock that no test reaches."""
HOUR = 3600.0


class Copy:
    """Copies values and keeps each in the store; writes down what the engine tells it."""

    def __init__(self, stores: Sequence[str] = ("seen",)) -> None:
        self.name = "copy"
        self.stores = stores
        self.story: list[Any] = []
        self.held: Mapping[tuple[str, int], KeyValueStore] = {}
        self.metadata: dict[Partition, str] = {}
        self.late: list[Output] = []

    def assign(
        self,
        positions: Mapping[Partition, Position],
        stores: Mapping[tuple[str, int], KeyValueStore],
    ) -> None:
        self.held = stores
        self.story.append(("assign", {w: (p.offset, p.metadata) for w, p in positions.items()}))

    def revoke(self, partitions: Sequence[Partition]) -> None:
        self.story.append(("revoke", sorted(partitions)))

    def process(self, batch: Batch) -> Outcome:
        self.story.append(("process", batch.offsets.tolist()))
        if self.stores:
            store = self.held["seen", int(batch.partitions[0])]
            for value in batch.values:
                store.put(value or b"", b"%d" % (int(store.get(value or b"") or 0) + 1))
        return Outcome([Output("out", batch.values)], counts={"copied": len(batch)})

    def before_commit(self) -> Outcome:
        late, self.late = self.late, []
        return Outcome(late, dict(self.metadata))


def engine_on(
    kafka: FakeKafka, sub_topology: Copy | None = None, **options: Any
) -> tuple[Engine, Copy]:
    """A started engine that commits at every turn."""
    sub_topology = sub_topology or Copy()
    changelogs = CHANGELOG if sub_topology.stores else {}
    settings = EngineSettings(
        **{
            "name": "copy",
            "group": "group",
            "topics": ("in",),
            "instance": "copy-0",
            "client": {"bootstrap.servers": "fake"},
            "changelogs": changelogs,
            "commit_interval": 0.0,
            "call_timeout": 60.0,
            **options,
        }
    )
    engine = Engine(settings, sub_topology, watchdog=Watchdog(), clients=kafka)
    engine.start()
    return engine, sub_topology


def turn(engine: Engine, times: int = 3) -> None:
    """Some whole cycles."""
    done: list[Any] = []
    for _ in range(times):
        done = engine.turn(done)
        for delivery in done:
            delivery.work()
    engine.turn(done)


def cycle(engine: Engine, done: Sequence[Any]) -> list[Any]:
    """One cycle: what was done before is taken over, and what is next is worked on."""
    delivered = engine.turn(done)
    for delivery in delivered:
        delivery.work()
    return delivered


def stick(
    kafka: FakeKafka,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    before: Callable[[], None] = lambda: None,
) -> threading.Event:
    """A call of the first producer that does not come back before the event is set, when `before`
    was done. All others have as long as a busy machine needs."""
    come_back = threading.Event()
    make = kafka.producer

    def wait(seconds: float) -> None:
        monkeypatch.setattr("app.runtime.transaction.SLICE", seconds)
        monkeypatch.setattr("app.runtime.transaction.GRACE", seconds)

    def stuck(_: FakeProducer) -> Callable[..., object]:
        before()
        wait(0.1)
        return lambda *_: come_back.wait(60)

    def another(config: Mapping[str, Any], on_delivery: Any) -> FakeProducer:
        wait(60.0)
        return make(config, on_delivery)

    kafka.producers[0].__class__ = type("Stuck", (FakeProducer,), {call: property(stuck)})
    monkeypatch.setattr(kafka, "producer", another)
    wait(60.0)
    return come_back

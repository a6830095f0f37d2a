"""Workers with stores on disk: killed, restarted and moved, on a real broker."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from app.broker import admin
from app.broker.server import EmbeddedKafka
from app.runtime.clients import KafkaClients
from app.runtime.disk_store import DiskStore
from app.runtime.settings import EngineSettings
from app.runtime.stores import MAX_AGE, Stores
from app.runtime.watchdog import Watchdog
from tests.runtime.processes import wait_for
from tests.runtime.scenario import KILLS, PARTITIONS, Scenario
from tests.runtime.verification import create_topics, read_all

pytestmark = [pytest.mark.broker, pytest.mark.kill]


@pytest.fixture
def run(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str], seed: int
) -> Iterator[Scenario]:
    """A scenario whose workers keep their stores on disk."""
    made = Scenario(kafka.bootstrap, tmp_path, unique("disk"), seed, options={"store": "disk"})
    yield made
    made.close()


def stores(run: Scenario) -> dict[int, DiskStore]:
    """The stores of a state directory whose workers are gone; close them before any comes back."""
    cluster, ids = admin.identity(
        admin.connect({"bootstrap.servers": run.bootstrap}), [run.changelog]
    )
    found = {}
    for number in range(PARTITIONS):
        identity = {
            "cluster": cluster,
            "topic": run.changelog,
            "topic id": ids[run.changelog],
            "partition": number,
        }
        folder = Path(run.config["state"]) / "stores" / run.changelog / str(number)
        found[number] = DiskStore.open(folder, identity, MAX_AGE)
        assert found[number].begun is None
    return found


def tail(bootstrap: str, topic: str, positions: dict[int, int]) -> int:
    """Committed records of a topic from these offsets to the end."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tail",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, *where) for where in positions.items()])
    waiting, count = set(positions), 0
    while waiting:
        for message in consumer.consume(10_000, 1.0):
            error = message.error()
            if error is None:
                count += 1
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                waiting.discard(message.partition())
    consumer.close()
    return count


def truth(run: Scenario) -> dict[int, dict[bytes, bytes]]:
    """What the changelog says, by partition."""
    content: dict[int, dict[bytes, bytes]] = {number: {} for number in range(PARTITIONS)}
    for partition, key, value in read_all(run.bootstrap, run.changelog):
        assert key is not None
        assert value is not None
        content[partition][key] = value
    return content


def test_kill_with_stores_on_disk(run: Scenario) -> None:
    """kill -9 over and over: stores are what the changelog says, and only its tail is read.

    The worker itself checks at each take-over that the store has the total of its metadata.
    """
    (worker,) = run.start()
    for _ in range(KILLS):
        run.progress(worker)
        worker.kill()
        worker.start()
    # A history that is much longer than what a restart reads again.
    wait_for(lambda: worker.stats().get("commits", 0) > 40, "commits")
    count = run.finish()
    worker.kill()
    found = stores(run)
    positions = {number: store.position for number, store in found.items()}
    for store in found.values():
        store.close()
    assert all(positions.values()), positions
    behind = tail(run.bootstrap, run.changelog, positions)
    whole = tail(run.bootstrap, run.changelog, dict.fromkeys(positions, 0))
    worker.start()
    wait_for(worker.ready, f"{worker.log} ready")
    assert worker.told()["restore"]["records"] == behind < whole / 2, (behind, whole)
    worker.kill()
    found = stores(run)
    expected = truth(run)
    assert {number: dict(store.items()) for number, store in found.items()} == expected
    assert sum(map(len, expected.values())) > PARTITIONS
    for store in found.values():
        store.close()
    verdict = run.verdict(count)
    assert verdict.right, f"{verdict}\n{run.logs()}"


def test_workers_take_over_folders(run: Scenario) -> None:
    """A second worker of the directory goes on with folders of the one that died."""
    first, second = run.start(2)
    run.progress(first)
    run.progress(second)
    first.kill()
    wait_for(lambda: len(second.stats().get("partitions", [])) == 4, "take-over")
    first.start()
    count = run.finish()
    for worker in run.workers:
        worker.kill()
    assert not list(Path(run.config["state"]).glob("stores/*/*.1")), "no second copies"
    verdict = run.verdict(count)
    assert verdict.right, f"{verdict}\n{run.logs()}"


def test_a_topic_made_anew_begins_anew(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str]
) -> None:
    """The store of a changelog that was deleted and made again under its name is not continued."""
    topic = unique("anew").replace("_", "-")
    engine = EngineSettings(
        name="anew",
        group="anew",
        topics=("in",),
        instance="anew-0",
        client={"bootstrap.servers": kafka.bootstrap},
        changelogs={"totals": topic},
        state=tmp_path,
        store="disk",
    )

    def opened() -> tuple[DiskStore, Stores]:
        opener = Stores(engine, KafkaClients(), Watchdog())
        store = opener.open([("totals", 0)])["totals", 0]
        assert isinstance(store, DiskStore)
        return store, opener

    def make() -> None:
        create_topics(kafka.bootstrap, **{topic: 1})

    make()
    store, opener = opened()
    store.put(b"k", b"v")
    store.commit(5)
    beside = opener.open([("totals", 0)])["totals", 0]
    assert beside.get(b"k") is None, "while it is held, another one begins its own"
    beside.close()
    store.close()
    store, _ = opened()
    assert (store.begun, store.get(b"k")) == (None, b"v")
    store.close()
    client: Any = admin.connect({"bootstrap.servers": kafka.bootstrap})
    admin.delete(client, [topic])
    wait_for(lambda: topic not in admin.existing(client), f"{topic} is gone")
    make()
    store, _ = opened()
    assert "another topic id" in (store.begun or "")
    assert len(store) == 0
    store.close()

"""A planned restart moves nothing; after a crash another worker takes over, with a copy at once.

How long it takes is printed, and asserted by the experiment `crash` of `make chaos`.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app.broker.server import EmbeddedKafka
from tests.runtime.processes import WorkerProcess, wait_for
from tests.runtime.scenario import PARTITIONS, Scenario
from tests.runtime.verification import KEYS

pytestmark = [pytest.mark.broker, pytest.mark.kill]

OLD = 40_000
"""Entries that were there before: a restore reads those of its partitions."""

Make = Callable[..., Scenario]


@pytest.fixture
def scenario(
    kafka: EmbeddedKafka, tmp_path: Path, unique: Callable[[str], str], seed: int
) -> Iterator[Make]:
    """Make scenarios; what still runs at the end is ended."""
    made: list[Scenario] = []

    def make(**config: Any) -> Scenario:
        made.append(Scenario(kafka.bootstrap, tmp_path, unique("takeover"), seed, **config))
        return made[-1]

    yield make
    for one in made:
        one.close()


def owned(worker: WorkerProcess) -> list[int]:
    """The partitions that a worker has."""
    return [each["partition"] for each in worker.told()["partitions"]]


def share(workers: list[WorkerProcess]) -> None:
    """Wait until each of two has half of the partitions."""
    wait_for(lambda: all(len(owned(one)) == PARTITIONS // 2 for one in workers), "half each")


def finish(run: Scenario) -> None:
    """Everything is worked off, and nothing was lost or doubled."""
    count = run.finish()
    for worker in run.workers:
        worker.signal(signal.SIGTERM)
    for worker in run.workers:
        assert worker.wait() == 0, run.logs()
    verdict = run.verdict(count)
    assert verdict.right, f"{verdict}\n{run.logs()}"


def test_a_planned_restart_moves_nothing(scenario: Make) -> None:
    """SIGTERM and a start within the session time: each keeps its partitions, nobody rebalances."""
    run = scenario(options={"session_timeout": 120.0})
    workers = run.start(2)
    share(workers)
    for victim, other in (workers, workers[::-1]):
        run.progress(victim)
        before = owned(victim), owned(other), other.told()["rebalances"]
        started = time.monotonic()
        victim.signal(signal.SIGTERM)
        assert victim.wait() == 0, run.logs()
        victim.start()
        wait_for(victim.ready, "the restarted one is ready")
        print(f"restarted within {time.monotonic() - started:.1f} s")
        run.progress(victim)
        assert (owned(victim), owned(other), other.told()["rebalances"]) == before, run.logs()
    finish(run)


@pytest.mark.parametrize(
    ("standby", "store", "times"), [(0, "memory", 1), (1, "memory", 2), (1, "disk", 1)]
)
def test_take_over_after_a_crash(scenario: Make, standby: int, store: str, times: int) -> None:
    """kill -9 of one of two: with a copy only the changelog's tail is read, without one all of it.

    Every total of the store that was taken over is true.
    """
    run = scenario(options={"standby": standby, "store": store})
    producer = Producer({"bootstrap.servers": run.bootstrap, "linger.ms": 5})
    for number in range(KEYS, KEYS + OLD):
        producer.produce(run.changelog, b"0", b"k%d" % number, number % PARTITIONS)
        producer.poll(0)
    assert producer.flush(60) == 0
    workers = run.start(2)
    share(workers)
    for victim, other in (workers, workers[::-1])[:times]:
        if standby:
            wait_for(lambda o=other: o.told()["standby"]["caught_up"] == PARTITIONS // 2, "copies")
        run.progress(victim)
        before = other.told()["restore"]
        positions = {one["partition"]: one["next"] for one in victim.told()["partitions"]}
        started = time.monotonic()
        victim.kill()
        wait_for(lambda o=other: len(owned(o)) == PARTITIONS, "take-over")
        taken = time.monotonic() - started

        def on(other: WorkerProcess = other, positions: dict[int, int] = positions) -> bool:
            now = {one["partition"]: one["next"] for one in other.told()["partitions"]}
            # What it had not committed is done too.
            return all(now.get(number, 0) > at + 100 for number, at in positions.items())

        wait_for(on, "a commit in what was taken over")
        records = other.told()["restore"]["records"] - before["records"]
        print(
            f"standby {standby}, {store}: owned after {taken:.1f} s, committed after "
            f"{time.monotonic() - started:.1f} s, {records} changelog records read"
        )
        if standby:
            assert records < OLD // 10, run.logs()
        else:
            assert records >= OLD // 2, run.logs()
        victim.start()
        share(workers)
    finish(run)

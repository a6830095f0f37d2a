"""Exactly once, whatever ends a worker or the broker: nothing lost, nothing doubled, totals true.

NORTHBOUND_KILLS sets the number of kills of each kind.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer

from app.broker.server import EmbeddedKafka
from app.runtime.inflight import InFlight
from app.runtime.watchdog import STALLED
from tests.runtime.processes import WorkerProcess, wait_for
from tests.runtime.scenario import KILLS, Scenario

pytestmark = [pytest.mark.broker, pytest.mark.kill]

Make = Callable[..., Scenario]


@pytest.fixture
def scenario(tmp_path: Path, unique: Callable[[str], str], seed: int) -> Iterator[Make]:
    """Make scenarios; what still runs at the end is ended."""
    made: list[Scenario] = []

    def make(kafka: EmbeddedKafka, **config: Any) -> Scenario:
        made.append(Scenario(kafka.bootstrap, tmp_path, unique("kill"), seed, **config))
        return made[-1]

    yield make
    for one in made:
        one.close()


def check(scenario: Scenario, count: int, *, doubles: bool | None = None) -> None:
    """Nothing lost, nothing doubled, store totals equal to the truth.

    `doubles`: whether read_uncommitted consumers must have seen aborted records, or must not.
    """
    verdict = scenario.verdict(count)
    print(f"{count} records: {verdict}, statuses {[w.statuses for w in scenario.workers]}")
    assert verdict.right, f"{verdict}\n{scenario.logs()}"
    if doubles is not None:
        assert bool(verdict.uncommitted_doubles) == doubles, verdict


def stop_all(scenario: Scenario) -> None:
    """SIGTERM to all; each commits, leaves and exits 0."""
    for worker in scenario.workers:
        worker.signal(signal.SIGTERM)
    for worker in scenario.workers:
        assert worker.wait() == 0, scenario.logs()


@pytest.mark.parametrize("agent", [False, True], ids=["sub-topology", "agent"])
def test_kill_one_worker(kafka: EmbeddedKafka, scenario: Make, agent: bool) -> None:
    """kill -9 of the only worker, over and over."""
    run = scenario(kafka, agent=agent)
    (worker,) = run.start()
    for _ in range(KILLS):
        run.progress(worker)
        worker.kill()
        worker.start()
    count = run.finish()
    stop_all(run)
    check(run, count)


def test_kill_two_workers(kafka: EmbeddedKafka, scenario: Make) -> None:
    """kill -9 of one of two workers: at once back, or away until the other has taken over."""
    run = scenario(kafka)
    workers = run.start(2)
    for number in range(KILLS):
        victim, other = workers[number % 2], workers[1 - number % 2]
        run.progress(victim)
        victim.kill()
        if number % 2:
            wait_for(lambda o=other: len(o.stats().get("partitions", [])) == 4, "take-over")
        victim.start()
    count = run.finish()
    stop_all(run)
    check(run, count)


def test_terminate_two_workers(kafka: EmbeddedKafka, scenario: Make) -> None:
    """SIGTERM finishes and commits the batch in work: not even an aborted record is left."""
    run = scenario(kafka)
    workers = run.start(2)
    for number in range(KILLS):
        worker = workers[number % 2]
        run.progress(worker)
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, run.logs()
        worker.start()
    count = run.finish()
    stop_all(run)
    check(run, count, doubles=False)


def test_stop_beyond_the_transaction_time_out(kafka: EmbeddedKafka, scenario: Make) -> None:
    """A worker whose transaction timed out, but not its session, goes on without a new process."""
    run = scenario(kafka, options={"transaction_timeout": 1.0})
    (worker,) = run.start()
    told = "a new producer goes on"
    for turn in range(20):
        run.progress(worker)
        worker.signal(signal.SIGSTOP)
        time.sleep(2.5)  # the broker looks for such transactions once a second
        worker.signal(signal.SIGCONT)
        # No transaction is open at some of these moments.
        if turn + 1 >= max(2, KILLS) and told in worker.log.read_text():
            break
    run.progress(worker)
    count = run.finish()
    assert worker.statuses == [], run.logs()
    assert told in worker.log.read_text()
    stop_all(run)
    check(run, count)


def test_stop_beyond_the_time_outs(kafka: EmbeddedKafka, scenario: Make) -> None:
    """SIGSTOP beyond session and transaction time-outs: the zombie that wakes up does no harm."""
    run = scenario(kafka)
    workers = run.start(2)
    for number in range(max(1, KILLS // 3)):
        zombie, other = workers[number % 2], workers[1 - number % 2]
        run.progress(zombie)
        assignments = zombie.told()["rebalances"]
        zombie.signal(signal.SIGSTOP)
        wait_for(lambda o=other: len(o.stats().get("partitions", [])) == 4, "take-over")
        time.sleep(run.random.uniform(0.0, 2.0))  # the other one works on meanwhile
        zombie.signal(signal.SIGCONT)

        # It still says that it is ready; only a new assignment or process shows that it has woken.
        def back(zombie: WorkerProcess = zombie, before: int = assignments) -> bool:
            return zombie.supervise() or zombie.stats().get("rebalances", 0) > before

        wait_for(back, "the zombie is back")
    count = run.finish()
    stop_all(run)
    check(run, count)


def test_kill_the_broker(make_kafka: Callable[..., EmbeddedKafka], scenario: Make) -> None:
    """kill -9 of the broker: workers end by their watchdog or go on, and nothing is doubled."""
    kafka = make_kafka()
    run = scenario(kafka, options={"call_timeout": 5.0})
    workers = run.start(2)
    for _ in range(max(1, KILLS // 3)):
        run.progress(workers[0])
        kafka.kill()
        kafka.start()
        before = [worker.stats().get("commits", 0) for worker in workers]

        def recovered(before: list[int] = before) -> bool:
            restarted = [worker.supervise() for worker in workers]
            now = [worker.stats().get("commits", 0) for worker in workers]
            return not any(restarted) and any(a > b for a, b in zip(now, before, strict=True))

        wait_for(recovered, "a commit after the broker's crash")
    count = run.finish()
    stop_all(run)
    check(run, count)
    assert {status for worker in workers for status in worker.statuses} <= {0, 1, STALLED}


def test_a_member_that_is_fenced_joins_again(kafka: EmbeddedKafka, scenario: Make) -> None:
    """As after a lost session, its name has a newer member id: it goes on in the same process."""
    run = scenario(kafka, identity="known")
    (worker,) = run.start()
    for _ in range(max(2, KILLS // 3)):
        run.progress(worker)
        before = worker.told()["rejoins"]
        consumer = Consumer(
            {
                "bootstrap.servers": kafka.bootstrap,
                "group.id": run.group,
                "group.instance.id": f"{run.group}-known-0",
                "partition.assignment.strategy": "range",
                "enable.auto.commit": False,
                "log_level": 0,
            }
        )
        try:
            consumer.subscribe([run.topic])
            wait_for(lambda c=consumer: c.poll(0.1) is not None or c.assignment(), "the name")
            wait_for(lambda n=before: worker.stats().get("rejoins", 0) > n, "a new consumer")
        finally:
            consumer.close()
    count = run.finish()
    assert worker.statuses == [], run.logs()
    stop_all(run)
    check(run, count)


def test_two_workers_with_one_name(kafka: EmbeddedKafka, scenario: Make) -> None:
    """The older of two workers with one transactional id is fenced: it says so and exits 1."""
    run = scenario(kafka, identity="same", sleep=0.05)
    (first,) = run.start()
    run.progress(first)
    second = run.add(state=f"{run.config['state']}-copy")
    assert first.wait() == 1, run.logs()
    log = first.log.read_text()
    assert "Fenced" in log or "was ended" in log, log[-2000:]
    assert "its own state directory" in log
    run.workers.remove(first)
    wait_for(second.ready, "the younger one works on")
    count = run.finish()
    stop_all(run)
    check(run, count)


def test_poison(kafka: EmbeddedKafka, scenario: Make) -> None:
    """An agent that raises ends the worker with status 1 and commits nothing of its batch."""
    run = scenario(kafka, agent=True, poison="1000")
    (worker,) = run.start()
    assert worker.wait(120) == 1, run.logs()
    assert "poison" in worker.log.read_text()
    worker.start()
    assert worker.wait(120) == 1, "the same batch comes again"
    worker.start(poison="none")
    count = run.finish()
    stop_all(run)
    check(run, count)


def test_a_record_that_kills_is_isolated(kafka: EmbeddedKafka, scenario: Make) -> None:
    """A record that ends the process without an exception is found, alone, and rejected."""
    run = scenario(kafka, poison="402", deadly=True, identity="known", sleep=0.0)
    run.feeder.start()
    wait_for(lambda: run.feeder.written > 1_000, "input")
    # As if two processes had ended with the first 200 records of its partition in work.
    mark = Path(run.config["state"]) / f"{run.group}-known-0.inflight"
    for _ in range(2):
        InFlight(mark).begin({(run.topic, 2): (0, 199)})
    worker = run.add()
    for _ in range(3):
        assert worker.wait() == 9, run.logs()
        worker.start()
    wait_for(lambda: worker.stats().get("rejected"), "the record is rejected")
    count = run.finish()
    assert worker.told()["rejected"] == 1
    stop_all(run)
    check(run, count)

"""Three brokers: leaders killed, a majority killed, a rolling restart, an open transaction."""

import os
import signal
import time
from functools import partial

from confluent_kafka.admin import AdminClient

from chaos.experiment import Experiment
from chaos.rig import Rig
from chaos.setup import Setup
from topology.alerts import STORE

ROLL_S = 30.0
"""Longest silence that a rolling restart may cause."""
THREE = Setup(brokers=3, senders=({"rate": 800},))


def _replicated(rig: Rig) -> bool:
    """Whether every partition is in sync on all brokers."""
    client = AdminClient({**rig.client, "log_level": 0})
    topics = client.list_topics(timeout=10).topics.values()
    found = [len(part.isrs) for topic in topics for part in topic.partitions.values()]
    return bool(found) and set(found) == {rig.setup.brokers}


def _leader(rig: Rig, topic: str) -> int:
    client = AdminClient({**rig.client, "log_level": 0})
    parts = client.list_topics(timeout=10).topics[topic].partitions
    return int(parts[rig.random.choice(sorted(parts))].leader)


def _back(rig: Rig) -> None:
    rig.start_brokers()
    rig.until(lambda: _replicated(rig), "every partition is in sync again", 120)


def _leaders(rig: Rig) -> None:
    names = rig.config.names
    rig.until(lambda: _replicated(rig), "every partition is in sync", 60)
    topics = [
        names.raw("qumulo"), names.matches, names.events("acme"), names.alerts("acme"),
        names.dead_letters, names.changelog(STORE), "__consumer_offsets", "__transaction_state",
    ]  # fmt: skip
    for topic in topics:
        number = _leader(rig, topic)
        rig.fault(f"kill -9 of broker {number}, which leads a partition of {topic}")
        rig.kafka.kill(number)
        rig.flowing()
        _back(rig)


def _two(rig: Rig) -> None:
    rig.until(lambda: _replicated(rig), "every partition is in sync", 60)
    for _ in range(2):
        first = rig.random.randrange(3)
        rig.fault(f"all brokers but {first} are killed", recovered=False)
        for number in {0, 1, 2} - {first}:
            rig.kafka.kill(number)
        rig.wait(3.0)
        before = rig.events
        rig.wait(5.0, 8.0)
        rig.claim(f"writes stop ({rig.events - before} events)", ok=rig.events - before < 100)
        rig.fault("the two are started again")
        rig.start_brokers()
        rig.flowing()
        _back(rig)


def _ended(rig: Rig, pid: int) -> bool:
    return pid not in rig.kafka.pids


def _rolling(rig: Rig) -> None:
    rig.until(lambda: _replicated(rig), "every partition is in sync", 60)
    started = time.time()
    for number, pid in enumerate(list(rig.kafka.pids)):
        rig.fault(f"broker {number} is restarted")
        os.kill(pid, signal.SIGTERM)
        rig.until(partial(_ended, rig, pid), f"broker {number} has ended", 60)
        _back(rig)
        rig.flowing()
    gap = rig.observer.gap(started, time.time())
    rig.measured["gap_s"] = round(gap, 2)
    rig.claim(f"no gap above {ROLL_S:.0f} s ({gap:.1f} s)", ok=gap < ROLL_S)


def _open(rig: Rig) -> None:
    """Worker 1 dies in the middle of transactions and does not come back, or does at once."""
    held: dict[str, float] = {}
    for again in (False, True, False, True):
        rig.wait(1.0, 3.0)
        started = time.time()
        rig.fault(f"kill -9 of a worker, started again: {again}")
        rig.workers[1].kill(again=again)
        rig.flowing()
        name = "held_back_s_restarted" if again else "held_back_s_gone"
        held[name] = max(held.get(name, 0.0), rig.observer.gap(started, time.time()))
        if not again:
            rig.workers[1].start()
        rig.until(rig.workers[1].ready, "the worker is back")
        rig.flowing()
    rig.measured |= {name: round(value, 2) for name, value in held.items()}


LEADERS = Experiment("the leader of each topic in turn, kill -9", THREE, _leaders, 480)
TWO = Experiment("two of three brokers, kill -9", THREE, _two, 300)
ROLLING = Experiment("a rolling restart under load", THREE, _rolling, 300)
OPEN = Experiment("how long a dead worker's transaction holds consumers back", THREE, _open, 300)
